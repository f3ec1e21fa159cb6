"""The images a model draws to be scored, kept by the checksum of its weights and all settings."""

import contextlib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thaw.autoencoder import weights_hash
from thaw.base import ThawError, check_target, digest_of, replacing, to_uint8
from thaw.degradations import Degradation
from thaw.experiment import sampled_with
from thaw.model import Model
from thaw.scoring.judge import Judge
from thaw.scoring.scores import CACHE, version_of
from thaw.store import checkpoint_digest


def draw_samples(
    model: Model,
    n: int = 2000,
    *,
    labels: Tensor | None = None,
    seed: int = 0,
    cache: Path | None = CACHE,
    progress: bool = False,
    **settings: Any,
) -> Tensor:
    """Draw the images that `evaluate_model` scores, or read them if they were drawn before.

    Args:
        model: from `thaw.load_model`, so that its weights have a checksum.
        n: images.
        labels: (n,) int64, the classes to draw; in turn by default.
        seed: seed of the sampler.
        cache: folder of earlier samples, found by the checksum of the weights and all settings; None for none.
        progress: show a progress bar.
        settings: as for `Model.sample`; the configuration's by default.

    Returns:
        (n, C, H, W) uint8. The file holds `images` and `labels` as `evaluate_images` takes them.
    """
    path = cache / f"samples_{digest_of(samples_key(model, n, seed, labels, settings))}.npz" if cache else None
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # absent or damaged
        if path:
            with path.open("rb") as file:
                return torch.from_numpy(np.load(file, allow_pickle=False)["images"])
    if path:
        check_target(path, ".npz")
    labels = asked(model, n, labels)
    images = to_uint8(model.sample(labels, seed=seed, progress=progress, **settings))
    if path:
        with replacing(path) as temporary:
            np.savez_compressed(temporary, images=images.numpy(), labels=labels.numpy())
    return images


def samples_key(model: Model, n: int, seed: int, labels: Tensor | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Return all that samples depend on, as plain values: the file of the weights, and the model as it is now."""
    drawn_from = replace(model.terminal, classifier=None)  # which tells classes, and draws nothing
    parts = {"network": model.network.state_dict(), "terminal": drawn_from.state()}
    parts["degradation"] = model.process.degradation.state()
    if model.coder is not None:
        parts["coder"] = model.coder.network.state_dict() | {"mean.": model.coder.mean, "std.": model.coder.std}
    state = weights_hash({f"{part}.{name}": value for part, named in parts.items() for name, value in named.items()})
    inside = [type(part) for part in model.process.degradation.modules() if isinstance(part, Degradation)]
    code = version_of(*inside, type(model.network))
    classes = "in turn" if labels is None else digest_of(labels.tolist())
    key = {"weights": weights_digest(model), "state": state, "code": code, "n": n, "seed": seed, "labels": classes}
    return key | sampled_with(model.config, settings)


def asked(model: Model, n: int, labels: Tensor | None) -> Tensor:
    """Return the classes that are drawn: those given, or all in turn.  (n,) int64"""
    return model.labels(n) if labels is None else labels


def labels_in_shares(judge: Judge, n: int) -> Tensor:
    """Return n labels in the shares that the classes have in the judge's training images, sorted.  (n,) int64

    The classes of MNIST are not equally frequent. Drawn in turn, even perfect digits are at a distance from the test
    set: that of their histogram.
    """
    histogram = judge.references["train"].histogram
    ends = (histogram.cumsum(0) * n / histogram.sum()).round().long()
    return torch.bucketize(torch.arange(n), ends, right=True)


def weights_digest(model: Model) -> str:
    """Return the SHA-256 of a released file, or of the parts of a checkpoint that samples depend on.

    Raises:
        ThawError: for a model that was not loaded.
    """
    if "sha256" in model.info:
        return model.info["sha256"]
    if "file" not in model.info:
        raise ThawError("a model that was not loaded from a file has no checksum; score it by score_model")
    return checkpoint_digest(Path(model.info["file"]))
