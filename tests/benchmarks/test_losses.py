"""The losses that were tried: what they compare, and that a run with another loss is trained and scored."""

from functools import partial

import losses
import pytest
import torch
from cases import ROOT
from torch import nn

from thaw import degradations
from thaw.cli.options import run
from thaw.degradations.softened import Softened
from thaw.experiment.config import load_config
from thaw.oracle import data_oracle
from thaw.process import Draws, Process


@pytest.fixture(scope="module")
def process():
    degradation = Softened(degradations.build("row", (1, 8, 8)), 4)
    return Process(degradation, torch.linspace(0, 1, degradation.steps + 1), tau=(0.0, 2.0))


def draws(process, n, tau=1.0):
    torch.manual_seed(0)
    return Draws(torch.randint(1, process.steps + 1, (n,)), torch.full((n,), tau), torch.randn(n, *process.shape), None)


class Wrong(nn.Module):
    """Says x0, with an error of 1 in every other column: rows keep their means."""

    def __init__(self, x0):
        super().__init__()
        self.x0 = x0

    def forward(self, x_t, time, tau, y):
        return self.x0 + torch.tensor([1.0, -1.0]).repeat(4)


def test_the_loss_after_the_degradation_does_not_ask_for_what_it_hides(process):
    x0, batch = torch.zeros(5, 1, 8, 8), draws(process, 5)
    last = batch._replace(t=torch.full((5,), process.steps))
    y = torch.zeros(5, dtype=torch.long)
    assert float(process.loss(Wrong(x0), x0, y, last)) == pytest.approx(1.0)
    assert float(losses.after(process, Wrong(x0), x0, y, last)) == pytest.approx(0.0, abs=1e-6)
    expected = losses.kept(process, batch.t).square().mean()
    assert float(losses.after(process, Wrong(x0), x0, y, batch)) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("tau", [0.3, 1.0])
def test_the_posterior_mean_in_one_product_is_the_oracle_s(process, tau):
    images = torch.rand(30, *process.shape) * 2 - 1
    batch = draws(process, 6, tau)
    x_t = process(images[:6], batch.t, batch.tau, batch.noise)
    restore = data_oracle(process, images, tau)
    expected = torch.cat([restore(x_t[i : i + 1], batch.t[i : i + 1]) for i in range(6)])
    found = losses.posterior_mean(process, x_t, batch, images, torch.ones(6, 30, dtype=torch.bool))
    assert (found - expected).abs().max() < 2e-3  # means of rows are rounded to a grid
    alone = torch.eye(6, 30, dtype=torch.bool)
    assert torch.allclose(losses.posterior_mean(process, x_t, batch, images, alone), images[:6], atol=1e-6)


@pytest.mark.slow
def test_every_loss_trains_and_scores_the_same_run(tmp_path, monkeypatch, capsys, mnist):
    """On few images, in few steps; once more, and nothing is trained. Scores ask for MNIST's training images."""
    monkeypatch.chdir(ROOT)
    few = {"limit": 128, "batch_size": 64, "steps": 4, "soften": 1, "sample_steps": 1}
    few |= {"start_from": None, "widths": (8, 16), "data": "digits"}
    monkeypatch.setattr(losses, "load_config", lambda path, **settings: load_config(path, **settings | few))
    monkeypatch.setattr(losses, "OUT", tmp_path)
    monkeypatch.setattr(losses, "evaluate_model", partial(losses.evaluate_model, cache=None))
    assert run(losses.main, ["--epochs", "1", "--n", "256"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["plain", "after", "stable"]
    assert len({line.split(maxsplit=1)[1] for line in lines}) == 3, "each trains by its own loss"
