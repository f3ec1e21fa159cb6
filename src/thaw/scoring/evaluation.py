"""Models and anybody's images through the full protocol; what did not change is not measured again."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from thaw.base.errors import ThawError
from thaw.base.files import remember, sha256
from thaw.base.text import number
from thaw.data import ImageSet
from thaw.data.images import background_hint, check_differ, read_images
from thaw.model import Model
from thaw.scoring.inception import NUM, find_weights, inception_scores, load_inception
from thaw.scoring.judge import Judge, load_judge
from thaw.scoring.metrics import Score, check_scored
from thaw.scoring.protocol import VERSION, protocol
from thaw.scoring.real import CACHE, real_images
from thaw.scoring.samples import asked, draw_samples, samples_key

# Rows of the table: measure -> format. The histogram is left to the JSON file.
ROWS = {
    "fid": ".2f", "kid": ".4f", "is": ".2f", "precision": ".3f", "recall": ".3f", "density": ".3f",
    "coverage": ".3f", "entropy": ".3f", "chi2": ".1f", "chi2_p": ".3f", "confidence": ".3f", "accuracy": ".3f",
    "novelty": ".2f", "copies": ".3f", "inception_fid": ".2f", "inception_kid": ".4f", "inception_is": ".2f",
}  # fmt: skip
FEATURES = ("own", "inception")


@dataclass(frozen=True)
class Evaluation:
    """All scores of one model or set of images.

    Attributes:
        name: what to call it.
        settings: everything that the scores depend on, as plain values.
        scores: by name, see `thaw.scoring.protocol.protocol`.
    """

    name: str
    settings: dict[str, Any]
    scores: dict[str, Score]

    def record(self) -> dict[str, Any]:
        """Return a plain dictionary, for JSON."""
        return asdict(self)


def evaluate_model(
    model: Model,
    n: int = 2000,
    *,
    labels: Tensor | None = None,
    seed: int = 0,
    name: str | None = None,
    judge: Judge | None = None,
    features: str = "own",
    weights: str | Path | None = None,
    reference: str = "test",
    cache: Path | None = CACHE,
    progress: bool = False,
    **settings: Any,
) -> Evaluation:
    """Draw n images, the classes in turn or those given, and score them by the full protocol.

    Args:
        model: from `thaw.load_model`, so that its weights have a checksum.
        n: images, at least 256; at least 4,096 for Inception's features.
        labels: (n,) int64, the classes to draw, such as `labels_in_shares` gives; in turn by default.
        seed: seed of the sampler.
        name: of the evaluation; the file's by default.
        judge: feature network; the shipped one of the model's data set by default.
        features: `own`, or `inception` for `thaw.scoring.inception.inception_scores` in place of the protocol.
        weights: file of Inception's weights; torch's cache by default, downloaded if it is not there.
        reference: split to compare with; tune settings against `train`.
        cache: folder of earlier results, found by the checksum of the weights and all settings; None for none.
        progress: show progress bars.
        settings: as for `Model.sample`; the configuration's by default.

    Raises:
        ThawError: for too few images, wrong settings, or a data set without a judge.
    """
    judge = judge or load_judge(model.config.data_name)
    judge.check_shape(model.shape)  # before any is drawn
    scorer = _Scorer(judge, _inception(features, weights), reference, cache)
    check_scored(n, labels, scorer.num)

    def draw() -> tuple[Tensor, Tensor | None]:
        images = draw_samples(model, n, labels=labels, seed=seed, cache=cache, progress=progress, **settings)
        return images, asked(model, n, labels) if model.conditional else None

    key = samples_key(model, n, seed, labels, settings)
    return scorer.evaluate(name or Path(model.info["file"]).stem, draw, key, seed, progress)


def evaluate_images(
    images: Tensor | np.ndarray | str | Path,
    labels: Tensor | None = None,
    *,
    name: str = "images",
    judge: str | Judge = "mnist",
    features: str = "own",
    weights: str | Path | None = None,
    seed: int = 0,
    reference: str = "test",
    cache: Path | None = CACHE,
    progress: bool = False,
) -> Evaluation:
    """Score anybody's images by the full protocol.

    Args:
        images: a tensor or array, a file of images, or a folder: see `thaw.data.images.open_set`. What is
            transparent is composited over the background of the judge's training images, black or white.
        labels: (N,) the classes that were asked for; those that the files tell by default.
        name: of the evaluation.
        judge: data set whose images they should look like, or a feature network.
        seed: the seed they were drawn with, for the record.
        features, weights, reference, cache, progress: as for `evaluate_model`.

    Raises:
        ThawError: for images that cannot be read or scored, or are all equal.
    """
    loaded = load_judge(judge) if isinstance(judge, str) else judge
    images, told = read_judged(images, loaded)
    labels = told if labels is None else labels
    scorer = _Scorer(loaded, _inception(features, weights), reference, cache)
    check_scored(len(images), labels, scorer.num)
    check_differ(images, name)
    hint = background_hint(images, loaded.background, f"those of {loaded.data}")
    if hint:
        print(hint)
    # The same images in another order or kind of file are the same images.
    told = [-1] * len(images) if labels is None else labels.tolist()
    rows = sorted(zip((image.numpy().tobytes() for image in images), told, strict=True))
    digest = hashlib.sha256(b"".join(row + f"{label};".encode() for row, label in rows)).hexdigest()
    key = {"images": digest, "shape": list(images.shape), "type": str(images.dtype), "seed": seed}
    key["labels"] = labels is not None
    return scorer.evaluate(name, lambda: (images, labels), key, seed, progress)


def read_judged(images: Tensor | np.ndarray | str | Path, judge: Judge) -> tuple[Tensor, Tensor | None]:
    """Read images as a judge takes them: see `thaw.data.images.read_images`."""
    return read_images(images, judge.shape[0], background=255 if judge.background > 127 else 0)


def _inception(features: str, weights: str | Path | None) -> Path | None:
    """Return the file of Inception's weights if its features are wanted, None for our own."""
    if features not in FEATURES:
        raise ThawError(f"no features {features!r}; choose one of {', '.join(FEATURES)}")
    if features == "own" and weights:
        raise ThawError(f"the weights {weights} belong to features inception; choose these or leave the weights out")
    return find_weights(weights) if features == "inception" else None


@dataclass(frozen=True)
class _Scorer:
    """What is measured, against what."""

    judge: Judge
    inception: Path | None
    reference: str
    cache: Path | None

    @property
    def num(self) -> int:
        """The number of features."""
        return NUM if self.inception else self.judge.num

    def evaluate(
        self,
        name: str,
        draw: Callable[[], tuple[Tensor, Tensor | None]],
        key: dict[str, Any],
        seed: int,
        progress: bool,
    ) -> Evaluation:
        """Score what is drawn, unless it was scored before."""
        common = {"reference": self.reference, "seed": seed, "cache": self.cache, "progress": progress}
        splits = None if self.inception else real_splits(self.judge)
        if self.inception:
            scored = {"inception": sha256(self.inception)[:12], "data": self.judge.data}
        else:
            scored = {"judge": self.judge.digest, "novelty": splits is not None}
        key = {"protocol": VERSION, "reference": self.reference, **key, **scored}

        def measure() -> dict[str, Any]:
            if self.inception:
                network = load_inception(self.inception)
                images, labels = draw()
                found = inception_scores(images, network, self.judge, labels, **common)
            else:
                images, labels = draw()
                found = protocol(images, self.judge, labels, splits=splits, **common)
            return {score.name: score.record() for score in found.values()}

        unsaved = not self.inception and not self.judge.digest  # nothing that its scores could be found by again
        records = remember(None if unsaved else self.cache, key, measure)
        told = key | ({"source": self.judge.source} if self.judge.source else {})
        return Evaluation(name, told, {measure: Score(**record) for measure, record in records.items()})


def real_splits(judge: Judge) -> dict[str, ImageSet] | None:
    """Return a judge's real images, `train` and `test`, or None, saying so once, where they are not at hand."""
    try:
        return real_images(judge, download=False)
    except ThawError as error:
        _say_once(f"novelty is left out: {error}")
        return None


@lru_cache
def _say_once(text: str) -> None:
    print(text)


def table(evaluations: list[Evaluation]) -> str:
    """Return an aligned table: a row a measure, a column an evaluation, what real images get in brackets."""
    rows = {measure: form for measure, form in ROWS.items() if any(measure in e.scores for e in evaluations)}
    columns = [["", "n", *rows]]
    for evaluation in evaluations:
        cells = [_cell(evaluation.scores.get(measure), form) for measure, form in rows.items()]
        n = next((str(score.n) for score in evaluation.scores.values()), "-")
        columns.append([evaluation.name, f"{n} {'':9s}", *cells])
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    aligned = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    sources = {e.settings["source"] for e in evaluations if "source" in e.settings}
    head = [
        *(f"Real images: {source}." for source in sorted(sources)),
        "In brackets: as many real images of each class.",
    ]
    distances = [e.scores[name] for e in evaluations for name in ("fid", "inception_fid") if name in e.scores]
    if any(score.floor is None for score in distances):
        head.append("No brackets: there are too few real images of a class, or none at hand.")
    untold = [e.name for e in evaluations if e.settings.get("labels") is False and "fid" in e.scores]
    if untold:
        reason = "nothing tells their classes (`labels` in an .npz, or a subfolder for each class)"
        head.append(f"No accuracy for {', '.join(untold)}: {reason}.")
    return "\n".join([*head, *(line.rstrip() for line in aligned)])


def _cell(score: Score | None, form: str) -> str:
    if score is None:
        return "-"
    floor = "" if score.floor is None else f"({number(score.floor, form)})"
    return f"{number(score.value, form)} {floor:>9s}"
