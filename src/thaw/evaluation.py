"""Models and anybody's images through the full protocol; what did not change is not measured again."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from thaw import data
from thaw.config import SAMPLING
from thaw.errors import ThawError
from thaw.features import Judge, load_judge
from thaw.files import remember, sha256
from thaw.images import read_images
from thaw.metrics import Score, check_scored
from thaw.model import Model
from thaw.pixels import to_uint8
from thaw.protocol import VERSION, protocol
from thaw.real import CACHE

# Rows of the table: measure -> format. The histogram is left to the JSON file.
ROWS = {
    "fid": ".2f", "kid": ".4f", "is": ".2f", "precision": ".3f", "recall": ".3f", "density": ".3f",
    "coverage": ".3f", "entropy": ".3f", "chi2": ".1f", "chi2_p": ".3f", "confidence": ".3f", "accuracy": ".3f",
    "novelty": ".2f", "copies": ".3f",
}  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """All scores of one model or set of images.

    Attributes:
        name: what to call it.
        settings: everything that the scores depend on, as plain values.
        scores: by name, see `thaw.protocol.protocol`.
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
    seed: int = 0,
    name: str | None = None,
    reference: str = "test",
    cache: Path | None = CACHE,
    progress: bool = False,
    **settings: Any,
) -> Evaluation:
    """Draw n images, the classes in turn, and score them by the full protocol.

    Args:
        model: from `thaw.load_model`, so that its weights have a checksum.
        n: images, at least 256.
        seed: seed of the sampler.
        name: of the evaluation; the file's by default.
        reference: split to compare with; tune settings against `train`.
        cache: folder of earlier results, found by the checksum of the weights and all settings; None for none.
        progress: show progress bars.
        settings: as for `Model.sample`; the configuration's by default.

    Raises:
        ThawError: for too few images, wrong settings, or a data set without a judge.
    """
    judge = load_judge(model.config.data_name)
    check_scored(n, None, judge)  # before any is drawn
    chosen = {field: getattr(model.config, field) for field in SAMPLING} | settings
    key = {"weights": weights_digest(model), "n": n, "seed": seed, "labels": "in turn", **chosen}

    def draw() -> tuple[Tensor, Tensor | None]:
        labels = model.labels(n)
        images = to_uint8(model.sample(labels, seed=seed, progress=progress, **settings))
        return images, labels if model.conditional else None

    name = name or Path(model.info["file"]).stem
    return _evaluate(name, draw, key, judge, seed=seed, reference=reference, cache=cache, progress=progress)


def evaluate_images(
    images: Tensor | str | Path,
    labels: Tensor | None = None,
    *,
    name: str = "images",
    judge: str = "mnist",
    seed: int = 0,
    reference: str = "test",
    cache: Path | None = CACHE,
    progress: bool = False,
) -> Evaluation:
    """Score anybody's images by the full protocol.

    Args:
        images: (N, 1, H, W) uint8, or a folder of PNGs, a `.npy` or a `.npz` file: see `thaw.images.read_images`.
        labels: (N,) the classes that were asked for; those that the files tell by default.
        name: of the evaluation.
        judge: data set whose images they should look like.
        seed: the seed they were drawn with, for the record.
        reference, cache, progress: as for `evaluate_model`.

    Raises:
        ThawError: for images that cannot be read or scored.
    """
    if not isinstance(images, Tensor):
        images, told = read_images(images)
        labels = told if labels is None else labels
    loaded = load_judge(judge)
    check_scored(len(images), labels, loaded)
    # The same images in another order or kind of file are the same images.
    told = [-1] * len(images) if labels is None else labels.tolist()
    rows = sorted(zip((image.numpy().tobytes() for image in images), told, strict=True))
    digest = hashlib.sha256(b"".join(row + f"{label};".encode() for row, label in rows)).hexdigest()
    key = {"images": digest, "shape": list(images.shape), "type": str(images.dtype), "seed": seed}
    key["labels"] = labels is not None
    settings = {"seed": seed, "reference": reference, "cache": cache, "progress": progress}
    return _evaluate(name, lambda: (images, labels), key, loaded, **settings)


def _evaluate(
    name: str,
    draw: Callable[[], tuple[Tensor, Tensor | None]],
    key: dict[str, Any],
    judge: Judge,
    *,
    seed: int,
    reference: str,
    cache: Path | None,
    progress: bool,
) -> Evaluation:
    splits = _splits(judge.data)
    key = {"protocol": VERSION, "judge": judge.digest, "reference": reference, **key, "novelty": splits is not None}

    def measure() -> dict[str, Any]:
        images, labels = draw()
        settings = {"splits": splits, "reference": reference, "seed": seed, "cache": cache, "progress": progress}
        return {score.name: score.record() for score in protocol(images, judge, labels, **settings).values()}

    records = remember(cache, key, measure)
    return Evaluation(name, key, {measure: Score(**record) for measure, record in records.items()})


def _splits(name: str) -> dict[str, Tensor] | None:
    """Return the real images for novelty, or None, saying so, where the data set is not at hand."""
    try:
        return {split: data.load(name, split, download=False).images for split in ("train", "test")}
    except ThawError as error:
        print(f"novelty is left out: {error}")
        return None


def weights_digest(model: Model) -> str:
    """Return the SHA-256 of a released file, or of the parts of a checkpoint that samples depend on.

    Raises:
        ThawError: for a model that was not loaded.
    """
    if "sha256" in model.info:
        return model.info["sha256"]
    if "file" not in model.info:
        raise ThawError("a model that was not loaded from a file has no checksum; score it by thaw.metrics.score_model")
    path = Path(model.info["file"])
    files = [path / "ema.pt", path / "cfg.yaml", path.parent / "terminal.pt"]
    files += [path.parent / "coder.pt"] if model.coder is not None else []
    parts = "".join(sha256(part) for part in files)
    return hashlib.sha256(parts.encode()).hexdigest()


def table(evaluations: list[Evaluation]) -> str:
    """Return an aligned table: a row a measure, a column an evaluation, what real images get in brackets."""
    columns = [["", *ROWS]]
    for evaluation in evaluations:
        cells = [_cell(evaluation.scores.get(measure), form) for measure, form in ROWS.items()]
        columns.append([evaluation.name, *cells])
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    aligned = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(["In brackets: as many real images.", *(line.rstrip() for line in aligned)])


def _cell(score: Score | None, form: str) -> str:
    if score is None:
        return "-"
    floor = "" if score.floor is None else format(score.floor, form)
    return f"{score.value:{form}} {f'({floor})' if floor else '':>9s}"
