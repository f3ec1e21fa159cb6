"""The eleven at equal budget: rows are added one by one, by their weights; what is shipped is whole and of ours."""

import json

import equal_budget
import pytest
from cases import ROOT
from equal_budget import FORMAT, IDENTITY, RECORDED, add, main, recorded
from repairs import NAMES

from thaw.base.errors import ThawError
from thaw.cli.options import run
from thaw.store.released import read_manifest


def row(name="row", epochs=5, tau=1.0, seed=0, fid=1.0):
    return dict(zip(IDENTITY, (name, epochs, tau, seed), strict=True)) | {"fid": fid}


def test_rows_are_kept_by_what_they_measure_and_go_with_their_weights():
    table = {"models": {}, "rows": []}
    for seed, fid in ((1, 2.0), (0, 3.0), (1, 4.0)):
        add(table, row(seed=seed, fid=fid), {"weights": "a"}, {"fid": 0.5})
    add(table, row("mask", tau=2.0), {"weights": "b"}, {"fid": 0.5})
    assert [(one["degradation"], one["seed"], one["fid"]) for one in table["rows"]] == [
        ("mask", 0, 1.0), ("row", 0, 3.0), ("row", 1, 4.0),
    ]  # fmt: skip
    assert table["seeds"] == [0, 1] and table["temperatures"] == [1.0, 2.0] and table["real"] == {"fid": 0.5}
    add(table, row(seed=2), {"weights": "other"}, {"fid": 0.5})
    assert [(one["degradation"], one["seed"]) for one in table["rows"]] == [("mask", 0), ("row", 2)]
    assert table["models"] == {"row": {"5": {"weights": "other"}}, "mask": {"5": {"weights": "b"}}}


def test_a_table_that_was_measured_otherwise_is_not_added_to(tmp_path):
    path, about = tmp_path / "table.json", {"format": FORMAT, "n": 500, "sampling": {"interval": (0.2, 0.9)}}
    assert recorded(path, about)["rows"] == []
    path.write_text(json.dumps(about | {"models": {}, "rows": [row()]}))
    assert recorded(path, about)["rows"] == [row()]
    with pytest.raises(ThawError, match="table.json was measured with another n; move it, or ask for the same"):
        recorded(path, about | {"n": 1000})


@pytest.mark.slow
def test_a_row_is_measured_once(tmp_path, monkeypatch, capsys):
    """With few steps, into a table of its own."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(equal_budget, "FILE", str(tmp_path / "table.json"))
    monkeypatch.setattr(equal_budget, "SAMPLING", equal_budget.SAMPLING.replace(steps=2))
    asked = ["--epochs", "10", "--taus", "1", "--seeds", "0", "--n", "256", "--names", "row", "--record"]
    assert run(main, asked) == 0
    first, table = capsys.readouterr().out, json.loads((tmp_path / "table.json").read_text())
    monkeypatch.setattr(equal_budget, "score", None)  # is not asked again
    assert run(main, asked) == 0 and capsys.readouterr().out == first
    assert first.startswith("row            10 tau 1 fid ") and len(table["rows"]) == 1


def test_what_is_shipped_is_whole_and_of_the_weights_that_are_there():
    table, manifest = (
        json.loads((ROOT / "pretrained" / equal_budget.FILE).read_text()),
        read_manifest(ROOT / "pretrained"),
    )
    assert table["judge"] == manifest["features_mnist.pth"]["sha256"][:12] and table["reference"] == "train"
    assert set(RECORDED) <= set(table["real"]) and table["note"] == equal_budget.NOTE
    assert all({"2", "5"} <= models.keys() for models in table["models"].values())
    files = {name: f"custom_mnist_5_{name}_default.pth" for name in NAMES}
    shipped = {name: manifest[file]["sha256"] for name, file in files.items() if file in manifest}
    assert all(table["models"][name]["5"]["weights"] == digest for name, digest in shipped.items())
    groups = {(one["epochs"], one["tau"]) for one in table["rows"]}
    for epochs, tau in groups:
        measured = {
            (one["degradation"], one["seed"]) for one in table["rows"] if (one["epochs"], one["tau"]) == (epochs, tau)
        }
        assert measured == {(name, seed) for name in NAMES for seed in table["seeds"]}
    assert (5, 1.0) in groups and len(table["seeds"]) == 3
