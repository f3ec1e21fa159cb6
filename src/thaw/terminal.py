"""The terminal distribution: where sampling starts.

A fully degraded image D_T(x0) lives in a few dimensions. Fitted once on the training set, the
terminal replaces it: coordinates are projected by PCA onto their true rank, and a Gaussian mixture
is fitted to each class there. Sampling then needs no data set. Beside the mixture, which draws coordinates
of a class, stands a classifier, which tells the class of coordinates.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from thaw.base import ThawError, derive, generator
from thaw.degradations import Degradation

MAX_RANK = 96  # a mixture in more dimensions would outweigh the network
TEMPER = 2.0  # of the mixture's posterior: of test digits' row means its log loss falls from 1.1 to 0.7
FEWEST = 10  # images of a class that a classifier is fitted on
PASSES, PATIENCE = 25, 4  # over the training images: at most, and without a better one
MIXTURE = ("mean", "basis", "weights", "labels", "centres", "factors")  # the tensors of a terminal
FARTHEST = 10.0  # standard deviations: a number that hardly varies in training images may leave its range in others


@dataclass(frozen=True)
class Classifier:
    """p(y | numbers), by a small network that was fitted for its log loss."""

    # mean, scale: (D,) that the numbers are standardised by
    mean: Tensor
    scale: Tensor
    layers: tuple[Tensor, ...]  # weights (in, out) and biases (out,) in turn
    labels: Tensor  # (K,) int64, the classes that it knows

    def __call__(self, numbers: Tensor, classes: int) -> Tensor:
        """Return p (B, classes) float64 of numbers (B, D); what it does not know has probability 0."""
        x = ((numbers.float() - self.mean) / self.scale).clamp(-FARTHEST, FARTHEST)
        for weight, bias in zip(self.layers[:-2:2], self.layers[1:-2:2], strict=True):
            x = (x @ weight + bias).relu()
        known = (x @ self.layers[-2] + self.layers[-1]).double().softmax(dim=1)
        return known.new_zeros(len(x), classes).index_copy(1, self.labels, known)

    def state(self) -> dict[str, Tensor]:
        """Return plain tensors for a file, in half precision."""
        layers = {f"layer_{i}": layer.half() for i, layer in enumerate(self.layers)}
        return {"mean": self.mean, "scale": self.scale, "labels": self.labels} | layers

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Classifier":
        """Rebuild a classifier from `state()`; a `ThawError` if a part is missing or does not fit."""
        try:
            layers = tuple(state[f"layer_{i}"].float() for i in range(len(state) - 3))
            sizes = [len(state["mean"]), *(len(bias) for bias in layers[1::2])]
            fit = [weight.shape == ends for weight, ends in zip(layers[::2], pairwise(sizes), strict=True)]
            if not all(fit) or not len(layers) or sizes[-1] != len(state["labels"]):
                raise ValueError("layers that do not fit each other")
            return cls(state["mean"], state["scale"], layers, state["labels"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ThawError(f"the stored classifier lacks a part ({error}); restore the file or train again") from None


def fit_classifier(numbers: Tensor, labels: Tensor, seed: int = 0) -> Classifier:
    """Fit p(y | numbers) to numbers (N, D) of images with labels (N,): two classes or more, `FEWEST` of each at least.

    Of all passes, the one of least log loss on a held-out tenth counts: probabilities matter, not guesses alone.
    """
    from sklearn.metrics import log_loss
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    x, y, state = numbers.float().numpy(), labels.numpy(), derive(seed, "ceiling") % 2**32
    scaler, classes = StandardScaler().fit(x), labels.unique()
    x = scaler.transform(x).clip(-FARTHEST, FARTHEST)
    x, held, y, true = train_test_split(x, y, test_size=0.1, stratify=y, random_state=state)
    network = MLPClassifier((128, 128), batch_size=min(max(len(x) // 100, 8), 256), random_state=state)
    least, waited, layers = float("inf"), 0, []
    for _ in range(PASSES):
        network.partial_fit(x, y, classes=classes.numpy())
        loss = log_loss(true, network.predict_proba(held), labels=classes.numpy())
        waited = 0 if loss < least else waited + 1
        if loss < least:
            pairs = zip(network.coefs_, network.intercepts_, strict=True)
            least, layers = loss, [torch.tensor(part) for pair in pairs for part in pair]
        if waited == PATIENCE:
            break
    if len(classes) == 2:  # one logit, of the second
        layers[-2:] = [torch.stack([torch.zeros_like(part), part], dim=-1).flatten(-2) for part in layers[-2:]]
    mean, scale = (torch.tensor(part, dtype=torch.float32) for part in (scaler.mean_, scaler.scale_))
    return Classifier(mean, scale, tuple(layers), classes)


@dataclass(frozen=True)
class Terminal:
    """A class-conditional Gaussian mixture over the coordinates of D_T(x0).

    Attributes:
        mean: (D,) mean of the coordinates.
        basis: (D, R) orthonormal directions in which they vary; R is the true rank.
        weights: (M,) component weights, summing to 1 over all classes.
        labels: (M,) int64 class of each component.
        centres: (M, R) component means.
        factors: (M, R, R) lower Cholesky factors of the component covariances.
        classifier: tells the class of coordinates (D,); without one the mixture does.
        find: finds what stands in for a classifier that was not fitted, when a class is first to be told.
    """

    mean: Tensor
    basis: Tensor
    weights: Tensor
    labels: Tensor
    centres: Tensor
    factors: Tensor
    classifier: Classifier | None = None
    find: Callable[[], Classifier | None] | None = None

    @property
    def rank(self) -> int:
        """The number of dimensions R in which fully degraded images differ."""
        return self.basis.shape[1]

    def sample(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """Draw coordinates for class labels; a label without components (the null class) draws from all.

        Args:
            y: (B,) int64 class labels.
            generator: CPU generator.

        Returns:
            Coordinates (B, D) float32.
        """
        if self.rank == 0:
            return self.mean.repeat(len(y), 1)
        matches = self.labels[None, :] == y.cpu()[:, None]  # (B, M)
        matches |= ~matches.any(dim=1, keepdim=True)
        component = torch.multinomial(self.weights * matches, 1, generator=generator)[:, 0]
        noise = torch.randn(len(y), self.rank, generator=generator)
        inner = self.centres[component] + torch.einsum("brs,bs->br", self.factors[component], noise)
        return self.mean + inner @ self.basis.T

    def posterior(self, coordinates: Tensor, classes: int) -> Tensor:
        """Return p(y | coordinates); all classes alike where nothing survives.  (B, D) -> (B, K) float64

        By the classifier, or else by Bayes' rule; mixtures of so many numbers are too sure of themselves, so that their
        log p is divided by `TEMPER`.
        """
        if self.rank == 0:
            return torch.full((len(coordinates), classes), 1 / classes, dtype=torch.float64)
        classifier = self.find() if self.classifier is None and self.find else self.classifier
        if classifier is not None:
            return classifier(coordinates, classes)
        inner = ((coordinates - self.mean) @ self.basis).double()
        whitened = torch.linalg.solve_triangular(
            self.factors.double(), (inner - self.centres[:, None]).mT, upper=False
        )  # (M, R, B)
        log_p = self.weights.log() - self.factors.diagonal(dim1=1, dim2=2).log().sum(dim=1)  # (M,)
        log_p = log_p - whitened.square().sum(dim=1).mT / 2  # (B, M)
        of_class = torch.where(self.labels == torch.arange(classes)[:, None], 0.0, -torch.inf)  # (K, M)
        return (torch.logsumexp(log_p[:, None] + of_class, dim=2) / TEMPER).softmax(dim=1)

    @classmethod
    def point(cls, mean: Tensor) -> "Terminal":
        """Return the terminal of a degradation that leaves nothing: rank 0, always the same coordinates (D,)."""
        empty = torch.zeros(0)
        return cls(mean, torch.zeros(len(mean), 0), empty, empty.long(), torch.zeros(0, 0), torch.zeros(0, 0, 0))

    def state(self) -> dict[str, Tensor]:
        """Return plain tensors for a weights file; the triangular factors are packed."""
        state = {name: getattr(self, name) for name in MIXTURE}
        rows, columns = torch.tril_indices(self.rank, self.rank)
        told = {} if self.classifier is None else {"classifier": self.classifier.state()}
        return {**state, "factors": self.factors[:, rows, columns], **told}

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> "Terminal":
        """Rebuild a terminal from `state()`; a `ThawError` if a part is missing."""
        parts = state if isinstance(state, dict) else {}
        missing = [name for name in MIXTURE if not isinstance(parts.get(name), Tensor)]
        if missing:
            raise ThawError(f"the stored terminal lacks {', '.join(missing)}; download or train the weights again")
        rank = state["basis"].shape[1]
        rows, columns = torch.tril_indices(rank, rank)
        factors = torch.zeros(len(state["weights"]), rank, rank)
        factors[:, rows, columns] = state["factors"].float()
        told = parts.get("classifier")
        mixture = {name: parts[name] for name in MIXTURE} | {"factors": factors}
        return cls(**mixture, classifier=told and Classifier.from_state(told))


@torch.no_grad()
def terminal_coordinates(degradation: Degradation, x0: Tensor | Iterable[Tensor], seed: int = 0) -> Tensor:
    """Return the coordinates of fully degraded images, (N, D) float64.

    Args:
        degradation: D_t, on the CPU.
        x0: images (N, C, H, W) in [-1, 1], or parts of them one by one, as `ImageSet.batches()` yields them.
        seed: of z.
    """
    draws = generator(seed, "terminal z")
    parts = []
    for part in x0.split(1000) if isinstance(x0, Tensor) else x0:
        t = torch.full((len(part),), degradation.steps)
        parts.append(degradation.coordinates(degradation(part, t, degradation.draw_z(len(part), draws))).double())
    return torch.cat(parts)


def fit_terminal(
    degradation: Degradation, x0: Tensor | Iterable[Tensor], labels: Tensor, components: int = 10, seed: int = 0,
    classify: bool = False,
) -> Terminal:  # fmt: skip
    """Fit the terminal distribution of a degradation on a training set (degradation on the CPU).

    Args:
        degradation, x0: as for `terminal_coordinates`.
        labels: (N,) int64 classes of the images.
        components: Gaussians a class (fewer for a class of few images).
        seed: seeds z and the mixture's start.
        classify: fit a classifier too, if there are images enough of two classes or more.
    """
    from sklearn.mixture import GaussianMixture

    coordinates = terminal_coordinates(degradation, x0, seed)
    mean = coordinates.mean(dim=0)
    centred = coordinates - mean
    variance, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    kept = variance > 1e-7 * variance.max().clamp(min=1e-12) if len(variance) else variance > 0
    basis = directions[:, kept].flip(1)[:, :MAX_RANK]  # largest variance first
    if basis.shape[1] == 0:
        return Terminal.point(mean.float())
    inner = centred @ basis
    counts = labels.unique(return_counts=True)[1]
    classify = classify and len(counts) > 1 and int(counts.min()) >= FEWEST
    weights, classes, centres, factors = [], [], [], []
    for label in labels.unique().tolist():
        chosen = labels == label
        points, share = inner[chosen].numpy(), float(chosen.double().mean())
        points = points.repeat(2, axis=0) if len(points) == 1 else points  # a mixture is fitted to two or more
        count, state = min(components, max(1, len(points) // (2 * basis.shape[1]))), derive(seed, "mixture", label)
        mixture = GaussianMixture(count, reg_covar=1e-6, max_iter=50, random_state=state % 2**32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 50 iterations are enough; whether they converged to 1e-3 does not matter
            mixture.fit(points)
        weights.append(torch.from_numpy(mixture.weights_) * share)
        classes.append(torch.full((mixture.n_components,), label))
        centres.append(torch.from_numpy(mixture.means_))
        factors.append(torch.linalg.cholesky(torch.from_numpy(mixture.covariances_)))
    weights, centres, factors = (torch.cat(part).float() for part in (weights, centres, factors))
    classifier = fit_classifier(coordinates, labels, seed) if classify else None
    return Terminal(mean.float(), basis.float(), weights, torch.cat(classes), centres, factors, classifier)
