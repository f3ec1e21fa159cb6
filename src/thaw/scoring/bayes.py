"""Classifying with a generator: which class makes an image most likely?"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from tqdm.auto import tqdm

from thaw.base import ThawError, generator, pick
from thaw.data import ImageSet
from thaw.likelihood import bits_per_dimension, class_posterior, elbo, log_likelihood
from thaw.model import Model

ROUTES = ("ode", "elbo")


@dataclass(frozen=True)
class Classification:
    """What Bayes' rule says of some images.

    Attributes:
        route: "ode" (likelihoods of a flow) or "elbo" (bounds).
        log_likelihoods: log p(x given y), (N, K) nats.
        posterior: p(y given x), (N, K).
        labels: the true classes, (N,).
        dimensions: of x, for the bits.
    """

    route: str
    log_likelihoods: Tensor
    posterior: Tensor
    labels: Tensor
    dimensions: int

    @property
    def accuracy(self) -> float:
        """The share of images whose most probable class is the true one."""
        return float((self.posterior.argmax(dim=1) == self.labels).double().mean())

    @property
    def accuracy_error(self) -> float:
        """The standard error of the accuracy."""
        return (self.accuracy * (1 - self.accuracy) / len(self.labels)) ** 0.5

    @property
    def bits(self) -> float:
        """Bits per dimension of the images given their true classes: of latents a density, of pixels a bound."""
        return bits_per_dimension(self.log_likelihoods.gather(1, self.labels[:, None])[:, 0], self.dimensions)

    @property
    def calibration_error(self) -> float:
        """The expected calibration error of the posterior."""
        return calibration_error(self.posterior, self.labels)

    @property
    def confusion(self) -> Tensor:
        """How many images of each true class (row) were called what (column), (K, K) int64."""
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        K = self.posterior.shape[1]
        return multiclass_confusion_matrix(self.posterior.argmax(dim=1), self.labels, K)

    def record(self) -> dict[str, float | int | str]:
        """Return the numbers of it, for JSON."""
        numbers = {"accuracy": self.accuracy, "accuracy_error": self.accuracy_error, "bits_per_dimension": self.bits}
        numbers |= {"calibration_error": self.calibration_error, "n": len(self.labels)}
        return {"route": self.route, "dimensions": self.dimensions, **numbers}


def calibration_error(posterior: Tensor, labels: Tensor) -> float:
    """Return the expected calibration error of p(y given x) (N, K), 15 bins (Guo et al. 2017, equation 3)."""
    from torchmetrics.functional.classification import multiclass_calibration_error

    return float(multiclass_calibration_error(posterior.float(), labels, posterior.shape[1], 15))


def classify(
    model: Model,
    images: ImageSet,
    prior: Tensor | None = None,
    *,
    route: str | None = None,
    steps: int = 10,
    probes: int | None = None,
    draws: int = 50,
    first: int | None = None,
    seed: int = 0,
    batch: int | None = None,
    progress: bool = False,
) -> Classification:
    """Classify images, or latents for a flow in a latent, by Bayes' rule; no classifier is trained.

    Args:
        model: hot, told the class.
        images: what the model was trained on: see `thaw.store.inputs.load_latents` for a flow in a latent.
        prior: p(y), (K,); None for equal classes.
        route: "ode", the likelihood of a flow (see `log_likelihood`), or "elbo", the bound (see `elbo`);
            by default the likelihood in a latent and the bound on pixels.
        steps, probes: of the differential equation, see `log_likelihood`; all classes share the random directions.
        draws: of the bound, the same for all classes.
        first: see `log_likelihood` (T / 100 by default: networks know little of finer noise) and `elbo` (2 T / 5 by
            default on pixels: finer noise hides no class, but its weights are so large that the network's errors there
            drown what tells the classes apart).
        seed: of all random numbers.
        batch: images at once; by default 1,000 latents or 250 images of pixels.
        progress: show a progress bar.

    Raises:
        ThawError: for a model that is not told the class or knows one only, or images it was not trained on.
    """
    route = ("elbo" if model.coder is None else "ode") if route is None else route
    pick(route, ROUTES, "route")
    if not model.conditional:
        raise ThawError(f"{model.config.label} is not told the class, and cannot tell it")
    if model.classes < 2:
        raise ThawError(f"{model.config.label} knows one class only: there is nothing to tell apart")
    if images.shape != model.process.shape:
        raise ThawError(
            f"the model knows {model.process.shape}, got images {images.shape}; see thaw.store.inputs.load_latents"
        )
    model.network.eval()
    batch = batch or (250 if model.coder is None else 1000)
    settings = {"steps": steps, "probes": probes} if route == "ode" else {"draws": draws}
    likelihoods = _by_equation if route == "ode" else _by_bound
    rows = []
    starts = tqdm(range(0, len(images), batch), disable=not progress, desc="classifying", unit="batch")
    for number, start in enumerate(starts):
        x = images.pixels(slice(start, start + batch)).to(model.device)
        rows.append(likelihoods(model, x, first, generator(seed, route, number), **settings).double().cpu())
    log_p = torch.cat(rows)
    return Classification(route, log_p, class_posterior(log_p, prior), images.labels, x[0].numel())


def _by_equation(
    model: Model, x: Tensor, first: int | None, draws: torch.Generator, steps: int, probes: int | None
) -> Tensor:
    """Return log p(x given y) of a flow, (B, K); all classes see the same random directions."""
    first = max(1, model.process.steps // 100) if first is None else first
    columns, state = [], draws.get_state()
    for label in range(model.classes):
        draws.set_state(state)
        restore = partial(model.denoise, y=torch.full((len(x),), label, device=x.device))
        settings = {"steps": steps, "probes": probes, "first": first, "generator": draws}
        columns.append(log_likelihood(model.process, restore, x, **settings))
    return torch.stack(columns, dim=1)


@torch.no_grad()
def _by_bound(model: Model, x: Tensor, first: int | None, noise: torch.Generator, draws: int) -> Tensor:
    """Return the bound of log p(x given y), (B, K)."""

    def denoise(x_t: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return model.process.clip(model.denoise(x_t, t, y))

    levels = 256 if model.coder is None else None
    first = 2 * model.process.steps // 5 if first is None and model.coder is None else first
    settings = {"draws": draws, "first": first, "levels": levels, "generator": noise}
    return elbo(model.process, denoise, x, list(range(model.classes)), **settings)
