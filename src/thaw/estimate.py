"""Which degradation a picture has been through, and how far: a posterior over (kind, t) where neither is told.

For every step of every candidate the images are degraded, and what comes out is told as a normal distribution with all
its covariances: structure that survives at t, and does not at t + 1, is variance there and none here. How far such
densities can be trusted is measured on images that were held out: one temperature for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from thaw.base import ThawError, check_images, generator
from thaw.degradations import Degradation

NOISE = 0.02  # standard deviation of what is on a picture besides: rounding, and what no normal distribution tells
MOST = 50  # steps that are tried of a degradation
HELD = 4  # images a step that the temperature is measured on
CLEAN = "undegraded"  # the candidate that no degradation is, at step 0
BETAS = torch.logspace(-3, 0, 31, dtype=torch.float64)


@dataclass(frozen=True)
class Estimate:
    """A posterior over kinds and steps.

    Attributes:
        cells: (kind, t) of each of the M candidates, the last one (`CLEAN`, 0).
        p: (B, M) float64, for each picture by itself.
        together: (M,), if all pictures were degraded alike.
    """

    cells: list[tuple[str, int]]
    p: Tensor
    together: Tensor

    @property
    def best(self) -> tuple[str, int]:
        """The likeliest kind and step of all pictures together."""
        return self.cells[int(self.together.argmax())]

    def of_kinds(self) -> dict[str, float]:
        """Return the probability of each kind, for all pictures together, the likeliest first."""
        found: dict[str, float] = {}
        for (kind, _), share in zip(self.cells, self.together.tolist(), strict=True):
            found[kind] = found.get(kind, 0.0) + share
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def steps_of(self, kind: str, share: float = 0.9) -> tuple[int, int]:
        """Return the first and the last of the likeliest steps of a kind, which hold a share of its probability."""
        found = {t: float(p) for (name, t), p in zip(self.cells, self.together, strict=True) if name == kind}
        held, chosen = 0.0, []
        for t, p in sorted(found.items(), key=lambda item: -item[1]):
            if held >= share * sum(found.values()):
                break
            held, chosen = held + p, [*chosen, t]
        return min(chosen), max(chosen)

    def __str__(self) -> str:
        kind, t = self.best
        low, high = self.steps_of(kind)
        kinds = ", ".join(f"{name} {share:.0%}" for name, share in list(self.of_kinds().items())[:3])
        span = f"step {t}" if low == high else f"step {t} ({low} to {high}, nine times of ten)"
        return f"estimated: {kind}, {span}; {kinds}"


@torch.no_grad()
def estimate(
    pictures: Tensor, kinds: Mapping[str, Degradation], images: Tensor, *, noise: float = NOISE, most: int = MOST,
    seed: int = 0,
) -> Estimate:  # fmt: skip
    """Estimate by which degradation, and to which step, pictures were degraded.

    Args:
        pictures: (B, C, H, W) in [-1, 1].
        kinds: the candidates by name, on the CPU.
        images: (N, C, H, W) in [-1, 1] of the kind that the pictures were: training images, or draws of a hot model.
        noise: standard deviation of the noise on the pictures.
        most: steps that are tried of each candidate, evenly spaced, 1 and T included.
        seed: of z and of what is held out.

    Raises:
        ThawError: for no candidates, too few images, or pictures of another shape.
    """
    check_images(pictures, tuple(images.shape[1:]))
    if not kinds or len(images) < 50:
        raise ThawError(f"an estimate needs candidates and at least 50 images, got {len(kinds)} and {len(images)}")
    tried = {kind: steps_tried(one.steps, most) for kind, one in kinds.items()} | {CLEAN: [0]}
    cells = [(kind, t) for kind, steps in tried.items() for t in steps]
    before = torch.cat([torch.full((len(steps),), 1 / len(steps)).double() for steps in tried.values()]).log()
    draws = generator(seed, "estimate")
    known, held = images[len(images) // 5 :], images[: len(images) // 5]

    def made(x: Tensor, kind: str, t: int) -> Tensor:
        if t:
            z = kinds[kind].draw_z(len(x), draws)
            x = kinds[kind](x, torch.full((len(x),), t), z)
        return x.flatten(1).double()

    others = [made(held[torch.randint(len(held), (HELD,), generator=draws)], *cell) for cell in cells]
    asked = torch.cat([pictures.flatten(1).double(), *others])
    asked = asked + noise * torch.randn(asked.shape, generator=draws, dtype=torch.float64)
    log_p = torch.stack([_log_density(made(known, *cell), asked, noise) for cell in cells], dim=1)
    given, tested = log_p.split([len(pictures), len(asked) - len(pictures)])
    true = torch.arange(len(cells)).repeat_interleave(HELD)
    losses = [torch.nn.functional.cross_entropy(beta * tested + before, true) for beta in BETAS]
    beta = BETAS[int(torch.stack(losses).argmin())]
    return Estimate(cells, (beta * given + before).softmax(dim=1), (beta * given.sum(dim=0) + before).softmax(dim=0))


def steps_tried(total: int, most: int = MOST) -> list[int]:
    """Return at most so many steps, evenly spaced, from 1 to T."""
    return sorted({round(t) for t in torch.linspace(1, total, min(most, total)).tolist()})


def _log_density(made: Tensor, asked: Tensor, noise: float) -> Tensor:
    """Return log N(asked; mean, covariance + noise^2) by those of pictures.  (N, P), (B, P) -> (B,)"""
    mean = made.mean(dim=0)
    covariance = torch.cov(made.mT)
    ridge = noise**2 + 0.003 * float(covariance.diagonal().mean())
    root = torch.linalg.cholesky(covariance + ridge * torch.eye(len(mean)).double())
    white = torch.linalg.solve_triangular(root, (asked - mean).mT, upper=False)
    return -0.5 * white.square().sum(dim=0) - root.diagonal().log().sum()
