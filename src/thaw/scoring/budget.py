"""The error budget of a degradation, before any training: what the sampler loses with a perfect restorer.

The exact restorer of Gaussian data (`thaw.oracle`) takes the network's place in the sampler. What it ends with is
compared with the data it began from: the Fréchet distance of mean and covariance, as a share of the data's variance.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from thaw.base import ThawError, generator
from thaw.degradations import Degradation, Softened
from thaw.model import Model
from thaw.oracle import Affine, Gaussian, data_oracle, gaussian_oracle
from thaw.process import Process
from thaw.sampling import SAMPLERS, Restore, Sampling, Step, final, reverse
from thaw.schedules import noise_schedule
from thaw.terminal import Terminal

N = 1000  # trajectories behind each number
FINE = 112  # steps that count as continuous
EACH = 2  # z drawn, where there is one; the trajectories share them
TOLERATED = 1.25  # the advice takes the fewest steps that lose at most so much more than all of them


@dataclass(frozen=True)
class Loss:
    """What a sampler loses."""

    # Fréchet distance of mean and covariance from the data's, as a share of the data's variance; that of as many images
    # drawn from the data is taken off
    distance: float
    kept: float  # variance of the samples, as a share of the data's


def frechet_share(h: Tensor, data: Gaussian) -> float:
    """Return the Fréchet distance of numbers h (N, R) from N(0, variance), as a share of the summed variance."""
    h, deviation = h.double(), data.variance.double().sqrt()
    covariance = torch.cov(h.mT)
    cross = torch.linalg.eigvalsh(deviation[:, None] * covariance * deviation).clamp(min=0).sqrt().sum()
    total = deviation.square().sum()
    return float((total + covariance.trace() - 2 * cross + h.mean(dim=0).square().sum()) / total)


def loss_of(h: Tensor, real: Tensor, data: Gaussian) -> Loss:
    """Return what numbers h (N, R) of samples have lost against those of as many real images."""
    kept = float(h.var(dim=0).sum() / real.var(dim=0).sum())
    return Loss(frechet_share(h, data) - frechet_share(real, data), kept)


class Oracle:
    """A degradation under samplers with a perfect restorer.

    Args:
        degradation: D_t, on the CPU, of the step that every setting is a variation of.
        images: training images (N, C, H, W) in [-1, 1]; some thousands.
        seed: of the draws, alike in all settings.
        n: trajectories behind each number; the data are described in at most n/4 directions.
    """

    def __init__(self, degradation: Degradation, images: Tensor, seed: int = 0, n: int = N) -> None:
        self.degradation, self.images, self.seed, self.n = degradation, images, seed, n
        self.data = Gaussian.of(images, rank=min(150, n // 4))
        draws = generator(seed, "budget z")
        self.fixed = [degradation.draw_z(1, draws) for _ in range(EACH)]
        if self.fixed[0] is None:
            self.fixed = [None]
        self._affine: dict[int, list[Affine]] = {}
        self._losses: dict[tuple[Sampling, str, int], Loss] = {}
        try:
            for t in (1, max(1, degradation.steps // 2), degradation.steps):
                Affine(degradation, self.data, self.fixed[0]).at(t)
            self.affine = True
        except ThawError:
            self.affine = False

    def loss(self, sampling: Sampling, schedule: str = "flow", soften: int = 1) -> Loss:
        """Return what a sampler loses with the exact restorer: of Gaussian data, or of the images if D_t is not affine.

        Args:
            sampling: the sampler's settings; guidance has no part in it.
            schedule: of the noise.
            soften: interpolated steps in place of each.

        Raises:
            ThawError: where D_t is not affine and the temperature is 0.
        """
        degradation = self.degradation if soften == 1 else Softened(self.degradation, soften)
        steps = min(sampling.steps or degradation.steps, degradation.steps)
        asked = (sampling.replace(steps=steps), schedule, soften)
        if asked not in self._losses:  # the same settings are asked for again, as a part and for the advice
            self._losses[asked] = self._measure(degradation, *asked)
        return self._losses[asked]

    def _measure(self, degradation: Degradation, sampling: Sampling, schedule: str, soften: int) -> Loss:
        process = Process(degradation, noise_schedule(schedule, degradation.steps)[1], tau=(0.0, 2.0), bounded=False)
        if soften not in self._affine:
            self._affine[soften] = [Affine(degradation, self.data, z) for z in self.fixed]
        draws, ends, begins = generator(self.seed, "budget"), [], []
        for affine, z in zip(self._affine[soften], self.fixed, strict=True):
            n = self.n // len(self.fixed)
            n = n if self.affine else min(n, len(self.images))
            x0 = self.data.draw(n, draws) if self.affine else self.images[:n]
            z = None if z is None else z.expand(n, *z.shape[1:])
            last, tau = torch.full((n,), process.steps), torch.full((n,), float(sampling.tau))
            x_T = process(x0, last, tau, torch.randn(x0.shape, generator=draws), z)
            if self.affine:
                restore = gaussian_oracle(process, affine, sampling.tau)
            else:
                restore = data_oracle(process, self.images[:n], sampling.tau, None if z is None else z[:1])
            ends.append(self.data.numbers(final(self.walk(process, restore, x0, x_T, sampling, z, draws))))
            begins.append(self.data.numbers(x0))
        return loss_of(torch.cat(ends), torch.cat(begins), self.data)

    def walk(
        self, process: Process, restore: Restore, x0: Tensor, x_T: Tensor, sampling: Sampling, z: Tensor | None,
        draws: torch.Generator,
    ) -> Iterator[Step]:  # fmt: skip
        """Return the walk back from x_T, which was made of x0; a subclass may try another (benchmarks/repairs.py)."""
        return reverse(process, restore, x_T, **sampling.walking(), z=z, generator=draws)

    def start(self, terminal: Terminal) -> float:
        """Return the Fréchet distance of terminal draws from D_T of the images, as a share of the images' variance."""
        n, draws, z = min(self.n, len(self.images)), generator(self.seed, "budget start"), self.fixed[0]
        z = None if z is None else z.expand(n, *z.shape[1:])
        real = self.degradation(self.images[:n], torch.full((n,), self.degradation.steps), z)
        drawn = self.degradation.from_coordinates(terminal.sample(torch.full((n,), -1), draws), z)
        left = Gaussian.of(real, rank=96)
        if float(left.variance.sum()) < 1e-9:
            return 0.0
        share = loss_of(left.numbers(drawn), left.numbers(real), left).distance
        return max(0.0, share) * float(left.variance.sum() / self.data.variance.sum())


@dataclass(frozen=True)
class Budget:
    """What a degradation's sampler loses, in parts, each a share of the data's variance."""

    total: Loss  # the loss under the settings asked for, with a perfect restorer and a perfect start
    steps: float  # what all T steps (112 of them at most) would save
    jumps: float  # what steps that move gradually would save beyond that
    temperature: float  # what remains even then
    start: float | None  # what the terminal adds; None where none was given
    # (soften, tau, schedule, steps) -> the loss: what the advice rests on
    tried: dict[tuple[int, float, str, int], Loss]
    advice: tuple[int, float, str, int]  # the settings that lose least for their steps
    advised: Loss  # their loss
    eta: float  # the share of fresh noise of all of these; where `hot`, the one of 0, 1 and the given that loses least
    hot: bool  # whether the image fades as the noise grows: then steps and eta alone are free

    def __str__(self) -> str:
        soften, tau, schedule, steps = self.advice
        parts = {"start": self.start, "steps": self.steps, "jumps": self.jumps, "temperature": self.temperature}
        told = ", ".join(f"{name} {100 * share:.1f}" for name, share in parts.items() if share is not None)
        settings = f"eta {self.eta:g}" if self.hot else f"soften {soften}, tau {tau:g}, schedule {schedule}"
        return (
            f"lost with a perfect network: {100 * self.total.distance:.1f} % of the data's variance ({told}); "
            f"{100 * self.total.kept:.0f} % of the variance kept\n"
            f"advice: {settings}, {steps} steps: "
            f"{100 * self.advised.distance:.1f} % lost, {100 * self.advised.kept:.0f} % kept"
        )


def error_budget(
    oracle: Oracle,
    sampling: Sampling,
    schedule: str = "flow",
    soften: int = 1,
    terminal: Terminal | None = None,
    taus: Iterable[float] = (1.0, 2.0),
    schedules: Iterable[str] = ("flow", "sqrt"),
) -> Budget:
    """Return the error budget of a degradation under a way of sampling, and the settings that it advises.

    Args:
        oracle: the degradation with its data.
        sampling, schedule, soften: the settings to account for.
        terminal: where sampling starts, if that is to be accounted for.
        taus, schedules: what the advice may choose from; softening is tried at 1, 2 and 4 where T m is at most 112.
            The hot process, whose signal is bound to its noise, can change neither, nor be softened.
    """
    T = oracle.degradation.steps
    total = oracle.loss(sampling, schedule, soften)
    noisy = sampling.replace(sampler="warm") if SAMPLERS[sampling.sampler].temperatures == "cold" else sampling
    most = min(T * soften, max(FINE, sampling.steps or 1))
    every = oracle.loss(sampling.replace(steps=most), schedule, soften)
    fine = max(soften, FINE // T)
    smooth = every if fine == soften else oracle.loss(sampling.replace(steps=T * fine), schedule, fine)
    tried = {}
    parts = [m for m in (1, 2, 4) if m == 1 or T * m <= FINE]
    if hot := float(oracle.degradation.alpha(torch.tensor([T]))) != 1.0:
        parts, taus, schedules = [soften], (sampling.tau,), (schedule,)
        ways = (noisy.replace(sampler="warm", eta=eta, steps=min(28, T)) for eta in (sampling.eta, 0.0, 1.0))
        noisy = min(ways, key=lambda way: oracle.loss(way, schedule, soften).distance)
    for m in parts:
        for tau in taus:
            for name in schedules:
                steps = min(28, T * m)
                tried[m, tau, name, steps] = oracle.loss(noisy.replace(tau=tau, steps=steps), name, m)
    m, tau, name, _ = min(tried, key=lambda settings: tried[settings].distance)
    for steps in (14, 56, min(T * m, FINE)):
        if steps <= T * m:
            tried[m, tau, name, steps] = oracle.loss(noisy.replace(tau=tau, steps=steps), name, m)
    alike = {s: tried[m, tau, name, s] for s in sorted(s for *rest, s in tried if tuple(rest) == (m, tau, name))}
    enough = max(0.01, TOLERATED * min(loss.distance for loss in alike.values()))
    steps = next(s for s, loss in alike.items() if loss.distance <= enough)
    return Budget(
        total, total.distance - every.distance, every.distance - smooth.distance, smooth.distance,
        None if terminal is None else oracle.start(terminal), tried, (m, tau, name, steps), alike[steps],
        noisy.eta, hot,
    )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """What a model's samples have lost, and the network's share of it."""

    loss: Loss  # of the samples, the start's included
    # What a perfect network with the same sampler and start would not lose. Below 0 where the network knows more of the
    # data than mean and covariance, as it does of digits.
    network: float
    # Fréchet distance of as many real images from the data, which is taken off, as a share of the variance
    floor: float
    n: int  # samples, and real images

    def __str__(self) -> str:
        return (
            f"lost with these weights: {100 * self.loss.distance:.1f} % (the network {100 * self.network:.1f}), "
            f"{100 * self.loss.kept:.0f} % kept; {self.n} real images are {100 * self.floor:.1f} % away, taken off"
        )


def network_share(oracle: Oracle, model: Model, budget: Budget, sampling: Sampling, seed: int = 0) -> Measured:
    """Return what samples of a model have lost in the oracle's measure, and how much of it the network is to blame for.

    Its samples are of the classes in turn, without guidance, at the settings that the budget accounts for.
    """
    n = min(oracle.n, len(oracle.images) // 2)
    drawn = oracle.data.numbers(model.sample(model.labels(n), seed=seed, guidance=1.0, **sampling.walking()))
    real = oracle.data.numbers(oracle.images[:n])
    loss = loss_of(drawn, real, oracle.data)
    network = loss.distance - budget.total.distance - (budget.start or 0.0)
    return Measured(loss, network, frechet_share(real, oracle.data), n)
