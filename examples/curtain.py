"""Curtain: a grey curtain comes down, line after line, until nothing of the image is left.

    python -m thaw budget examples/curtain.py

The shortest of the examples. A line is covered at once, so every step jumps; `soften: 4`, or a `hem` over which the
curtain is transparent, makes the way gradual.
"""

import torch

import thaw


@thaw.register("curtain")
class Curtain(thaw.Degradation):
    """A grey curtain that comes down line after line.

    D_t(x0) = m_t x0: line i is covered once t/T of the way passes it.

    Args:
        shape: (C, H, W) of the images.
        steps: the number of steps T.
        hem: lines over which the curtain grows opaque; 0 for a sharp edge.
    """

    def __init__(self, shape: tuple[int, int, int], steps: int = 28, hem: float = 0.0) -> None:
        super().__init__(shape, steps)
        if hem < 0:
            raise thaw.ThawError(f"the hem of the curtain must not be negative, got {hem}")
        height, t = shape[1], torch.arange(steps + 1)[:, None]
        edge = t * (height + hem) / steps  # lines that it has come down
        line = torch.arange(height)
        kept = (1 - (edge - line) / hem).clamp(0, 1) if hem else (line >= edge).float()
        self.register_buffer("kept", kept, persistent=False)  # (T+1, H)

    def forward(self, x0: torch.Tensor, t: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
        return self.kept[t][:, None, :, None] * x0
