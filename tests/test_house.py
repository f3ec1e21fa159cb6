"""The plan of the house: arrows go down only, and what is added is added in one place."""

import doctest
import importlib.util
import re
import sys

import pytest
import torch
from cases import ROOT
from torch import nn

from thaw.base.errors import ThawError
from thaw.experiment.build import build_model, build_network, build_process
from thaw.experiment.config import make_config
from thaw.networks import NETWORKS
from thaw.process import PREDICTIONS, Prediction
from thaw.sampling import SAMPLERS, Sampler
from thaw.terminal import fit_terminal


def test_imports_go_down_only():
    """The layers of pyproject.toml hold; the equation knows neither YAML nor the disk."""
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    assert lint_imports(str(ROOT / "pyproject.toml"), no_cache=True) == EXIT_STATUS_SUCCESS


def test_no_two_classes_have_one_name():
    texts = [path.read_text() for path in (ROOT / "src").rglob("*.py")]
    found = [name for text in texts for name in re.findall(r"^class (\w+)", text, re.M)]
    assert len(found) > 90 and not {name for name in found if found.count(name) > 1}


EXAMPLES = [path.relative_to(ROOT / "src") for path in (ROOT / "src").rglob("*.py") if ">>> " in path.read_text()]


@pytest.mark.parametrize("path", EXAMPLES, ids=str)
def test_examples_in_docstrings_give_what_they_say(path):
    found = doctest.testmod(importlib.import_module(".".join(path.with_suffix("").parts)))
    assert found.attempted and not found.failed


class Echo(nn.Module):
    """A network of one number, which its constructor's option starts at."""

    conditional = False

    def __init__(self, shape=(1, 28, 28), classes=0, dropout=0.5):
        super().__init__()
        self.share = nn.Parameter(torch.tensor(dropout))

    def forward(self, x, time, tau, y):
        """Return the input, faded."""
        return self.share * x


def test_a_sampler_a_prediction_and_a_network_are_added_by_one_row_each(monkeypatch, digits):
    """Configuration, checks, option names and sampling read the tables alone."""
    monkeypatch.setitem(NETWORKS, "echo", Echo)
    monkeypatch.setitem(SAMPLERS, "still", Sampler("still", "nobody", eta=0.0, carries="nothing"))
    monkeypatch.setitem(
        PREDICTIONS,
        "half",  # the network's output counts twice
        Prediction(lambda x0, eps, alpha, level: x0 / 2, lambda x_t, output, alpha, level: 2 * output, needs="any"),
    )
    settings = {"network": "echo", "sampler": "still", "prediction": "half", "sample_steps": 4, "steps": 10}
    config = make_config(settings | {"dropout": 0.25})
    assert config.network_options() == {"dropout": 0.25}
    process, network = build_process(config, digits.shape), build_network(config, digits.shape, digits.classes)
    terminal = fit_terminal(process.degradation, digits.pixels(slice(100)), digits.labels[:100])
    model = build_model(config, process, network.eval(), terminal, digits.classes)
    assert not model.conditional and model.sampling.evaluations(process) == 4
    first, *_, last = model.trajectory(model.labels(2))
    assert torch.allclose(first.x0_hat, (0.5 * first.x_t).clamp(-1, 1))  # 2 x 0.25
    assert last.x_t.shape == (2, *digits.shape)


def test_rows_are_checked_when_they_are_made():
    """A prediction that does not give x0 back, or a sampler that no loop can follow, is refused at once."""
    with pytest.raises(ThawError, match="must give x0 back"):
        Prediction(lambda x0, eps, alpha, level: x0, lambda x_t, output, alpha, level: x_t)
    with pytest.raises(ThawError, match="unknown carries of a sampler 'some'; choose one of noise, all, nothing"):
        Sampler("odd", "nobody", carries="some")


def test_warm_diffusion_fits_on_one_page(tmp_path, monkeypatch):
    """The example stays under 100 lines, imports the mathematics alone, and draws a picture."""
    path = ROOT / "examples" / "warm_rows.py"
    text = path.read_text()
    assert len(text.splitlines()) < 100
    assert not [
        line for line in text.splitlines() if "import" in line and ("thaw.training" in line or "thaw.store" in line)
    ]
    spec = importlib.util.spec_from_file_location("warm_rows", path)
    example = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "warm_rows", example)
    spec.loader.exec_module(example)
    threads = torch.get_num_threads()
    loss = example.main(minutes=0.02, out=str(tmp_path / "rows.png"), name="digits", limit=200)
    torch.set_num_threads(threads)
    assert loss < 1 and (tmp_path / "rows.png").stat().st_size > 1000
