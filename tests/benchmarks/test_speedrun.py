"""The speed run: two models trained side by side, drawn and recorded; and its optimiser."""

import json

import pytest
import torch
from cases import ROOT, open_picture
from speedrun import CONFIGS, main, speedrun

from thaw.base.errors import ThawError
from thaw.cli.options import run
from thaw.experiment.config import load_config
from thaw.networks import build
from thaw.training.optimisers import build_optimiser


@pytest.mark.slow
def test_both_models_are_trained_drawn_and_scored_once(tmp_path, monkeypatch, capsys, processes):
    """In processes that need not import everything first."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("multiprocessing.get_context", lambda _: processes)
    arguments = ["--data", "digits", "--smoke", "--out", str(tmp_path)]
    assert run(main, arguments) == 0
    printed = capsys.readouterr().out
    first = {path.name: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert [record["model"] for record in first.values()] == [
        r["model"] for r in first.values() if r["model"] in printed
    ]
    assert {record["model"] for record in first.values()} == {"speedrun_smoke", "row_speedrun_smoke"}
    for name, record in first.items():
        assert record["images"] == 2 * 256 and record["minutes"] > 0 and record["fid"]["n"] == 256
        assert record["fid"]["reference"] == "test" and 0 < record["share_of_peak"] < 2
        assert open_picture(tmp_path / name.replace(".json", ".png")).size == (3 * (8 * 29 + 1), 3 * (8 * 29 + 1))
    assert run(main, arguments) == 0
    again = {path.name: json.loads(path.read_text()) for path in tmp_path.glob("*.json")}
    assert all(again[name]["fid"] == record["fid"] for name, record in first.items())


def test_the_limit_is_ten_minutes_and_mistakes_are_told(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert [load_config(path).minutes for path in CONFIGS] == [10, 10]
    with pytest.raises(ThawError, match="minutes"):
        speedrun(tmp_path / "out", data="digits", minutes=-1)


def test_muon_moves_matrices_by_an_orthogonal_step_and_the_rest_by_adamw():
    """Newton-Schulz iterations bring the singular values near 1: all but the faintest directions move alike."""
    torch.manual_seed(0)
    network = build("unet", (1, 8, 8), 10, widths=(16, 32))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimiser = build_optimiser(network, "muon", lr=0.01, weight_decay=0.0)
    x, y = torch.randn(8, 1, 8, 8), torch.arange(8)
    network(x, torch.rand(8), torch.ones(8), y).square().mean().backward()
    optimiser.step()
    moved = {name: (p.detach() - before[name]) for name, p in network.named_parameters()}
    step = moved["middle.0.conv1.weight"].flatten(1)
    values = torch.linalg.svdvals(step)
    raw = torch.linalg.svdvals(network.middle[0].conv1.weight.grad.flatten(1))
    assert values.median() > 0.7 * values.max() and raw.median() < 0.3 * raw.max()
    assert step.square().mean().sqrt() == pytest.approx(0.2 * 0.01, rel=0.2)  # as large as AdamW's usual step
    for name in ("middle.0.norm1.bias", "head.2.bias"):
        assert moved[name].abs().max() <= 0.01 * 0.25 * 1.001


def test_adamw_is_torchs_own():
    network = build("unet", (1, 8, 8), 10, widths=(8, 16))
    assert type(build_optimiser(network, "adamw", 1e-3, 0.01)) is torch.optim.AdamW
