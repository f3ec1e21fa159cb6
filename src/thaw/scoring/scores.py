"""Scores: numbers with their origin, kept on the disk by all that they depend on."""

import hashlib
import inspect
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from thaw.base import number, remember

CACHE = Path("contents/evaluation")  # of scores, and of the samples and real features behind them
VERSION = 3  # of what the package's own numbers mean: part of every key


@dataclass(frozen=True)
class Score:
    """One number with its origin.

    Attributes:
        name: what was measured, a row of `thaw.scoring.metrics.MEASURES`.
        value: the number.
        n: images scored.
        seed: seed the images were drawn with.
        reference: split of real images it refers to.
        features: digest of the feature network.
        floor: what real images get, counted by class as the scored ones are: as many of the split that is not the
            reference, test images for the accuracy. None where it has no meaning, or they are too few. Of restorations,
            what exact inference gets.
    """

    name: str
    value: float
    n: int
    seed: int
    reference: str
    features: str
    floor: float | None = None

    def record(self) -> dict[str, Any]:
        """Return a plain dictionary, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        best = "exact" if self.reference == "originals" else "real images"
        beside = "" if self.floor is None else f" ({best} {number(self.floor)})"
        return f"{self.name} {number(self.value)}{beside}, n = {self.n}, seed {self.seed}"


def kept_scores(
    cache: Path | None, key: dict[str, Any], rows: Mapping[str, Any], measure: Callable[[], dict[str, Score]]
) -> dict[str, Score]:
    """Return the scores that `measure` gives, or gave before for the same key: the one cache of scores.

    Args:
        cache: folder, one JSON file a key; None to keep nothing.
        key: all that they depend on, as plain values: the weights or images, the settings and seed they were drawn
            with, the split, and the digest of the `judge`. One that was not saved has none, and nothing is kept.
        rows: of `thaw.scoring.metrics.MEASURES`, what is measured.
        measure: gives scores by name.
    """
    key = key | {"measures": versions(rows)}
    keep = cache if key.get("judge") else None
    records = remember(keep, key, lambda: {name: score.record() for name, score in measure().items()})
    return {name: Score(**record) for name, record in records.items()}


def versions(rows: Mapping[str, Any]) -> dict[str, int | str]:
    """Return by name what tells of rows of `thaw.scoring.metrics.MEASURES` whether they still measure the same."""
    return {name: version_of(row.of, row.floor, row.seen) for name, row in rows.items()}


def version_of(*things: Any) -> int | str:
    """Return what tells of functions and classes whether they still do what they did when a result was kept.

    Of the package's own `VERSION` does, of anybody else's a digest of their source. What has none that could be read is
    never the same: its results are not found again.
    """
    others = [thing for thing in things if thing is not None and not thing.__module__.startswith("thaw.")]
    try:
        sources = "".join(map(inspect.getsource, others))
    except (OSError, TypeError):
        return uuid.uuid4().hex
    return hashlib.sha256(sources.encode()).hexdigest()[:16] if others else VERSION
