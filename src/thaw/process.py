"""The forward process x_t = D_t(x0; z) + tau sigma_t eps, and how a network's output becomes x0_hat."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from thaw.base.errors import ThawError
from thaw.base.pixels import check_images
from thaw.degradations import Degradation

PREDICTIONS = ("x0", "eps", "v")
LOSS_WEIGHTS = ("uniform", "min_snr")
NOISE_IN = ("everywhere", "destroyed")


class Draws(NamedTuple):
    """The random numbers of one training batch."""

    t: Tensor  # (B,) int64 in 1..T
    tau: Tensor  # (B,) in [0, 1]
    noise: Tensor  # (B, C, H, W) standard normal
    z: Tensor | None  # what the degradation keeps fixed along a trajectory

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
        prediction: "x0"; or, for the hot process only, "eps" or "v" = alpha eps - sigma x0
            (Salimans & Ho 2022).
        tau: the range (low, high) of temperatures trained on, within [0, 1].
        loss_weight: "uniform" in the predicted quantity, or "min_snr" (Hang et al. 2023, gamma 5).
        noise_in: "everywhere", or "destroyed" for noise that lies only where D_t destroys:
            x_t = D_t(x0; z) + tau sigma_t R_t eps, with `Degradation.destroyed` as R_t.
        bounded: whether x0 lies in [-1, 1], as pixels do and latents do not.
    """

    def __init__(
        self,
        degradation: Degradation,
        sigma: Tensor,
        prediction: str = "x0",
        tau: tuple[float, float] = (0.0, 1.0),
        loss_weight: str = "uniform",
        noise_in: str = "everywhere",
        bounded: bool = True,
    ) -> None:
        super().__init__()
        steps = degradation.steps
        if sigma.shape != (steps + 1,) or float(sigma[0]) != 0.0:
            raise ThawError(f"sigma must have {steps + 1} entries and start at 0, got {tuple(sigma.shape)}")
        if prediction not in PREDICTIONS:
            raise ThawError(f"unknown prediction {prediction!r}; choose one of {', '.join(PREDICTIONS)}")
        if loss_weight not in LOSS_WEIGHTS:
            raise ThawError(f"unknown loss weight {loss_weight!r}; choose one of {', '.join(LOSS_WEIGHTS)}")
        if not 0.0 <= tau[0] <= tau[1] <= 1.0:
            raise ThawError(f"the temperatures must satisfy 0 <= low <= high <= 1, got {tuple(tau)}")
        scales = degradation.alpha(torch.arange(steps + 1))
        if prediction != "x0" and bool((scales == 1).all()):
            raise ThawError(f"prediction {prediction!r} needs the hot process; use x0 with other degradations")
        if prediction == "eps" and float(scales[-1]) == 0.0:
            raise ThawError("prediction 'eps' cannot recover x0 where alpha_T is 0; use v or x0 with this schedule")
        if (prediction != "x0" or loss_weight == "min_snr") and tau[0] <= 0:
            raise ThawError(f"prediction {prediction!r} with {loss_weight} weights needs noise; set tau above 0")
        if noise_in not in NOISE_IN:
            raise ThawError(f"unknown noise_in {noise_in!r}; choose one of {', '.join(NOISE_IN)}")
        if noise_in == "destroyed" and type(degradation).destroyed is Degradation.destroyed:
            raise ThawError(f"{type(degradation).__name__} has no destroyed subspace; use noise_in: everywhere")
        self.degradation, self.prediction, self.loss_weight = degradation, prediction, loss_weight
        self.noise_in, self.bounded = noise_in, bounded
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

    def carried(self, residual: Tensor, kappa: float, t: Tensor, s: Tensor, z: Tensor | None = None) -> Tensor:
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
        return Draws(t, tau, noise, self.degradation.draw_z(n, generator))

    def clip(self, x0: Tensor) -> Tensor:
        """Return x0 clipped to [-1, 1] where it is bounded, else as it is."""
        return x0.clamp(-1, 1) if self.bounded else x0

    def time(self, t: Tensor) -> Tensor:
        """Return the network's time input t / T.  (B,) int64 -> (B,) float32"""
        return t.float() / self.steps

    def target(self, x0: Tensor, t: Tensor, tau: Tensor, noise: Tensor) -> Tensor:
        """Return what the network should output for these draws.  (B, C, H, W)"""
        if self.prediction == "x0":
            return x0
        if self.prediction == "eps":
            return noise
        alpha = self.degradation.alpha(t).to(x0.dtype)[:, None, None, None]
        return alpha * noise - self.noise_level(t, tau, x0) * x0

    def predict(self, raw: Tensor, x_t: Tensor, t: Tensor, tau: Tensor) -> Tensor:
        """Turn the network's raw output into x0_hat (not clipped).  (B, C, H, W)

        With x_t = alpha x0 + s eps:  eps gives (x_t - s eps) / alpha,  v gives
        (alpha x_t - s v) / (alpha^2 + s^2), which never divides by zero.
        """
        if self.prediction == "x0":
            return raw
        alpha = self.degradation.alpha(t).to(raw.dtype)[:, None, None, None]
        level = self.noise_level(t, tau, raw)
        if self.prediction == "eps":
            return (x_t - level * raw) / alpha
        return (alpha * x_t - level * raw) / (alpha**2 + level**2)

    def loss(self, network: nn.Module, x0: Tensor, y: Tensor, draws: Draws) -> Tensor:
        """Return the weighted mean squared error of the network on these draws, a scalar."""
        x_t = self(x0, draws.t, draws.tau, draws.noise, draws.z)
        raw = network(x_t, self.time(draws.t), draws.tau, y)
        error = (raw - self.target(x0, draws.t, draws.tau, draws.noise)).square().mean(dim=(1, 2, 3))  # (B,)
        return (error * self.weight(draws.t, draws.tau).to(error.dtype)).mean()

    def weight(self, t: Tensor, tau: Tensor) -> Tensor:
        """Return the loss weight of each draw.  (B,) -> (B,)

        `min_snr` weights the error of x0_hat by min(snr, 5), expressed for the predicted quantity.
        """
        if self.loss_weight == "uniform":
            return torch.ones_like(tau)
        alpha, level = self.degradation.alpha(t), tau * self.sigma[t]
        snr = (alpha / level).square()
        of_x0 = snr.clamp(max=5.0)
        if self.prediction == "x0":
            return of_x0
        if self.prediction == "eps":
            return of_x0 / snr
        return of_x0 * level.square() / (alpha.square() + level.square()).square()
