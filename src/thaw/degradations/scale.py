"""Hot diffusion: the image fades to nothing while noise takes its place."""

from torch import Tensor

from thaw.degradations.base import Degradation, register
from thaw.schedules import noise_schedule


@register("scale")
class Scale(Degradation):
    """D_t(x0) = alpha_t x0, the signal half of DDPM and of flow matching.

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
        schedule: see `thaw.schedules.noise_schedule`.
    """

    def __init__(self, shape: tuple[int, int, int], steps: int = 1000, schedule: str = "flow") -> None:
        super().__init__(shape, steps)
        self.register_buffer("table", noise_schedule(schedule, steps)[0], persistent=False)

    def forward(self, x0: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        return self.table[t].to(x0.dtype)[:, None, None, None] * x0

    def alpha(self, t: Tensor) -> Tensor:
        return self.table[t]

    def coordinates(self, x_T: Tensor) -> Tensor:
        """No number survives: alpha_T is 0, or (linear betas) so small that it counts as 0."""
        return x_T.new_zeros(len(x_T), 0)
