"""Samples of other systems and ours, by one protocol."""

import json
from functools import partial
from types import SimpleNamespace

import numpy as np
import peers
import pytest
from cases import ROOT

from thaw.cli.options import run
from thaw.report.results import read_numbers
from thaw.store.weights import load_model, save_release

ENTRY = {"project": "one/other", "epochs": 3, "parameters": 1234, "evaluations": 7, "seconds_per_64": 1.5}
ENTRY |= {"starts": "noise", "changes": "none"}


@pytest.fixture
def samples(tmp_path, digits):
    """Two sets: digits with their classes, as asked for, and fewer without, all of one class."""
    folder = tmp_path / "samples"
    folder.mkdir()
    chosen = digits.subset(300, 0)
    np.savez(folder / "told.npz", images=chosen.images[:, 0].numpy(), labels=chosen.labels.numpy())
    zeros = digits.images[digits.labels == 0].repeat(3, 1, 1, 1)[:256, 0]
    np.savez(folder / "untold.npz", images=zeros.roll(1, dims=2).numpy())
    entries = [ENTRY | {"name": name, "file": f"{name}.npz"} for name in ("told", "untold")]
    entries[0] |= {"n": 300, "machine": "theirs"}
    entries[1] |= {"n": 256, "epochs": None}
    (folder / "peers.json").write_text(json.dumps(entries))
    return folder


@pytest.mark.slow
def test_every_set_is_scored_at_its_own_n_and_ours_beside_it(samples, tmp_path, monkeypatch, tiny, capsys):
    monkeypatch.chdir(ROOT)
    model = tiny(steps=4, set="default")
    model = load_model(save_release(tmp_path / "made", model, model.network.state_dict()))
    monkeypatch.setattr(
        peers, "play", SimpleNamespace(shipped=lambda: [("mnist", "default")], open_model=lambda _: model)
    )
    for name in ("evaluate_images", "evaluate_model", "draw_samples"):
        monkeypatch.setattr(peers, name, partial(getattr(peers, name), cache=None))
    monkeypatch.setattr(peers, "Recorder", partial(peers.Recorder, plots=tmp_path / "Plots"))
    assert run(peers.main, ["--samples", str(samples), "--n", "256", "--repeats", "1", "--record"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if "s / 64" in line] == [
        "told", "untold", "default", "default_300",
    ]  # fmt: skip
    numbers = read_numbers(tmp_path / "Plots")
    text = {key.removeprefix("peers."): entry["text"] for key, entry in numbers.items()}
    assert text["told.n"] == text["default_300.n"] == "300" and text["untold.n"] == text["default.n"] == "256"
    assert float(text["told.accuracy"]) > 50 and text["untold.accuracy"] == text["untold.epochs"] == "-"
    assert float(text["untold.entropy"]) < 0.5 < float(text["told.entropy"])
    assert float(text["untold.rarest"]) == 0.0 < float(text["told.rarest"])
    assert (text["told.parameters"], text["told.evaluations"], text["told.seconds_64"]) == ("1,234", "7", "1.5")
    machines = {key: numbers[f"peers.{key}.seconds_64"]["origin"]["machine"] for key in ("told", "untold", "default")}
    assert machines["told"] == "theirs" and machines["untold"] == "" and "cores" in machines["default"]
    weights = numbers["peers.default.fid"]["origin"]["weights"]
    assert "features_mnist.pth" in weights and len(weights) == 2
    assert {path.name for path in (tmp_path / "Plots").glob("*.png")} == {"peers_theirs.png", "peers_ours.png"}


def test_a_wrong_list_is_told(samples, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)

    def told(entries) -> str:
        (samples / "peers.json").write_text(json.dumps(entries))
        assert run(peers.main, ["--samples", str(samples)]) == 1
        return capsys.readouterr().err

    entries = json.loads((samples / "peers.json").read_text())
    assert "0.seconds_per_64: Field required" in told([{k: v for k, v in entries[0].items() if k != "seconds_per_64"}])
    assert "1.name" in told([entries[0], entries[1] | {"name": "A b"}])
    assert "names told twice" in told([entries[0], entries[0]])
    assert "told.npz holds 300 images, peers.json says 299 of told" in told([entries[0] | {"n": 299}])
    assert "no file" in told([entries[0] | {"file": "gone.npz"}])
    (samples / "peers.json").unlink()
    assert run(peers.main, ["--samples", str(samples)]) == 1
    assert "--samples" in capsys.readouterr().err
    assert run(peers.main, []) == 1 and "--samples" in capsys.readouterr().err


def test_a_dash_stands_where_nothing_is_known():
    assert peers.told({"epochs": (None, "d"), "fid": (1.234, ".2f")}) == "epochs -  fid 1.23"
