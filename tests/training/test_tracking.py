"""Trackers: what TensorBoard's and W&B's own readers find in the files that a run wrote."""

import io
import json
import sys

import numpy as np
import pytest
import torch
from cases import open_picture
from PIL import Image
from runs import assert_equal, configure, losses, run, states

from thaw.base.errors import ThawError
from thaw.experiment.config import Config
from thaw.report.figures import save_grid
from thaw.training.tracking import RunTracker, hyperparameters

SETTINGS = {"epochs": 3, "limit": 128, "sample_every": 1, "sample_steps": 1}  # four steps an epoch
STEPS = {"loss/epoch": [4, 8, 12], "loss/step": [1, 2, 3, 5, 6, 7, 9, 10, 11], "samples": [0, 4, 8, 12]}


@pytest.fixture(scope="module", autouse=True)
def offline():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"MODE": "offline", "SILENT": "true", "ERROR_REPORTING": "false"}.items():
            patch.setenv(f"WANDB_{name}", value)
        yield


def tensorboard_points(path) -> dict[str, dict[int, float]]:
    """Read event files with TensorBoard's reader: tag -> step -> value; fails where a step comes twice."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(path / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()
    points = {tag: [(e.step, e.value) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    points |= {tag: [(e.step, e.encoded_image_string) for e in found.Images(tag)] for tag in found.Tags()["images"]}
    return unique(points)


def wandb_points(path) -> dict[str, dict[int, float]]:
    """Read the offline runs with W&B's reader, in the order in which `wandb sync` would send them."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    points: dict[str, list] = {}
    for file in sorted(path.glob("wandb/offline-run-*/run-*.wandb")):
        store = DataStore()
        store.open_for_scan(str(file))
        while (data := store.scan_data()) is not None:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            for item in record.history.item:
                key = item.key or item.nested_key[0]
                if not key.startswith("_") and (len(item.nested_key) < 2 or item.nested_key[1] == "filenames"):
                    points.setdefault(key, []).append((record.history.step.num, json.loads(item.value_json)))
        store.close()
    return unique(points)


def unique(points: dict[str, list]) -> dict[str, dict[int, float]]:
    for tag, values in points.items():
        steps = [step for step, _ in values]
        assert steps == sorted(set(steps)), f"{tag}: {steps}"
    return {tag: dict(values) for tag, values in points.items()}


READERS = {"tensorboard": tensorboard_points, "wandb": wandb_points}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """Runs of `SETTINGS`, one for each tracker, each in three sessions; and one in one session without."""
    runs = {tracker: tmp_path_factory.mktemp(tracker) / "run" for tracker in (*READERS, "none")}
    for tracker, path in runs.items():
        for until in (None,) if tracker == "none" else (1, 2, None):
            run(configure(**SETTINGS, tracker=tracker), path, until=until)
    return runs


@pytest.mark.slow
@pytest.mark.parametrize("tracker", READERS)
def test_the_curves_are_those_of_the_run_each_point_once(tracked, tracker):
    path = tracked[tracker]
    points = READERS[tracker](path)
    for tag, steps in STEPS.items():
        assert list(points[tag]) == steps
    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    for name, tag in {"loss": "loss/epoch", "images_per_second": "images_per_second", "lr": "lr"}.items():
        expected = {record["images"] // 32: record[name] for record in records if name in record}
        assert {step: points[tag][step] for step in expected} == pytest.approx(expected)
    for epoch, mean in enumerate(losses(path)[1:]):  # of four steps; the last one's loss is what is missing
        steps = [value for step, value in points["loss/step"].items() if 4 * epoch < step < 4 * epoch + 4]
        assert len(steps) == 3 and 0.8 * min(steps) < 4 * mean - sum(steps) < 1.2 * max(steps)


@pytest.mark.parametrize("tracker", READERS)
def test_tracking_changes_no_bit_of_the_run(tracked, tracker):
    assert_equal(states(tracked[tracker]), states(tracked["none"]))
    names = [{p.name for p in tracked[name].iterdir()} for name in (tracker, "none")]
    assert names[0] - names[1] == {tracker, "tracker.json"} and not names[1] - names[0]


def test_tensorboard_shows_the_sample_grid_the_score_and_the_settings(tmp_path, judge):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = tmp_path / "run"
    config = configure(**SETTINGS | {"epochs": 1, "evaluate_every": 1, "evaluate_n": 256}, tracker="tensorboard")
    epochs = run(config, path, judge)
    points = tensorboard_points(path)
    assert list(points["fid"]) == [0, 4] and points["fid"][4] == pytest.approx(epochs[-1].record["fid"])
    grid = np.asarray(open_picture(path / "samples" / "epoch_0001.png").convert("RGB"))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(points["samples"][4])).convert("RGB")), grid)
    (settings,) = (path / "tensorboard").glob("*/events*")
    summary = EventAccumulator(str(settings)).Reload().SummaryMetadata("_hparams_/session_start_info")
    assert b"widths" in summary.plugin_data.content and b"terminal_components" in summary.plugin_data.content


def test_wandb_keeps_one_id_and_the_pictures(tracked):
    path = tracked["wandb"]
    names = [p.name for p in path.glob("wandb/offline-run-*")]
    identity = json.loads((path / "tracker.json").read_text())["wandb"]["id"]
    assert len(names) == 3 and all(identity in name for name in names)  # "-1" follows within one second
    pictures = sorted(path.glob("wandb/offline-run-*/files/media/images/samples_*.png"))
    grids = {np.asarray(open_picture(p).convert("RGB")).tobytes() for p in (path / "samples").glob("*.png")}
    assert {np.asarray(open_picture(p).convert("RGB")).tobytes() for p in pictures} == grids


def test_a_crash_between_a_checkpoint_and_the_tracker_leaves_no_gap(tmp_path):
    """The records are there, the tracker knows of none of them, or of the first only."""
    config = configure(tracker="tensorboard", batch_size=32)
    records = [{"epoch": e, "images": 64 * e, "loss": 1.0 / (e + 1), "lr": 0.1} for e in range(4)]
    save_grid(tmp_path / "samples" / "epoch_0002.png", torch.zeros(4, 1, 28, 28).byte(), columns=2)
    for known in (1, 4, 4):
        tracker = RunTracker(config, tmp_path)
        tracker.send(records[:known], [[9, 1, 0.5, 0.1]] if known == 4 else [])
        tracker.close()
    points = tensorboard_points(tmp_path)
    assert list(points["loss/epoch"]) == [0, 2, 4, 6] and list(points["samples"]) == [4]
    assert points["loss/step"] == {9: 0.5}


def test_a_run_that_is_tracked_from_the_middle_sends_what_was_before(tmp_path):
    path = tmp_path / "run"
    run(configure(**SETTINGS), path, until=2)
    run(configure(**SETTINGS, tracker="tensorboard"), path)
    assert list(tensorboard_points(path)["loss/epoch"]) == [4, 8, 12]


@pytest.mark.parametrize("tracker", READERS)
def test_a_tracker_that_is_not_installed_is_told_before_anything_is_written(tmp_path, monkeypatch, tracker):
    monkeypatch.setitem(sys.modules, tracker, None)  # as Python marks what cannot be imported
    with pytest.raises(ThawError, match=rf"needs {tracker}, .*thaw-diffusion\[trackers\]"):
        run(configure(tracker=tracker), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_wandb_that_cannot_start_is_told(tmp_path, monkeypatch):
    import wandb

    wandb.teardown()  # it reads its environment once
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "not a key")
    with pytest.raises(ThawError, match=r"wandb cannot start .*WANDB_MODE=offline, or set tracker: none"):
        run(configure(tracker="wandb"), tmp_path / "run")
    wandb.teardown()  # which else remembers, in this process, that it was online


def test_hyperparameters_are_every_setting_as_a_plain_value():
    values = hyperparameters(configure(widths=(8, 16)))
    assert values.keys() == Config.model_fields.keys()
    assert values["widths"] == "[8, 16]" and values["minutes"] == "null" and values["lr"] == 5e-3
    assert all(isinstance(value, bool | int | float | str) for value in values.values())
