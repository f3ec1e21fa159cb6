"""Models and anybody's images through the full protocol; what did not change is not measured again."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from thaw.base import ThawError, number, sha256, to_uint8
from thaw.data import ImageSet, background_hint, check_differ, read_images
from thaw.model import Model
from thaw.scoring.inception import NUM, find_weights, load_inception
from thaw.scoring.judge import Judge, load_judge
from thaw.scoring.metrics import MEASURES, chosen
from thaw.scoring.protocol import check_scored, evaluate, protocol
from thaw.scoring.real import real_images
from thaw.scoring.samples import asked, draw_samples, samples_key
from thaw.scoring.scores import CACHE, VERSION, Score, kept_scores

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


def score_model(
    model: Model,
    judge: Judge,
    n: int,
    *,
    labels: Tensor | None = None,
    reference: str = "test",
    seed: int = 0,
    cache: Path | None = None,
    progress: bool = False,
    **settings: Any,
) -> dict[str, Score]:
    """Draw `n` images, the classes in turn or those given, and score them by `evaluate`.

    Tune settings with `reference="train"`, so that the test split stays for the final score.

    Args:
        cache: folder of earlier scores, for a model from `thaw.load_model`; see `evaluate_model`.
        settings: as for `Model.sample`.
    """

    def measure() -> dict[str, Score]:
        y = asked(model, n, labels)
        images = to_uint8(model.sample(y, seed=seed, progress=progress, **settings))
        return evaluate(images, judge, y if model.conditional else None, reference=reference, seed=seed)

    drawn = samples_key(model, n, seed, labels, settings) if cache else {}
    key = {"quick": VERSION, "judge": judge.digest, "data": judge.data, "reference": reference}
    return kept_scores(cache, key | drawn, chosen(lambda row: row.quick), measure)


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
        features: `own`, or `inception` for FID, KID and IS as others report them.
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
    inception = _inception(features, weights)
    check_scored(n, labels, NUM if inception else judge.num)
    drawn = draw_samples(model, n, labels=labels, seed=seed, cache=cache, progress=progress, **settings)
    key, told = samples_key(model, n, seed, labels, settings), asked(model, n, labels) if model.conditional else None
    common = {"reference": reference, "seed": seed, "cache": cache, "progress": progress}
    return _evaluation(name or Path(model.info["file"]).stem, key, drawn, told, judge, inception, **common)


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
    judge = load_judge(judge) if isinstance(judge, str) else judge
    images, told = read_judged(images, judge)
    labels = told if labels is None else labels
    inception = _inception(features, weights)
    check_scored(len(images), labels, NUM if inception else judge.num)
    check_differ(images, name)
    hint = background_hint(images, judge.background, f"those of {judge.data}")
    if hint:
        print(hint)
    # The same images in another order or kind of file are the same images.
    told = [-1] * len(images) if labels is None else labels.tolist()
    rows = sorted(zip((image.numpy().tobytes() for image in images), told, strict=True))
    digest = hashlib.sha256(b"".join(row + f"{label};".encode() for row, label in rows)).hexdigest()
    key = {"images": digest, "shape": list(images.shape), "type": str(images.dtype), "seed": seed}
    key["labels"] = labels is not None
    common = {"reference": reference, "seed": seed, "cache": cache, "progress": progress}
    return _evaluation(name, key, images, labels, judge, inception, **common)


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


def _evaluation(
    name: str,
    key: dict[str, Any],
    images: Tensor,
    labels: Tensor | None,
    judge: Judge,
    inception: Path | None,
    reference: str,
    cache: Path | None,
    **common: Any,
) -> Evaluation:
    """Score images by the judge, or by the file of Inception's weights, unless they were scored before.

    Args:
        key: all that the images and labels depend on.
        reference, cache, common: as for `protocol`.
    """
    common |= {"reference": reference, "cache": cache}
    splits = None if inception else real_splits(judge)
    key = {"protocol": VERSION, "reference": reference, **key, "judge": judge.digest, "data": judge.data}
    key |= {"inception": sha256(inception)[:12]} if inception else {"novelty": splits is not None}

    def measure() -> dict[str, Score]:
        return protocol(images, judge, labels, network=inception and load_inception(inception), splits=splits, **common)

    rows = chosen(lambda row: row.inception if inception else not row.restores)
    told = {"source": judge.source} if judge.source else {}
    return Evaluation(name, key | told, kept_scores(cache, key, rows, measure))


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
    named = {f"{prefix}{name}": row for prefix in ("", "inception_") for name, row in MEASURES.items()}
    rows = {name: row for name, row in named.items() if any(name in e.scores for e in evaluations)}
    arrows = {"lower": "↓", "higher": "↑"}
    columns = [["", "", *(arrows.get(row.better, "") for row in rows.values())], ["", "n", *rows]]
    for evaluation in evaluations:
        cells = [_cell(evaluation.scores.get(name), row.form) for name, row in rows.items()]
        n = next((str(score.n) for score in evaluation.scores.values()), "-")
        columns.append([evaluation.name, f"{n} {'':9s}", *cells])
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    aligned = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    sources = {e.settings["source"] for e in evaluations if "source" in e.settings}
    head = [
        *(f"Real images: {source}." for source in sorted(sources)),
        "In brackets: as many real images of each class. Arrows: which way is better.",
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
