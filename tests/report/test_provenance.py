"""Every number and figure that is shipped says where it comes from; the report types none itself."""

import json
import re

import floors  # noqa: E402
import pytest
import stale
from cases import ROOT
from numbers_tex import write_tex

from thaw.base.errors import ThawError
from thaw.report import results
from thaw.report.recorder import weights_of
from thaw.scoring import load_judge
from thaw.store import read_manifest, weights
from thaw.store.runs import checkpoint_digest, save_checkpoint
from thaw.store.tensors import save_tensors

MADE_BY = ("notebook", "script", "benchmark")
# Of what rests on no weights that are shipped: how to make it again.
INSTEAD = ("config", "sweep", "logs", "log", "data")


def test_a_shipped_model_s_fingerprint_is_its_entry_in_the_manifest(monkeypatch):
    monkeypatch.chdir(ROOT)
    manifest = read_manifest()
    used = weights_of(weights.load_model("pretrained/ddpm_mnist_5_speedrun.pth"), load_judge("mnist"))
    assert used == {name: manifest[name]["sha256"] for name in ("ddpm_mnist_5_speedrun.pth", "features_mnist.pth")}
    assert stale.why_stale({"weights": used}, manifest) is None


def test_a_run_s_fingerprint_changes_with_its_weights_and_is_what_export_lists(tiny, tmp_path):
    from thaw.training.release import export_run

    model = tiny(study="ddpm", set="mine")
    run, part = tmp_path / "run", {"w": model.network.state_dict()}
    context = {"shape": list(model.process.shape), "classes": 10, "epoch": 4}
    states = {name: model.network.state_dict() for name in ("model", "ema")} | {"optimiser": {}, "rng": {}}
    performance = {"seconds": 1.0, "device": "cpu", "images_per_second": 1.0, "machine": "A, cores 2, threads 1"}
    path = save_checkpoint(run / "epoch_0004", model.config, states, context, performance)
    save_tensors(run / "terminal.pt", model.terminal.state())
    used = weights_of(weights.load_model(path))
    assert used == {model.config.release_name(4): checkpoint_digest(path)}
    export_run(run, tmp_path / "pretrained", n=0)
    manifest = read_manifest(tmp_path / "pretrained")
    assert manifest[model.config.release_name(4)]["machine"] == "A, cores 2, threads 1"
    assert stale.why_stale({"weights": used}, manifest) is None
    save_tensors(path / "ema.pt", part)
    assert weights_of(model_at(path)) != used


def model_at(path):
    """Return an object that says it was loaded from a checkpoint, whose weights need not fit."""
    from thaw.experiment.config import make_config
    from thaw.model import Model
    from thaw.store.runs import read_yaml

    model = object.__new__(Model)
    model.__dict__ |= {"config": make_config(read_yaml(path / "cfg.yaml")), "epoch": 4, "info": {"file": str(path)}}
    return model


def test_an_origin_must_say_what_made_it(tmp_path):
    with pytest.raises(ThawError, match="names no notebook, script or benchmark"):
        results.record({"a": (1, "d")}, {"seed": 0}, tmp_path)


def origins() -> dict[str, dict]:
    """Return the origins of all shipped numbers and figures."""
    numbers = {key: entry["origin"] for key, entry in results.read_numbers(ROOT / "Plots").items()}
    figures = {path.name: json.loads(path.read_text()) for path in (ROOT / "Plots").glob("*.*.json")}
    return numbers | figures


def test_every_shipped_number_and_figure_tells_its_origin():
    found = origins()
    assert len(found) > 1000
    for name, origin in found.items():
        assert any(key in origin for key in MADE_BY), name
        assert origin["commit"] and origin["commit"] != "unknown", name
        assert "weights" in origin or any(key in origin for key in INSTEAD), name


def test_no_shipped_number_or_figure_is_older_than_its_weights():
    manifest = read_manifest(ROOT / "pretrained")
    fresh = {name: origin for name, origin in origins().items() if isinstance(origin.get("weights"), dict)}
    assert len(fresh) > 700
    old = {name: reason for name, origin in fresh.items() if (reason := stale.why_stale(origin, manifest))}
    assert not old


# What the text of the report may say in digits.
ALLOWED = [
    r"Algorithms?~[12]( and~2)?", r"Alg\.?[~ ]?[12]?", r"equation~16", r"\b128\b", r"\b64 ?(~|digits)", r"s / 64",
    r"64~",
    r"\b2~steps", r"\bin~[46]\b", r"in 10 \(its", r"in~40", r"to~3\b", r"at~1\b", r"(hot|rows), (5|25)\b",
    r"& [12] & 2", r"step 0", r"05\\_temperature", r"04\\_evaluation", r"row\\_default\\_28", r"fp(16|32)", r"SHA-256",
]  # fmt: skip


# Macros that stand for a line of a table or for a picture: their arguments are keys and names, and a settings' number.
LINES = (
    "warmth",
    "startline",
    "warmline",
    "modelline",
    "ablation",
    "fewline",
    "fewtrial",
    "setline",
    "degline",
    "restoreline",
    "latentline",
    "heat",
    "strip",
    "trialline",
    "qualityline",
    "lost",
    "repaired",
    "unrepaired",
    "peerline",
)


def prose(text: str) -> str:
    """Return the text of a LaTeX source without what may hold digits: preamble, mathematics, names, sizes."""
    text = re.sub(r"(?<!\\)%.*", "", text.split(r"\begin{document}")[1])
    text = re.sub(r"\\begin\{(equation|align)\*?\}.*?\\end\{\1\*?\}", "", text, flags=re.S)
    text = re.sub(r"\\(begin|end)\{tabular\}(\{@?.*\})?", "", text)
    text = re.sub(r"\\\w+\*?\{[^{}]*?(fig|tab|sec|eq):[^{}]*\}", "", text)
    values = ("val", "rest", "hot", "row", "peer", "judge", "both", "abl", "quality")
    for command in (*values, "texttt", "input", "nolinkurl"):
        text = re.sub(rf"\\{command}\{{[^{{}}]*(\{{[^{{}}]*\}}[^{{}}]*)*\}}", "", text)
    for command in (*LINES, "cmidrule"):
        text = re.sub(rf"\\{command}\}}?(\([^)]*\)|\[\d\])?(\{{([^{{}}]|\{{[^{{}}]*\}})*\}})*", "", text)
    text = re.sub(r"\\cite\w*(\[[^]]*\])?\{[^}]*\}", "", text)
    text = re.sub(r"\\includegraphics(\[[^]]*\])?\{[^}]*\}", "", text)
    text = re.sub(r"\$[^$]*\$", "", text)
    text = re.sub(r"-?[\d.]+\\?(textwidth|columnwidth|linewidth|pt|in|em|ex)\b", "", text)
    return re.sub(r"\\(multicolumn|setcounter|begin\{minipage\})\{[^}]*\}(\{[^}]*\})?", "", text)


def test_the_report_types_no_measured_number():
    """Neither in its prose nor in the bodies of its tables; in mathematics only settings such as tau = 0.1."""
    source = (ROOT / "Report/report.tex").read_text()
    text = prose(source)
    for pattern in ALLOWED:
        text = re.sub(pattern, "", text)
    left = [line.strip() for line in text.splitlines() if re.search(r"\d", line)]
    assert not left, "\n".join(left)
    body = re.sub(r"(?<!\\)%.*", "", source.split(r"\begin{document}")[1])
    decimals = [math for math in re.findall(r"\$([^$]*)\$", body) if re.search(r"\d\.\d", math)]
    assert all(re.fullmatch(r"\\(tau|eta|alpha)=[01](\.\d+)?", math) for math in decimals), decimals


def test_times_of_other_machines_or_runs_are_marked_where_they_stand_in_one_table(tmp_path):
    by = {"machine": "A", "measured": "2026-01-01 10:00:00"}
    numbers = {"evaluation.one.seconds_64": by, "evaluation.two.seconds_64": by, "speed.x.ms": by, "speed.y.ms": by}
    numbers |= {"evaluation.one.minutes": {"weights": {"a.pth": "", "features.pth": ""}} | by}
    numbers |= {"evaluation.one.fid": {}, "sets.a.minutes": {"weights": {"a.pth": ""}}}
    manifest = {"a.pth": {"train_seconds": 1, "machine": "A"}, "b.pth": {"train_seconds": 1}, "features.pth": {}}

    def marked():
        return stale.mark_times({key: {"origin": origin} for key, origin in numbers.items()}, manifest)

    assert marked() == ({}, "")
    numbers["evaluation.two.seconds_64"] = by | {"measured": "2026-01-02 10:00:00"}  # another run
    letters, told = marked()
    assert letters == {"evaluation.one.seconds_64": "a", "evaluation.two.seconds_64": "b"}
    assert "a: A, 2026-01-01 10:00:00; b: A, 2026-01-02 10:00:00" in told
    numbers["evaluation.two.seconds_64"] = by
    numbers["sets.b.minutes"] = {"weights": {"b.pth": ""}}  # trained elsewhere, whoever recorded it
    letters, told = marked()
    assert letters == {"sets.a.minutes": "b", "sets.b.minutes": "a"} and "a: a machine that was not recorded" in told
    results.record(dict.fromkeys(letters, (1.0, ".1f")), {"benchmark": "b"}, tmp_path)
    write_tex(tmp_path / "numbers.tex", tmp_path, marks=marked())
    tex = (tmp_path / "numbers.tex").read_text()
    assert r"{1.0\textsuperscript{b}}" in tex and r"\newcommand{\machines}{Times compare" in tex


def test_the_floors_that_are_shipped_are_those_that_are_measured_now(monkeypatch):
    """Those of images drawn with their classes in turn: real ones in equal classes get them."""
    monkeypatch.chdir(ROOT)
    numbers, judges = results.read_numbers(), {name: load_judge(name) for name in ("mnist", "fashion", "emnist")}
    found = floors.recorded(numbers, judges | {judge.digest: judge for judge in judges.values()})
    assert len(found) > 20
    for key, (_, _, floor) in found.items():
        assert numbers[key]["value"] == pytest.approx(floor, rel=1e-3), f"{key}: run benchmarks/floors.py --record"
    for name, entry in read_manifest().items():
        if "accuracy" in entry and "fid" in entry:
            judge = judges["fashion" if "_fashion_" in name else "emnist" if "_emnist_" in name else "mnist"]
            classes = floors.counted(judge, floors.in_turn(judge, entry["fid"]["n"]))
            assert entry["fid"]["floor"] == pytest.approx(floors.quick_floors(judge, classes)["fid"], rel=1e-3), name
