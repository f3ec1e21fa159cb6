"""From a run directory to released weights: the average in fp16, with its score in the manifest."""

from pathlib import Path
from typing import Any

import torch

from thaw.base import ThawError
from thaw.experiment import Config, make_config, sampled_as
from thaw.model import Model
from thaw.scoring import load_judge, score_model, score_reconstruction
from thaw.store import PRETRAINED, checkpoint_digest, epoch_of, list_checkpoints, load_data, read_yaml, weights


def export_run(
    run: str | Path,
    folder: str | Path = PRETRAINED,
    n: int = 2000,
    epochs: list[int] | None = None,
    sampling: Config | None = None,
    device: torch.device | str = "cpu",
    seed: int = 0,
    replace: bool = False,
) -> list[Path]:
    """Export the checkpoints of a run as `.pth` files and list them in MANIFEST.json.

    Args:
        run: run directory.
        folder: where released weights lie.
        n: samples behind each score; 0 for no score.
        epochs: only these; by default the newest, and all that the run keeps.
        sampling: take the default sampler, steps, temperature, eta and guidance from this
            configuration instead of the run's.
        device: where the scored samples are drawn.
        seed: their seed.
        replace: whether files of other experiments may be replaced.

    Raises:
        ThawError: before any is scored, if it is no run with checkpoints, or has not those asked for, or if another
            experiment's file would be replaced (`thaw.store.weights.check_release`).
    """
    run = Path(run)
    found = {epoch_of(path): path for path in list_checkpoints(run)}
    if not found:
        raise ThawError(
            f"{run} is no run directory with checkpoints, which is what export takes (contents/runs/NAME, say)"
        )
    newest, wanted = max(found), epochs
    if wanted is None:
        every = read_yaml(found[newest] / "cfg.yaml")["save_every"]
        wanted = [epoch for epoch in sorted(found) if epoch == newest or epoch % every == 0]
    if any(epoch not in found for epoch in wanted):
        raise ThawError(f"{run} holds the epochs {', '.join(map(str, found))}; asked for {epochs}")
    data = {epoch: read_yaml(found[epoch] / "ctx.yaml").get("data") for epoch in wanted}
    for epoch in wanted:
        config = make_config(read_yaml(found[epoch] / "cfg.yaml"), str(found[epoch] / "cfg.yaml"))
        weights.check_release(Path(folder) / config.release_name(epoch), config, data[epoch], replace)
    paths = []
    for epoch in wanted:
        model = weights.load_model(found[epoch])
        if sampling is not None:
            model = sampled_as(model, sampling)
        entry: dict[str, Any] = {"run": run.name, "checkpoint": checkpoint_digest(found[epoch])}
        entry |= {"train_seconds": model.info["seconds"]}
        entry |= {"train_device": model.info["device"], "images_per_second": model.info["images_per_second"]}
        entry |= {key: model.info[key] for key in ("machine",) if key in model.info}  # older runs do not tell
        if n:
            entry |= score_entry(model.to(device), n, seed)
        state = model.to("cpu").network.state_dict()
        paths.append(weights.save_release(folder, model, state, entry, data=data[epoch], replace=replace))
    return paths


def score_entry(model: Model, n: int, seed: int = 0) -> dict[str, Any]:
    """Return the scores of a model at its default settings, as manifest entries; an autoencoder's on the test set."""
    if model.config.study == "autoencoder":
        return {**score_reconstruction(model, load_data(model.config, "test")), "split": "test"}
    try:
        judge = load_judge(model.config.data_name)
        judge.check_shape(model.shape)
    except ThawError as error:
        print(f"No score: {error}", flush=True)
        return {}
    return {name: score.record() for name, score in score_model(model, judge, n, seed=seed).items()}
