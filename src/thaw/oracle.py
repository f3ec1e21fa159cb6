"""Exact restorers, without a network: what a sampler loses by itself, and a test of whole samplers.

Both return a `Restore` for `thaw.sampling.reverse`: the posterior mean E[x0 | x_t] that a perfect network would give.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from thaw.base import ThawError, generator
from thaw.degradations import Degradation
from thaw.process import Process
from thaw.sampling import Restore

RIDGE = 1e-5  # the variance of x_t that stands in for noise where there is none: what is told is told to 0.3 %


@dataclass(frozen=True)
class Gaussian:
    """Images x0 = mean + basis h with independent normal h: the data, as far as mean and covariance tell.

    Attributes:
        mean: (C, H, W).
        basis: (C H W, R) orthonormal directions.
        variance: (R,) variances along them.

    >>> data = Gaussian.of(torch.rand(50, 1, 4, 4), rank=3)
    >>> data.images(data.numbers(data.mean[None])).shape
    torch.Size([1, 1, 4, 4])
    """

    mean: Tensor
    basis: Tensor
    variance: Tensor

    @classmethod
    def of(cls, images: Tensor, rank: int = 150) -> "Gaussian":
        """Return the normal distribution of images (N, C, H, W), in the `rank` directions of largest variance."""
        flat = images.flatten(1).double()
        mean = flat.mean(dim=0)
        if len(flat) > flat.shape[1]:
            variance, basis = torch.linalg.eigh(torch.cov(flat.mT))
            variance, basis = variance.flip(0), basis.flip(1)
        else:
            _, deviation, directions = torch.linalg.svd(flat - mean, full_matrices=False)
            variance, basis = deviation.square() / max(1, len(flat) - 1), directions.mT
        rank = min(rank, int((variance > 1e-9 * variance[0]).sum()))
        return cls(mean.view(images.shape[1:]).float(), basis[:, :rank].float(), variance[:rank].float())

    def draw(self, n: int, draws: torch.Generator) -> Tensor:
        """Draw images (n, C, H, W); they may leave [-1, 1]."""
        return self.images(torch.randn(n, len(self.variance), generator=draws) * self.variance.sqrt())

    def images(self, h: Tensor) -> Tensor:
        """Return mean + basis h.  (N, R) -> (N, C, H, W)"""
        return self.mean + (h @ self.basis.mT).view(-1, *self.mean.shape)

    def numbers(self, images: Tensor) -> Tensor:
        """Return h of images.  (N, C, H, W) -> (N, R)"""
        return (images - self.mean).flatten(1) @ self.basis


class Affine:
    """D_t(x0; z) = D_t(mean; z) + B_t h for the directions of Gaussian data and one z, each step computed once.

    Args:
        degradation: D_t, on the CPU.
        data: the directions.
        z: what is fixed along one trajectory, (1, ...), or None.
    """

    def __init__(self, degradation: Degradation, data: Gaussian, z: Tensor | None = None) -> None:
        self.degradation, self.data, self.z = degradation, data, z
        self._steps: dict[int, tuple[Tensor, Tensor]] = {}

    def _degraded(self, x0: Tensor, t: int) -> Tensor:
        z = None if self.z is None else self.z.expand(len(x0), *self.z.shape[1:])
        return self.degradation(x0, torch.full((len(x0),), t), z).flatten(1)

    def at(self, t: int) -> tuple[Tensor, Tensor]:
        """Return D_t(mean; z), (C H W,), and B_t, (C H W, R).

        Raises:
            ThawError: if D_t is not affine in x0.
        """
        if t not in self._steps:
            scale = 0.9 / self.data.basis.abs().max()  # D_t takes pixels in [-1, 1]
            moved = scale * self.data.basis.mT.reshape(-1, *self.data.mean.shape)
            mix = torch.randn(4, len(moved), generator=generator(0, "affine"))
            mixed = torch.einsum("nr,rchw->nchw", mix, moved)
            largest = mixed.abs().amax(dim=(1, 2, 3))
            zero = self._degraded(torch.zeros_like(moved[:1]), t)
            matrix = (self._degraded(moved, t) - zero).mT / scale
            expected = zero + scale * (mix / largest[:, None]) @ matrix.mT
            if float((self._degraded(mixed / largest[:, None, None, None], t) - expected).abs().max()) > 0.01:
                raise ThawError(f"{type(self.degradation).__name__} is not affine in x0 at step {t}; use data_oracle")
            self._steps[t] = self._degraded(self.data.mean[None], t)[0], matrix
        return self._steps[t]


def _check_noise(process: Process) -> None:
    if process.noise_in != "everywhere":
        raise ThawError("an exact restorer needs noise on every pixel; use noise_in: everywhere")


def gaussian_oracle(process: Process, affine: Affine, tau: float) -> Restore:
    """Return the exact E[x0 | x_t] for Gaussian data and a D_t that is affine in x0.

    E[h | x_t] = (tau^2 sigma_t^2 / variance + B_t' B_t)^-1 B_t' (x_t - D_t(mean; z)).

    Args:
        process: forward process on the CPU, with noise everywhere; not `bounded`, as Gaussian data is not.
        affine: D_t for these data and the z of the batch.
        tau: the temperature.

    Raises:
        ThawError: for a D_t that is not affine, or noise only where it destroys.
    """
    _check_noise(process)
    gains: dict[int, Tensor] = {}

    def restore(x_t: Tensor, t: Tensor) -> Tensor:
        step = int(t[0])
        offset, matrix = affine.at(step)
        if step not in gains:
            wide = matrix.double()
            noise = (tau * float(process.sigma[step])) ** 2 + RIDGE
            inner = torch.diag(noise / affine.data.variance.double()) + wide.mT @ wide
            gains[step] = torch.linalg.solve(inner, wide.mT).to(matrix.dtype)
        return affine.data.images((x_t.flatten(1) - offset) @ gains[step].mT)

    return restore


def data_oracle(process: Process, images: Tensor, tau: float, z: Tensor | None = None) -> Restore:
    """Return E[x0 | x_t] where x0 is one of a set of images, for any D_t at tau > 0: the ideal denoiser of the set.

    x0_hat = sum_i w_i x_i, w_i ~ exp(-||x_t - D_t(x_i; z)||^2 / (2 tau^2 sigma_t^2)).

    Args:
        process: forward process on the CPU, with noise everywhere.
        images: (N, C, H, W) in [-1, 1].
        tau: the temperature, above 0.
        z: what the degradation keeps fixed, one for the whole batch, (1, ...), or None.

    Raises:
        ThawError: without noise, or with noise only where D_t destroys.
    """
    _check_noise(process)
    if tau <= 0:
        raise ThawError(f"the ideal restorer of a data set needs noise; set tau above 0, got {tau:g}")
    degraded: dict[int, Tensor] = {}

    def restore(x_t: Tensor, t: Tensor) -> Tensor:
        step = int(t[0])
        if step not in degraded:
            fixed = None if z is None else z.expand(len(images), *z.shape[1:])
            degraded[step] = process.degradation(images, torch.full((len(images),), step), fixed).flatten(1)
        variance = (tau * float(process.sigma[step])) ** 2 + RIDGE
        distance = torch.cdist(x_t.flatten(1).double(), degraded[step].double()).square()
        weights = (-0.5 * distance / variance).softmax(dim=1).to(x_t.dtype)
        return (weights @ images.flatten(1)).view_as(x_t)

    return restore
