"""`MEASURES`: a measure is a function and a row, and scores are found again by all that they depend on."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from thaw.base.errors import ThawError
from thaw.base.seeding import generator
from thaw.cli.main import main
from thaw.degradations import Softened, build
from thaw.model import Model
from thaw.oracle import Affine, Gaussian
from thaw.scoring import (
    MEASURES,
    Ceiling,
    Measure,
    draw_samples,
    evaluate,
    evaluate_model,
    load_judge,
    restoration,
    restore_all,
    row_of,
    score_model,
    score_restoration,
)
from thaw.scoring.damage import noisy
from thaw.scoring.judge import save_judge
from thaw.scoring.metrics import consistency, error_ratio, spread_skill
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


@pytest.mark.parametrize("part", ["network", "terminal", "degradation", "softened degradation"])
def test_scores_of_a_model_that_changed_since_it_was_loaded_are_not_those_of_its_file(released, part, tmp_path):
    """Trained on in a notebook, say; the digest of the file is still the same."""
    judge, inner = load_judge("digits"), released.process.degradation
    if part == "softened degradation":
        released.process.degradation = Softened(inner, 1)
    before = score_model(released, judge, 256, cache=tmp_path)
    assert score_model(released, judge, 256, cache=tmp_path) == before and len(list(tmp_path.glob("*.json"))) == 1
    changed = released
    if part == "network":
        torch.nn.init.normal_(next(released.network.parameters()))
    elif part == "terminal":
        changed = replace(released, terminal=replace(released.terminal, centres=released.terminal.centres + 1))
    else:
        inner.__class__ = type("Other", (type(inner),), {"__module__": __name__})  # other code
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


@pytest.fixture(scope="module")
def exact() -> dict[str, torch.Tensor]:
    """Gaussian images whose rows were averaged: the truth, the posterior's mean, eight draws from it."""
    draws, shape, n = generator(0, "posterior"), (1, 8, 8), 400
    basis = torch.linalg.qr(torch.randn(64, 12, generator=draws))[0]
    data = Gaussian(torch.zeros(shape), basis, torch.linspace(0.5, 4, 12))
    row = build("row", shape)
    offset, matrix = Affine(row, data).at(row.steps)
    h = torch.randn(n, 12, generator=draws) * data.variance.sqrt()
    noise = 0.01  # of what is observed, so that the covariance can be inverted
    observed = offset + h @ matrix.mT + noise**0.5 * torch.randn(n, 64, generator=draws)
    covariance = torch.linalg.inv(torch.diag(1 / data.variance) + matrix.mT @ matrix / noise)
    mean = (observed - offset) @ matrix @ covariance / noise
    away = torch.randn(8, n, 12, generator=draws) @ torch.linalg.cholesky(covariance).mT
    drawn = torch.stack([data.images(one) for one in mean + away])
    return {"originals": data.images(h), "mean": data.images(mean), "draws": drawn}


def test_draws_from_the_exact_posterior_err_twice_as_much_as_its_mean_and_spread_as_they_err(exact):
    truth, mean, draws = exact["originals"], exact["mean"], exact["draws"]
    for drawn in draws:
        assert error_ratio(drawn, truth, mean) == pytest.approx(2, abs=0.1)
    for M in (2, 3, 8):
        assert spread_skill(draws[:M], truth) == pytest.approx(1, abs=0.04)
    assert spread_skill(mean + 2 * (draws - mean), truth) > 1.2 > 0.8 > spread_skill(mean + (draws - mean) / 2, truth)


def test_the_mean_repeated_has_its_own_error_and_no_spread(exact):
    truth, mean = exact["originals"], exact["mean"]
    assert error_ratio(mean, truth, mean) == 1 and spread_skill(mean.expand(8, *mean.shape), truth) == 0
    assert error_ratio(mean, truth, truth) is None  # no error to compare with
    assert spread_skill(mean[None], truth) is None and spread_skill(truth.expand(2, *truth.shape), truth) is None


def test_a_projections_own_answer_is_consistent_and_another_picture_is_not():
    row, x0 = build("row", (1, 8, 8)), torch.rand(5, 1, 8, 8, generator=generator(0, "x0")) * 2 - 1
    last = torch.full((5,), row.steps)
    x_T = row(x0, last)
    assert consistency(x_T, row(x_T, last)) < 1e-6
    assert consistency(x_T, row(x0, last)) == 0 and consistency(x_T, x_T + 0.5) == pytest.approx(0.5)


def test_what_is_not_at_hand_is_left_out_and_exact_inference_stands_beside_the_rest(digits, judge):
    images, others = digits.images[:20], noisy(digits.images[:20], 40)
    seen = judge.predict(judge.features(others))
    found = restoration(others, images, judge=judge, true=seen, direct=noisy(images, 20), ceiling=0.83)
    assert set(found) == {"psnr", "ssim", "agreement", "error_ratio"}
    assert (found["agreement"].value, found["agreement"].floor) == (1, 0.83)
    assert found["error_ratio"].value == pytest.approx(4, rel=0.1) and found["error_ratio"].floor == 2
    assert "agreement" not in restoration(others, images, judge=judge) and found["psnr"].floor is None
    assert restoration(others, images, judge=judge, true=seen)["agreement"].floor is None
    with pytest.raises(ThawError, match="as many draws images .* as originals"):
        restoration(others, images, draws=others[None, :10])


def test_a_models_restorations_are_scored_by_all_of_it_and_cold_ones_have_no_spread(warm_rows, digits_test, judge):
    x0, T = digits_test.pixels(slice(6)), warm_rows.process.steps
    x_T = warm_rows.process.degradation(x0, torch.full((6,), T))
    told = {"true": digits_test.labels[:6], "judge": judge, "ceiling": Ceiling(0.9, 0.8, 0.01, 297)}
    warm, cold = {"tau": 1.0, "steps": 2}, {"sampler": "algorithm1", "steps": 2}
    restored = [restore_all(warm_rows, x_T, T, **settings) for settings in (warm, cold)]
    assert torch.equal(restored[0], warm_rows.restore(x_T, T, **warm))
    of_warm, of_cold = (
        score_restoration(warm_rows, images, x_T, x0, T, part=4, seeds=3, **told, **settings)
        for images, settings in zip(restored, (warm, cold), strict=True)
    )
    assert set(of_cold) == {"agreement", "psnr", "ssim", "consistency"}
    assert set(of_warm) == {*of_cold, "error_ratio", "spread_skill"}
    assert (of_warm["spread_skill"].n, of_warm["psnr"].n) == (4, 6)
    assert (of_warm["agreement"].floor, of_cold["agreement"].floor) == (0.8, 0.9)
