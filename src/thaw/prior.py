"""The hot model as a prior: it restores what it was never trained to undo, by any degradation, one's own included.

Given y = D(x0; z) + noise, two things are put together:

1. Draws of the model itself, noised, are weighed by how well D of what it restores them to fits y, and one is
   chosen a picture: the start of a particle filter, which finds the mode, and needs no gradient of D. Its class is
   drawn first, by a small classifier of D of these draws: it learns from all of them, where few fit alone.
2. From there the reverse process goes on with E[x0 | x_t, y] in place of E[x0 | x_t]; see `conditioned`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from thaw.base import ThawError, check_images, generator
from thaw.consistency import fitted, traced
from thaw.degradations import Degradation, Scale
from thaw.model import Model
from thaw.process import Process
from thaw.sampling import Restore, final, reverse
from thaw.terminal import FEWEST, fit_classifier

NOISE = 0.02  # standard deviation of the noise on a given picture: rounding to 256 greys, and what no model is exact to
FLOOR = 0.1  # of the variance that is added to the network's: it is no exact covariance
DRAWS = 2000  # of the model, which the start is chosen from
COPIES = 4  # of each with other noise, which its class is learnt from
SIGNAL = 2 / 3  # of the noise, at the start: less of it and few draws fit by chance, more and the same ones always do
STEPS = 14  # of the reverse process from there
BATCH = 128  # images at once


def conditioned(
    process: Process,
    denoise: Restore,
    degrade: Callable[[Tensor], Tensor],
    measured: Tensor,
    *,
    tau: float = 1.0,
    noise: float = NOISE,
    floor: float = FLOOR,
    iterations: int = 6,
) -> Restore:
    """Return the restorer E[x0 | x_t, y], y = `degrade`(x0) + noise eps, of a hot process.

    x0_hat + C A' (A C A' + noise^2)^-1 (y - D(x0_hat)), with A the gradient of D at x0_hat, and C the covariance of x0
    given x_t. The denoiser's own gradient tells it: C = (tau sigma_t)^2 / alpha_t d x0_hat / d x_t (Boys et al. 2023;
    C = 1 is the projection of DDNM, Wang et al. 2023). Conjugate gradients solve it, so that nothing of D is needed but
    its values and its gradient. Exact for Gaussian data, an exact denoiser, an affine D and `floor` 0; a D that is not
    affine is made so at x0_hat.

    Args:
        process: hot, D_t = alpha_t x0; its `bounded` says whether x0_hat is clipped.
        denoise: (x_t, t) -> x0_hat, through which gradients flow.
        degrade: (B, C, H, W) -> (B, C, H, W); what has no gradient moves nothing.
        measured: y, (B, C, H, W).
        tau: the temperature.
        noise: standard deviation of the noise of y.
        floor: share of the variance of x0, were its own variance 1, added to C.
        iterations: of the conjugate gradients; as many as y has numbers are exact.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum(dim=(1, 2, 3), keepdim=True)

    def restore(x_t: Tensor, t: Tensor) -> Tensor:
        alpha = float(process.degradation.alpha(t[:1])[0])
        variance = (tau * float(process.sigma[int(t[0])])) ** 2
        gradient = partial(torch.autograd.grad, retain_graph=True, materialize_grads=True)
        with torch.enable_grad():
            x_t = x_t.detach().requires_grad_()
            x0_hat = denoise(x_t, t)
            guess = process.clip(x0_hat.detach()).requires_grad_()
            made = traced(degrade, guess)
            if not made.requires_grad:
                return guess.detach()
            probe = torch.zeros_like(made, requires_grad=True)
            pulled = gradient(made, guess, probe, create_graph=True)[0]  # A' probe: its gradient is A

        def covariance(u: Tensor) -> Tensor:
            own = gradient(x0_hat, x_t, u)[0] * (variance / alpha) if alpha else 0.0  # at alpha 0 x_t tells nothing
            return own + (floor if alpha else 1.0) * variance / (variance + alpha**2) * u

        residual = measured - made.detach()
        sought, way, size = torch.zeros_like(residual), residual, dot(residual, residual)
        for _ in range(iterations):
            seen = gradient(pulled, probe, covariance(gradient(made, guess, way)[0]))[0].detach() + noise**2 * way
            curvature = dot(way, seen)
            length = torch.where(curvature > 1e-10, size / curvature, 0)  # a network's gradient is not quite symmetric
            sought, residual = sought + length * way, residual - length * seen
            before, size = size, dot(residual, residual)
            way = residual + torch.where(before > 1e-12, size / before, 0) * way
        moved = covariance(gradient(made, guess, sought)[0])
        return process.clip(guess.detach() + moved.detach())

    return restore


class Prior:
    """A hot model with draws of its own, ready to restore pictures of any degradation, without training.

    Args:
        model: hot, of pixels.
        draws: how many images it draws to choose from, once for all pictures.
        seed: of them.

    Raises:
        ThawError: for a model that is not hot, or a flow in a latent.
    """

    def __init__(self, model: Model, draws: int = DRAWS, seed: int = 0) -> None:
        model.check_pixels()
        process = model.process
        if not isinstance(process.degradation, Scale) or process.flow_map:
            undone = type(getattr(process.degradation, "inner", process.degradation)).__name__
            what = "jumps, as fast weights do" if process.flow_map else f"undoes {undone}"
            raise ThawError(f"a prior is a hot model, such as `default`; this one {what}")
        self.model, self.tau, self.seed = model, model.sampling.tau, seed
        alpha = process.degradation.alpha(torch.arange(process.steps + 1, device=model.device))
        self.t = max(1, int((alpha - SIGNAL * self.tau * process.sigma).abs().argmin()))
        self.labels = model.labels(draws)
        self._told: dict[tuple[Degradation, int, float], Callable[[Tensor], Tensor]] = {}

    @cached_property
    def images(self) -> Tensor:
        """The draws, made when they are first asked for: a mistake is told before.  (N, C, H, W)"""
        return self.model.sample(self.labels, seed=self.seed).to(self.model.device)

    @cached_property
    def states(self) -> Tensor:
        """The draws, noised to step `t`.  (N, C, H, W)"""
        noise = torch.randn(self.images.shape, generator=generator(self.seed, "prior")).to(self.images)
        here = torch.full((len(noise),), self.t, device=noise.device)
        return self.model.process(self.images, here, torch.full_like(here, self.tau, dtype=torch.float64), noise)

    @cached_property
    def guesses(self) -> Tensor:
        """What the network takes to be behind the states.  (N, C, H, W)"""
        with torch.no_grad():
            parts = ((x_t, torch.full((len(x_t),), self.t, device=x_t.device)) for x_t in self.states.split(BATCH))
            return torch.cat([self.model.process.clip(self._denoiser(None)(*part)) for part in parts])

    def against(self, degradation: Degradation, config: Any = None) -> "ByPrior":
        """Return a model that restores pictures of a degradation; `config` says which images they are of, if others."""
        hot, T = self.model, degradation.steps
        process = Process(degradation, torch.arange(T + 1) / T, tau=(self.tau, self.tau)).to(hot.device)
        more = {"process": process, "sampling": hot.sampling.replace(sampler="warm", eta=1.0), "prior": self}
        return ByPrior(**vars(hot) | more | {"config": hot.config if config is None else config})

    def _denoiser(self, y: Tensor | None) -> Restore:
        """Return the network as (x_t, t) -> x0_hat for labels y (B,), or for the null class."""
        model = self.model

        def denoise(x_t: Tensor, t: Tensor) -> Tensor:
            told = torch.full((len(x_t),), model.classes) if y is None else y
            return model.denoise(x_t, t, told.to(model.device), self.tau)

        return denoise

    def log_fit(self, x_t: Tensor, degrade: Callable[[Tensor], Tensor], noise: float = NOISE) -> Tensor:
        """Return log p(x_t | draw) for pictures (B, C, H, W) and each of the N draws, up to a constant.  (B, N) float64

        It is normal about D of what the noised draw is restored to. Its covariance is that of the misfit, D(x0)
        less that, over all draws.

        Args:
            x_t: on the model's device.
            degrade: one D for all of them, (N, C, H, W) -> (N, C, H, W).
            noise: standard deviation of the noise of x_t.
        """
        made = degrade(self.guesses).flatten(1).double()
        misfit = degrade(self.images).flatten(1).double() - made
        covariance = misfit.mT @ misfit / len(misfit)
        ridge = noise**2 + 0.01 * float(covariance.diagonal().mean())
        root = torch.linalg.cholesky(covariance + ridge * torch.eye(len(covariance)).to(covariance))
        white = [torch.linalg.solve_triangular(root, a.mT, upper=False).mT for a in (x_t.flatten(1).double(), made)]
        return -0.5 * torch.cdist(*white).square()

    def posterior(self, x_t: Tensor, degradation: Degradation, t: int, noise: float = NOISE) -> Tensor:
        """Return p(y | x_t) for pictures (B, C, H, W) without z, from its own draws and their classes.  (B, K)

        Its classifier is fitted when it is first asked of a degradation at a step: that takes longer than to restore.
        """
        key = degradation, t, noise
        if key not in self._told:
            here = torch.full((len(self.images),), t, device=self.images.device)
            self._told[key] = self._tell(degradation(self.images, here), noise)
        return self._told[key](x_t)

    def _tell(self, made: Tensor, noise: float) -> Callable[[Tensor], Tensor]:
        """Return x_t -> p(y | x_t), fitted to what D makes of the draws.  (N, C, H, W)

        The noise of all pixels stands in the numbers that are left of them, so that what hardly varies tells little.
        """
        made, K = made.flatten(1), self.model.classes
        mean = made.mean(dim=0)
        variance, basis = torch.linalg.eigh((made - mean).double().mT @ (made - mean).double() / len(made))
        basis = basis[:, variance > noise**2 / made.shape[1]].to(made)
        if not basis.shape[1]:  # nothing is left to tell it by
            shares = torch.bincount(self.labels, minlength=K) / len(made)
            return lambda x_t: shares.expand(len(x_t), -1)
        numbers = ((made - mean) @ basis).cpu().repeat(COPIES, 1)
        share = noise * (made.shape[1] / basis.shape[1]) ** 0.5
        numbers += share * torch.randn(numbers.shape, generator=generator(0, "classes by prior"))
        classifier = fit_classifier(numbers, self.labels.repeat(COPIES))
        return lambda x_t: classifier(((x_t.flatten(1) - mean) @ basis).cpu(), K)

    def restore(
        self, x_t: Tensor, degradation: Degradation, t: int, *, y: Tensor | None = None, z: Tensor | None = None,
        seed: int = 0, noise: float = NOISE, steps: int = STEPS, eta: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Restore pictures of a degradation that the model was never trained to undo; other seeds restore differently.

        Args:
            x_t: D_t(x0; z), (B, C, H, W) in [-1, 1].
            degradation: D, any, on the model's device.
            t: the step they stand at, 1..T of the degradation.
            y: class labels (B,); by default drawn from `posterior`, or where z differs the null class.
            z: the z they were degraded with.
            seed: of the choice and of the noise.
            noise: standard deviation of the noise of x_t.
            steps: of the reverse process, from `self.t`.
            eta: 0 deterministic from the chosen draw on, to 1 ancestral.

        Returns:
            (B, C, H, W) in [-1, 1], on the CPU.

        Raises:
            ThawError: for a step that is none, pictures of another shape, or classes that the model does not know.
        """
        model, process = self.model, self.model.process
        check_images(x_t, process.shape)
        if not 1 <= t <= degradation.steps:
            raise ThawError(f"t must be between 1 and T={degradation.steps}, got {t}")
        if y is not None:
            model.check_labels(y)
        x_t, z = x_t.to(model.device), None if z is None else z.to(model.device)

        def degrade(x: Tensor, z: Tensor | None) -> Tensor:
            return degradation(x, torch.full((len(x),), t, device=x.device), z)

        draws = generator(seed, "restore by prior")
        if z is None:
            fit = self.log_fit(x_t, lambda x: degrade(x, None), noise)
            if y is None and model.conditional and FEWEST <= len(self.labels) // model.classes < len(self.labels):
                y = torch.multinomial(self.posterior(x_t, degradation, t, noise), 1, generator=draws)[:, 0]
        else:
            wide = [fixed.expand(len(self.images), *z.shape[1:]) for fixed in z]
            each = zip(x_t.split(1), wide, strict=True)
            fit = torch.cat([self.log_fit(one, partial(degrade, z=fixed), noise) for one, fixed in each])
        if y is not None and model.conditional:
            others = self.labels != y[:, None]
            fit = fit.masked_fill((others & (y < model.classes)[:, None]).to(fit.device), -torch.inf)
        chosen = torch.multinomial(fit.softmax(dim=1).cpu(), 1, generator=draws)[:, 0]
        parts = []
        for part in torch.arange(len(x_t)).split(BATCH):
            fixed = None if z is None else z[part]
            denoise = self._denoiser(None if y is None else y[part])
            told = {"tau": self.tau, "noise": noise}
            restore = conditioned(process, denoise, partial(degrade, z=fixed), x_t[part], **told)
            start = self.states[chosen[part]].to(x_t.dtype)
            walk = reverse(process, restore, start, tau=self.tau, eta=eta, steps=steps, start=self.t, generator=draws)
            parts.append(final(walk).cpu())
        return torch.cat(parts)


@dataclass
class ByPrior(Model):
    """A hot model in the place of one that was trained on a degradation: it restores, and draws nothing from T."""

    prior: Prior | None = None  # what restores

    def restore(
        self, x_t: Tensor, t: int, *, y: Tensor | None = None, z: Tensor | None = None, seed: int = 0,
        infer: bool = False, consistent: bool = False, **settings: Any,
    ) -> Tensor:  # fmt: skip
        """Restore pictures, see `Prior.restore`; of the settings only `steps` and `eta` can differ from its own.

        Raises:
            ThawError: for another sampler or temperature, or a class to be inferred, as a prior does by itself.
        """
        if infer:
            raise ThawError("a prior finds the class by itself; leave `infer` out")
        wanted = self.sampling.replace(**settings)
        if (wanted.sampler, wanted.tau, wanted.guidance) != ("warm", self.prior.tau, self.sampling.guidance):
            raise ThawError(f"a prior restores warm, at tau={self.prior.tau:g}; leave other samplers and guidance out")
        walking = {name: value for name in ("steps", "eta") if (value := settings.get(name)) is not None}
        restored = self.prior.restore(x_t, self.process.degradation, t, y=y, z=z, seed=seed, **walking)
        if not consistent:
            return restored
        return fitted(restored.to(self.device), *self.measured(x_t, t, z)).cpu()
