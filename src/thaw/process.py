"""The forward process x_t = D_t(x0; z) + tau sigma_t eps, and how a network's output becomes x0_hat."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from thaw.base import ThawError, check_images, pick
from thaw.degradations import Degradation

Number = Tensor | float


@dataclass(frozen=True)
class Prediction:
    """What the network's output means: one row of a table, checked when it is made.

    With x_t = alpha x0 + level eps, alpha what D_t leaves of x0 and level = tau sigma_t:

    Raises:
        ThawError: if the target does not give x0 back.
    """

    # (x0, eps, alpha, level) -> the output wanted, linear in x0 and eps
    target: Callable[[Number, Number, Number, Number], Number]
    # (x_t, output, alpha, level) -> x0_hat, linear in x_t and the output
    recover: Callable[[Number, Number, Number, Number], Number]
    needs: str = "scaled"  # what D_t must be: "any", "scaled" (D_t = alpha_t x0), or "signal" (and alpha_T above 0)

    def __post_init__(self) -> None:
        pick(self.needs, ("any", "scaled", "signal"), "need of a prediction")
        for x0, eps, alpha, level in ((1.0, 0.0, 0.8, 0.6), (-0.5, 2.0, 0.3, 0.9)):
            back = self.recover(alpha * x0 + level * eps, self.target(x0, eps, alpha, level), alpha, level)
            if abs(back - x0) > 1e-9:
                raise ThawError(f"a prediction's target must give x0 back: {x0:g} became {back:g}")


# Add a prediction: one row here.
PREDICTIONS = {
    "x0": Prediction(lambda x0, eps, alpha, level: x0, lambda x_t, output, alpha, level: output, needs="any"),
    "eps": Prediction(
        lambda x0, eps, alpha, level: eps, lambda x_t, output, alpha, level: (x_t - level * output) / alpha,
        needs="signal",
    ),
    "v": Prediction(  # Salimans & Ho 2022; it never divides by zero
        lambda x0, eps, alpha, level: alpha * eps - level * x0,
        lambda x_t, output, alpha, level: (alpha * x_t - level * output) / (alpha**2 + level**2),
    ),
}  # fmt: skip

# Add a loss weight: one row here, snr (B,) -> the weight (B,) of the squared error of x0_hat; None weighs the output's.
LOSS_WEIGHTS = {
    "uniform": None,
    "min_snr": lambda snr: snr.clamp(max=5.0),  # Hang et al. 2023
}


NOISE_IN = ("everywhere", "destroyed")
HOTTEST = 4.0  # the highest temperature; 1 is that of the schedule


class Draws(NamedTuple):
    """The random numbers of one training batch."""

    t: Tensor  # (B,) int64 in 1..T
    tau: Tensor  # (B,) in [0, 4]
    noise: Tensor  # (B, C, H, W) standard normal
    z: Tensor | None  # what the degradation keeps fixed along a trajectory
    seen: Tensor | None = None  # (B,) int64, step of the clean degraded picture that the network sees; 0 for none

    def part(self, chosen: slice) -> "Draws":
        """Return the numbers of some of the images."""
        return Draws(*(None if part is None else part[chosen] for part in self))

    def to(self, device: torch.device | str) -> "Draws":
        """Return the same numbers on a device."""
        return Draws(*(None if part is None else part.to(device) for part in self))


class Process(nn.Module):
    """A degradation, its noise schedule, and what the network predicts.

    Args:
        degradation: D_t with its T steps.
        sigma: noise level table (T+1,), sigma_0 = 0.
        prediction: a name in `PREDICTIONS`; all but "x0" are for the hot process only.
        tau: the range (low, high) of temperatures trained on, within [0, 4].
        loss_weight: a name in `LOSS_WEIGHTS`: "uniform" in the predicted quantity, or "min_snr".
        noise_in: "everywhere", or "destroyed" for noise that lies only where D_t destroys:
            x_t = D_t(x0; z) + tau sigma_t R_t eps, with `Degradation.destroyed` as R_t.
        bounded: whether x0 lies in [-1, 1], as pixels do and latents do not.
        observed: the share of training images of which the network sees, beside x_t, D_s(x0; z) without noise at some
            s >= t: at T for half of them, else uniform on t..T. 0 for a network that never does.
    """

    flow_map: tuple[float, float] | None = None  # guidance weights of a flow map, see `thaw.flow_map`

    def __init__(
        self,
        degradation: Degradation,
        sigma: Tensor,
        prediction: str = "x0",
        tau: tuple[float, float] = (0.0, 1.0),
        loss_weight: str = "uniform",
        noise_in: str = "everywhere",
        bounded: bool = True,
        observed: float = 0.0,
    ) -> None:
        super().__init__()
        steps = degradation.steps
        if sigma.shape != (steps + 1,) or float(sigma[0]) != 0.0:
            raise ThawError(f"sigma must have {steps + 1} entries and start at 0, got {tuple(sigma.shape)}")
        needs = pick(prediction, PREDICTIONS, "prediction").needs
        pick(loss_weight, LOSS_WEIGHTS, "loss weight")
        pick(noise_in, NOISE_IN, "noise_in")
        if not 0.0 <= tau[0] <= tau[1] <= HOTTEST:
            raise ThawError(f"the temperatures must satisfy 0 <= low <= high <= {HOTTEST:g}, got {tuple(tau)}")
        scales = degradation.alpha(torch.arange(steps + 1))
        if needs != "any" and bool((scales == 1).all()):
            raise ThawError(f"prediction {prediction!r} needs the hot process; use x0 with other degradations")
        if needs == "signal" and float(scales[-1]) == 0.0:
            raise ThawError(
                f"prediction {prediction!r} cannot recover x0 where alpha_T is 0; use v or x0 with this schedule"
            )
        if (needs != "any" or LOSS_WEIGHTS[loss_weight]) and tau[0] <= 0:
            raise ThawError(f"prediction {prediction!r} with {loss_weight} weights needs noise; set tau above 0")
        if noise_in == "destroyed" and type(degradation).destroyed is Degradation.destroyed:
            raise ThawError(f"{type(degradation).__name__} has no destroyed subspace; use noise_in: everywhere")
        self.degradation, self.prediction, self.loss_weight = degradation, prediction, loss_weight
        self.noise_in, self.bounded, self.observed = noise_in, bounded, observed
        self.tau = (float(tau[0]), float(tau[1]))
        self.register_buffer("sigma", sigma.double(), persistent=False)

    @property
    def steps(self) -> int:
        """The number of steps T."""
        return self.degradation.steps

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images."""
        return self.degradation.shape

    def forward(self, x0: Tensor, t: Tensor, tau: Tensor, noise: Tensor, z: Tensor | None = None) -> Tensor:
        """Return x_t = D_t(x0; z) + tau sigma_t noise.

        Args:
            x0, noise: (B, C, H, W); x0 in [-1, 1].
            t: (B,) int64 in 0..T.
            tau: (B,) temperatures.
            z: as drawn by `degradation.draw_z`.
        """
        check_images(x0, self.shape)
        with torch.autocast(x0.device.type, enabled=False):  # mixed precision is for the network alone
            return self.degradation(x0, t, z) + self.noise_level(t, tau, x0) * self.shaped(noise, t, z)

    def shaped(self, noise: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        """Return the noise of step t, of unit scale: as it is, or only where D_t destroys.  (B, C, H, W)"""
        return noise if self.noise_in == "everywhere" else self.degradation.destroyed(noise, t, z)

    def carried(self, residual: Tensor, kappa: Number, t: Tensor, s: Tensor, z: Tensor | None = None) -> Tensor:
        """Return what of x_t - D_t(x0_hat) goes on to step s: kappa of the noise, all of the rest.  (B, C, H, W)

        With noise everywhere, all of it is noise. With noise where D_t destroys, the residual elsewhere
        is the error of x0_hat against what x_t tells without noise, and is kept as Algorithm 2 keeps it.
        """
        if self.noise_in == "everywhere":
            return kappa * residual
        noise = self.degradation.carried(residual, t, t, z)
        return kappa * self.degradation.carried(noise, t, s, z) + (residual - noise)

    def noise_level(self, t: Tensor, tau: Tensor, like: Tensor) -> Tensor:
        """Return tau sigma_t, shaped to multiply images.  (B,) -> (B, 1, 1, 1)"""
        return (tau * self.sigma[t]).to(like.dtype)[:, None, None, None]

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        """Draw steps, temperatures, noise and z for `n` training images, on the CPU.

        t is uniform on 1..T, the last step included. tau is uniform on the range, with a sixth of
        the draws at either end exactly, because the ends (cold, and fully warm) are what is used most.
        """
        t = torch.randint(1, self.steps + 1, (n,), generator=generator)
        low, high = self.tau
        tau = low + (high - low) * (1.5 * torch.rand(n, generator=generator) - 0.25).clamp(0, 1)
        noise = torch.randn(n, *self.shape, generator=generator)
        z = self.degradation.draw_z(n, generator)
        return Draws(t, tau, noise, z, self._draw_seen(t, generator) if self.observed else None)

    def _draw_seen(self, t: Tensor, generator: torch.Generator) -> Tensor:
        """Draw the steps of what the network sees beside x_t, 0 for nothing.  (B,) int64 -> (B,) int64"""
        further, at_end, sees = torch.rand(3, len(t), generator=generator)
        s = torch.where(at_end < 0.5, self.steps, t + (further * (self.steps - t + 1)).long())
        return torch.where(sees < self.observed, s, 0)

    def observation(self, x0: Tensor, seen: Tensor, z: Tensor | None = None) -> Tensor:
        """Return D_s(x0; z) without noise for the steps s that are seen, zeros where s is 0.  (B, C, H, W)"""
        with torch.autocast(x0.device.type, enabled=False):
            return self.degradation(x0, seen, z) * (seen > 0).to(x0.dtype)[:, None, None, None]

    def clip(self, x0: Tensor) -> Tensor:
        """Return x0 clipped to [-1, 1] where it is bounded, else as it is."""
        return x0.clamp(-1, 1) if self.bounded else x0

    def time(self, t: Tensor) -> Tensor:
        """Return the network's time input t / T.  (B,) int64 -> (B,) float32"""
        return t.float() / self.steps

    def target(self, x0: Tensor, t: Tensor, tau: Tensor, noise: Tensor) -> Tensor:
        """Return what the network should output for these draws.  (B, C, H, W)"""
        return PREDICTIONS[self.prediction].target(x0, noise, *self._levels(t, tau, x0))

    def predict(self, raw: Tensor, x_t: Tensor, t: Tensor, tau: Tensor) -> Tensor:
        """Turn the network's raw output into x0_hat (not clipped), see `Prediction`.  (B, C, H, W)"""
        return PREDICTIONS[self.prediction].recover(x_t, raw, *self._levels(t, tau, raw))

    def _levels(self, t: Tensor, tau: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha_t and tau sigma_t, shaped to multiply images.  (B,) -> two of (B, 1, 1, 1)"""
        alpha = self.degradation.alpha(t).to(like.dtype)[:, None, None, None]
        return alpha, self.noise_level(t, tau, like)

    def loss(self, network: nn.Module, x0: Tensor, y: Tensor, draws: Draws) -> Tensor:
        """Return the weighted mean squared error of the network on these draws, a scalar."""
        x_t = self(x0, draws.t, draws.tau, draws.noise, draws.z)
        seen = () if draws.seen is None else (self.observation(x0, draws.seen, draws.z),)
        raw = network(x_t, self.time(draws.t), draws.tau, y, *seen)
        error = (raw - self.target(x0, draws.t, draws.tau, draws.noise)).square().mean(dim=(1, 2, 3))  # (B,)
        return (error * self.weight(draws.t, draws.tau).to(error.dtype)).mean()

    def weight(self, t: Tensor, tau: Tensor) -> Tensor:
        """Return the weight of the squared error of the network's output, for each draw.  (B,) -> (B,)

        x0_hat is linear in the output, so that an error of 1 there is one of `recover(0, 1)` in x0_hat.
        """
        weigh = LOSS_WEIGHTS[self.loss_weight]
        if weigh is None:
            return torch.ones_like(tau)
        alpha, level = self.degradation.alpha(t), tau * self.sigma[t]
        return weigh((alpha / level).square()) * PREDICTIONS[self.prediction].recover(0.0, 1.0, alpha, level) ** 2
