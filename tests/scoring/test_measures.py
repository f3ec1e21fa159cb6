"""`MEASURES`: a measure is a function and a row, and scores are found again by all that they depend on."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.cli.main import main
from thaw.model import Model
from thaw.scoring import (
    MEASURES,
    Measure,
    draw_samples,
    evaluate,
    evaluate_model,
    load_judge,
    restoration,
    row_of,
    score_model,
)
from thaw.scoring.damage import noisy
from thaw.scoring.judge import save_judge
from thaw.scoring.real import collect_real, save_real
from thaw.store.weights import load_model, save_release


@pytest.fixture
def released(tiny, judge, digits, digits_test, tmp_path) -> Model:
    """A tiny model, read from a file, whose judge and real features are shipped."""
    rows = {"study": "custom", "degradation": "row", "options": {"group": 7}, "steps": None, "sample_steps": 1}
    model = tiny(**rows, tau=(0.0, 1.0), eta=1.0)
    saved = load_judge("digits", save_judge(judge, "pretrained").parent)
    save_real(collect_real(saved, digits, digits_test))
    return load_model(save_release(tmp_path / "weights", model, model.network.state_dict()))


def ink(images: torch.Tensor) -> float:
    return float(images.double().mean())


def spread(features: torch.Tensor) -> float:
    return float(features.double().std())


def spread_of_all(features: torch.Tensor) -> float:
    return 2 * float(features.double().std())


def in_the_corner(images: torch.Tensor, originals: torch.Tensor) -> float:
    return float((images[..., 0, 0] == originals[..., 0, 0]).double().mean())


@pytest.mark.slow
def test_a_new_row_is_in_the_commands_table_and_its_record_beside_real_images(released, monkeypatch, capsys):
    monkeypatch.setitem(MEASURES, "ink", Measure("mean grey", ".1f", ink, "higher"))
    monkeypatch.setitem(MEASURES, "spread", Measure("spread of the features", ".4f", spread, quick=True))
    (path,) = Path("weights").glob("*.pth")
    assert main(["evaluate", str(path), "--n", "256", "--out", "scores.json"]) == 0
    shown, (record,) = capsys.readouterr().out, json.loads(Path("scores.json").read_text())
    found = {name: record["scores"][name] for name in ("ink", "spread")}
    assert found["ink"]["value"] == ink(draw_samples(released, 256)) and found["ink"]["floor"] is None
    assert re.search(rf"↑ +ink +{found['ink']['value']:.1f}\n", shown)
    assert found["spread"]["floor"] > 0  # by the rule: measured of real images in the same way
    assert re.search(rf" spread +{found['spread']['value']:.4f} +\({found['spread']['floor']:.4f}\)", shown)
    quick = score_model(released, load_judge("digits"), 256)
    assert quick["spread"].value == pytest.approx(found["spread"]["value"]) and "ink" not in quick


@pytest.mark.slow
def test_a_measure_that_changed_is_measured_again_and_one_that_did_not_is_not(released, monkeypatch):
    before = evaluate_model(released, 256)
    for function, factor in ((spread, 1), (spread_of_all, 2)):
        monkeypatch.setitem(MEASURES, "spread", Measure("spread of the features", ".4f", function))
        found = evaluate_model(released, 256).scores["spread"]
        values = [spread(load_judge("digits").features(draw_samples(released, 256)))]
        assert found.value == pytest.approx(factor * values[0])
    monkeypatch.delitem(MEASURES, "spread")
    monkeypatch.setattr("thaw.scoring.evaluation.protocol", None)
    assert evaluate_model(released, 256) == before


@pytest.mark.parametrize("part", ["network", "terminal", "degradation"])
def test_scores_of_a_model_that_changed_since_it_was_loaded_are_not_those_of_its_file(released, part, tmp_path):
    """Trained on in a notebook, say; the digest of the file is still the same."""
    judge = load_judge("digits")
    before = score_model(released, judge, 256, cache=tmp_path)
    assert score_model(released, judge, 256, cache=tmp_path) == before and len(list(tmp_path.glob("*.json"))) == 1
    changed, degradation = released, released.process.degradation
    if part == "network":
        torch.nn.init.normal_(next(released.network.parameters()))
    elif part == "terminal":
        changed = replace(released, terminal=replace(released.terminal, centres=released.terminal.centres + 1))
    else:
        degradation.__class__ = type("Other", (type(degradation),), {"__module__": __name__})  # other code
    score_model(changed, judge, 256, cache=tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_measure_of_restorations_is_a_row_like_any_other(digits, judge, monkeypatch):
    """What needs the originals is measured of restorations, and of nothing else."""
    row = Measure("equal corners", ".2f", in_the_corner, "higher", quick=True, floor=lambda originals: 1.0)
    monkeypatch.setitem(MEASURES, "corner", row)
    images = digits.images[:300]
    assert restoration(images, images)["corner"].value == restoration(images, images)["corner"].floor == 1
    assert restoration(noisy(images, 60), images)["corner"].value < 1
    assert "corner" not in evaluate(images, judge) and "fid" not in restoration(images, images)


def test_a_row_that_needs_what_there_is_not_is_refused_and_tells_what_there_is():
    with pytest.raises(ThawError, match="'bad'.* 'weather'; choose one of images, originals"):
        Measure("bad", ".2f", lambda features, weather: 0.0)


def test_every_score_finds_its_row_and_shares_are_told_in_percent_where_reports_tell_them_so():
    assert row_of("inception_fid") is row_of("fid") and row_of("share_12") is MEASURES["share"]
    assert row_of("accuracy").reported(0.5) == (50.0, ".1f") and row_of("entropy").reported(2.3) == (2.3, ".3f")
    with pytest.raises(ThawError, match="unknown measure 'niceness'"):
        row_of("niceness")
