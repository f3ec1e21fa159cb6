"""How likely is an image?  log p(x given y) of a flow, the bound of a diffusion model, and Bayes' rule on either.

A flow's walk x_t = (1 - s) x_0 + s eps, s = t/T, is also that of an ordinary differential equation,

    dx/ds = u(x, s) = (x - x0_hat(x, s)) / s,      log p(x_0) = log N(x_1; 0, I) + integral of div u ds

(Chen et al. 2018; Song et al. 2021, equation 39). Leaving the divergence out gives no likelihood.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from thaw.base import ThawError
from thaw.process import Process
from thaw.sampling import Restore

EXACT = 49  # dimensions up to which the trace is exact unless told otherwise
Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]  # (x_t (B, C, H, W), t (B,), y (B,)) -> x0_hat (B, C, H, W)


def draw_probes(shape: tuple[int, int, int], count: int | None, generator: torch.Generator | None = None) -> Tensor:
    """Return the directions that a trace is taken along, (P, C, H, W), scaled for a sum over them.

    Args:
        shape: (C, H, W).
        count: random signs so many times (Hutchinson 1989); None for every axis, which is exact.
        generator: CPU generator of the signs.
    """
    D = math.prod(shape)
    if count is None:
        return torch.eye(D).reshape(D, *shape)
    if count < 1:
        raise ThawError(f"the trace needs at least one probe, got {count}")
    signs = torch.randint(0, 2, (count, *shape), generator=generator) * 2.0 - 1.0
    return signs / math.sqrt(count)


def divergence(field: Callable[[Tensor], Tensor], x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
    """Return a vector field and the trace of its Jacobian, image by image.

    One evaluation forwards and one backwards a probe. (All probes in one batch took as long, by
    `is_grads_batched` as by `torch.func`: a batch of images fills the processor already.)

    Args:
        field: (B, C, H, W) -> (B, C, H, W), each image for itself.
        x: where, (B, C, H, W).
        probes: see `draw_probes`; the same for all images.

    Returns:
        (B, C, H, W) and (B,): the sum over probes v of v^T J v.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = field(x)
    trace = x.new_zeros(len(x))
    for probe in probes.to(x):
        (along,) = torch.autograd.grad(value, x, probe.expand_as(x), retain_graph=True)
        trace += (along * probe).flatten(1).sum(dim=1)
    return value.detach(), trace.detach()


def log_likelihood(
    process: Process,
    restore: Restore,
    x: Tensor,
    *,
    steps: int = 10,
    probes: int | None = None,
    first: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return log p(x) of a flow by its probability-flow equation.

    x moves by the classical Runge-Kutta method. The divergence, which costs by far the most, is taken
    once a step and integrated by Simpson's rule: of the same fourth order, for a quarter of the cost.

    Args:
        process: hot, with the flow schedule.
        restore: differentiable, (x_t, t) -> x0_hat, each image for itself; on latents not clipped.
        x: (B, C, H, W).
        steps: of the integration, an even number; 2 * steps divides T.
        probes: random directions of the trace; None for the exact trace up to 49 dimensions and 8 beyond.
        first: step that the velocity is taken from where t is smaller, down to 0, where it would divide by 0.
        generator: CPU generator of the directions, the same for all images.

    Returns:
        Nats, (B,).

    Raises:
        ThawError: for another process, or a number of steps that does not fit.
    """
    _check_flow(process)
    T, D = process.steps, math.prod(process.shape)
    if steps < 2 or steps % 2 or T % (2 * steps):
        raise ThawError(f"steps must be even and 2 * steps divide T={T}, got steps={steps}")
    if not 1 <= first <= T:
        raise ThawError(f"first must be between 1 and T={T}, got {first}")
    directions = draw_probes(process.shape, 8 if probes is None and D > EXACT else probes, generator)
    h, half = 1.0 / steps, T // (2 * steps)

    def velocity(x: Tensor, t: int) -> Tensor:
        t = max(t, first)
        return (x - restore(x, torch.full((len(x),), t, device=x.device))) * (T / t)

    total = x.new_zeros(len(x))
    for step in range(steps + 1):
        t = 2 * half * step
        u1, trace = divergence(partial(velocity, t=t), x, directions)
        simpson = 1 if step in (0, steps) else 4 if step % 2 else 2
        total += simpson * h / 3 * trace
        if step == steps:
            break
        with torch.no_grad():
            u2 = velocity(x + h / 2 * u1, t + half)
            u3 = velocity(x + h / 2 * u2, t + half)
            u4 = velocity(x + h * u3, t + 2 * half)
            x = x + h / 6 * (u1 + 2 * u2 + 2 * u3 + u4)
    return total - 0.5 * (x.square().flatten(1).sum(dim=1) + D * math.log(2 * math.pi))


def _check_flow(process: Process) -> None:
    straight = torch.arange(process.steps + 1, dtype=torch.float64) / process.steps
    steps = torch.arange(process.steps + 1, device=process.sigma.device)
    scales = process.degradation.alpha(steps).cpu().double()
    if process.tau != (1.0, 1.0) or not torch.allclose(process.sigma.cpu(), straight) or (scales != 1 - straight).any():
        raise ThawError("the likelihood by a differential equation needs degradation: scale, schedule: flow and tau 1")


def elbo(
    process: Process,
    denoise: Denoise,
    x: Tensor,
    classes: list[int],
    *,
    draws: int = 50,
    first: int | None = None,
    levels: int | None = 256,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the variational bound of log p(x given y) for each class (Kingma et al. 2021, equations 11 to 13).

    It is a mean of denoising errors, each weighted by how much the signal-to-noise ratio falls from
    t - 1 to t; t is drawn so that the weights hardly differ in the noise that is predicted. All
    classes of an image share its draws of (t, eps), so that their difference is far more certain
    than the bound itself (Li et al. 2023; Clark & Jaini 2023).

    Args:
        process: hot, any schedule.
        denoise: (x_t, t, y) -> x0_hat.
        x: (B, C, H, W).
        classes: labels y to compare.
        draws: of (t, eps), stratified in t; a tenth as many more for the last step.
        first: the last step of the walk to x_0 goes from here at once, T / 50 by default: what is finer is
            left to a Gaussian around x0_hat.
        levels: grey levels of pixels in [-1, 1], whose probabilities are bounded; None for densities (latents).
        generator: CPU generator.

    Returns:
        Nats, (B, K).
    """
    T, D = process.steps, math.prod(process.shape)
    first = max(1, T // 50) if first is None else first
    if process.tau != (1.0, 1.0) or bool((process.degradation.alpha(torch.arange(2)) == 1).all()):
        raise ThawError("the bound needs degradation: scale and tau 1")
    if not 1 <= first < T or draws < 1:
        raise ThawError(f"first must be between 1 and T-1={T - 1}, and draws at least 1, got {first} and {draws}")
    alpha = process.degradation.alpha(torch.arange(T + 1, device=x.device)).double()
    sigma = process.sigma.to(x.device)
    snr = (alpha / sigma.clamp(min=1e-12)).square()
    falls = snr[first:T] - snr[first + 1 :]  # of the steps first + 1 .. T
    share = (snr[first:T] / snr[first + 1 :].clamp(min=1e-30)).log()
    share[-1] = share[-2] if len(share) > 1 else 1.0  # to pure noise the ratio falls to 0, its logarithm for ever
    share = share / share.sum()
    place = (torch.arange(draws) + torch.rand(draws, generator=generator)).double() / draws
    chosen = torch.searchsorted(share.cumsum(0).cpu(), place).clamp(max=len(share) - 1)
    labels = torch.tensor(classes, device=x.device).repeat_interleave(len(x))

    def restored(t: int) -> Tensor:
        """Return x0_hat from one fresh noise at step t, (K, B, C, H, W)."""
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        x_t = (alpha[t] * x + sigma[t] * noise).to(x.dtype).repeat(len(classes), 1, 1, 1)
        x0_hat = denoise(x_t, torch.full((len(x_t),), t, device=x.device), labels)
        return x0_hat.unflatten(0, (len(classes), len(x)))

    errors = x.new_zeros(len(classes), len(x), dtype=torch.float64)
    for index in chosen.tolist():
        weight = 0.5 * falls[index] / (share[index] * draws)
        errors += weight * (restored(first + 1 + index) - x).square().flatten(2).sum(dim=2)
    last, told = max(1, draws // 10), torch.zeros_like(errors)
    for _ in range(last):
        found = gaussian_log_probability(x, restored(first), float(sigma[first] / alpha[first]), levels)
        told += found.flatten(2).sum(dim=2) / last
    end = 0.5 * (alpha[T] ** 2 * x.square().flatten(1).sum(dim=1) + D * (sigma[T] ** 2 - 1 - 2 * sigma[T].log()))
    return (told - errors - end).T


def gaussian_log_probability(x: Tensor, mean: Tensor, std: float, levels: int | None) -> Tensor:
    """Return the log-probability of pixels under Gaussians: of their grey level, or the density.

    Args:
        x: in [-1, 1] where `levels` is given.
        mean: same shape, or broadcastable to it.
        std: of all pixels.
        levels: equally spaced greys from -1 to 1; the darkest and the brightest reach to infinity.
            None for the density.

    Returns:
        Nats, of the broadcast shape, float64.
    """
    x, mean = x.double(), mean.double()
    if levels is None:
        return -0.5 * ((x - mean) / std).square() - math.log(std) - 0.5 * math.log(2 * math.pi)
    half = 1.0 / (levels - 1)
    upper, lower = (x + half - mean) / std, (x - half - mean) / std
    upper = torch.where(x > 1 - half, math.inf, upper)
    lower = torch.where(x < -1 + half, -math.inf, lower)
    lower, upper = torch.where(lower > 0, -upper, lower), torch.where(lower > 0, -lower, upper)  # the exact tail
    above, below = torch.special.log_ndtr(upper), torch.special.log_ndtr(lower)
    return above + torch.log(-torch.expm1((below - above).clamp(max=-1e-12)))


def class_posterior(log_likelihoods: Tensor, prior: Tensor | None = None) -> Tensor:
    """Return p(y given x) by Bayes' rule.

    Args:
        log_likelihoods: log p(x given y), (B, K) nats.
        prior: p(y), (K,); None for equal classes.

    Raises:
        ThawError: for a prior that is no distribution over the K classes.
    """
    if prior is None:
        return log_likelihoods.softmax(dim=1)
    if prior.shape != log_likelihoods.shape[1:] or (prior < 0).any() or abs(float(prior.sum()) - 1) > 1e-4:
        raise ThawError(f"a prior holds {log_likelihoods.shape[1]} probabilities that sum to 1, got {prior.tolist()}")
    return (log_likelihoods + prior.to(log_likelihoods).log()).softmax(dim=1)


def class_shares(labels: Tensor, classes: int) -> Tensor:
    """Return the prior p(y) that a training set's labels (N,) tell, with one more image a class; (K,)."""
    counts = torch.bincount(labels, minlength=classes).double() + 1
    return counts / counts.sum()


def bits_per_dimension(nats: Tensor, dimensions: int) -> float:
    """Return the mean of -log2 p over images, per dimension.  (B,) log-likelihoods in nats -> bits"""
    return float(-nats.double().mean() / (dimensions * math.log(2)))
