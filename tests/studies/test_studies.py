"""A study of one's own degradation: refused in a sentence, killed and continued, a paper that claims what it may."""

import copy
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import own
import psutil
import pytest
from cases import ROOT, everything, fails
from numbers_tex import write_tex
from study import read_study

from thaw import data
from thaw.base.errors import ThawError
from thaw.cli.main import build_app, main
from thaw.cli.options import run
from thaw.experiment.config import make_config
from thaw.report import results
from thaw.report.latex import compile_latex, has_latex
from thaw.store.catalogue import TITLES
from thaw.store.weights import load_model
from thaw.studies import Study, findings, make_plan, paper, plan, restoring, sizing, stages, writing
from thaw.studies.findings import Findings, told_apart

CURTAIN = '''
import torch
import thaw


@thaw.register("curtain")
class Curtain(thaw.Degradation):
    """A grey curtain comes down, line after line_by_line (100 % of it)."""

    def __init__(self, shape, steps=7):
        super().__init__(shape, steps)

    def forward(self, x0, t, z=None):
        line = torch.arange(self.shape[1], device=x0.device)
        covered = line < t[:, None] * self.shape[1] / self.steps
        return torch.where(covered[:, None, :, None], 0.0, x0)
'''
NEEDS_LATEX = pytest.mark.skipif(not has_latex(), reason="needs latexmk")


@pytest.fixture
def mine(tmp_path) -> Path:
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    path = tmp_path / "mine.py"
    path.write_text(CURTAIN)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study that was killed twice: with its processes as soon as something was found, and between two stages."""
    root = tmp_path_factory.mktemp("study")
    (root / "mine.py").write_text(CURTAIN)
    (root / "pretrained").symlink_to(ROOT / "pretrained")
    words = ["study", "mine.py", "--data", "digits", "--smoke", "--out", "made", "--cores"]
    process = subprocess.Popen([sys.executable, "-m", "thaw", *words, "2"], cwd=root, stdout=subprocess.PIPE)
    while not list(root.glob("made/runs/*/epoch_0000")) and process.poll() is None:
        time.sleep(0.1)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(workers, timeout=20)
    after_kill = {path.name: json.loads(path.read_text()) for path in root.glob("made/results/*.json")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr(stages, "restorations", _stopped)
        stopped = main([*words, "1"])
    begun = {path.stem: path.stat().st_mtime_ns for path in root.glob("made/results/*.json")}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main([*words, "1"]) == 0
        done = make_plan("mine.py", data="digits", out="made", smoke=True, workers=1)
    return {"root": root, "folder": root / "made", "alive": alive, "killed": after_kill, "stopped": stopped,
            "begun": begun, "plan": done}  # fmt: skip


def _stopped(*_, **__):
    raise KeyboardInterrupt


@pytest.fixture
def study(made, monkeypatch) -> Study:
    monkeypatch.chdir(made["root"])
    made["plan"].register()
    return Study(made["plan"])


def shuffled(text: str) -> str:
    """Return a source whose forward goes another way."""
    return CURTAIN.replace("return torch.where(covered[:, None, :, None], 0.0, x0)", text)


BROKEN = {
    "raise KeyError('sky')": "fails at step 0 of 7: KeyError: 'sky'",
    "return x0[..., 1:]": "Curtain makes (8, 1, 28, 27) torch.float32 of images (8, 1, 28, 28) torch.float32, at",
    "return x0 * (1 + t[:, None, None, None])": "Curtain leaves [-1, 1] at step 1 of 7: a pixel is 2",
    "return torch.where(t[:, None, None, None] > 2, torch.nan, x0)": "gives NaN or infinite pixels at step 3 of 7",
    "return x0 * 0.5": "Curtain at step 0 must be the identity; it moves a pixel by 0.5",
    "return (x0 + (t[:, None, None, None] > 0) * 0.1 * torch.rand(x0.shape)).clamp(-1, 1)":
        "gives two results for one image, at step 1; randomness comes through z alone",
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_a_law_that_is_broken_is_told_in_one_sentence_and_nothing_is_written(text, mine, capsys):
    mine.write_text(shuffled(text))
    before = everything(mine.parent)
    assert BROKEN[text] in fails(capsys, "study", str(mine), "--data", "digits", "--smoke")
    assert everything(mine.parent) == before


@pytest.mark.parametrize(
    ("source", "words", "said"),
    [
        (None, [], "no file"),
        ("x = 1", [], "registers no degradation; it takes one class or function under @thaw.register"),
        ("import nothing_of_this_name", [], "fails: ModuleNotFoundError"),
        ("this is no Python", [], "fails: SyntaxError"),
        (CURTAIN.replace('"curtain"', '"a/b"'), [], "register it by letters, digits, _ and - alone"),
        (CURTAIN.replace("steps=7", "steps=7, colour=None").replace("super", "colour.x; super"), [],
         "curtain cannot be made for images of (1, 28, 28): AttributeError"),
        (CURTAIN, ["--data", "nothing here"], "no data set or folder nothing here; choose one of mnist, fashion"),
        (CURTAIN, ["--set", "epoch=3"], "unknown setting 'epoch'"),
        (CURTAIN, ["--out", "mine.py/x"], "cannot write"),
    ],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_study_is_told_in_one_sentence_and_nothing_is_written(source, words, said, mine, capsys):
    mine.unlink() if source is None else mine.write_text(source)
    before = everything(mine.parent)
    assert said in fails(
        capsys, "study", "mine.py", "--smoke", *(words if "--data" in words else ["--data", "digits", *words])
    )
    assert everything(mine.parent) == before


def test_without_a_feature_network_no_work_is_done(mine, capsys):
    (mine.parent / "pretrained").unlink()
    assert "no feature network" in fails(capsys, "study", "mine.py", "--data", "digits", "--smoke")
    assert not (mine.parent / "contents").exists()


def test_a_folder_without_classes_is_refused(folders, mine, capsys):
    said = fails(capsys, "study", str(mine), "--data", str(folders[0]), "--smoke")
    assert (
        "scores need classes to tell apart, and loose has none" in said
        and "sort the images into two subfolders" in said
    )


def test_more_minutes_are_more_epochs_samples_and_temperatures():
    """And what is planned fits: training, curve and restorations of all seeds on all cores, with room to spare."""
    config, seconds = make_config(plan.SETTINGS | {"degradation": "row", "soften": 4}), (0.22, 0.001, 0.002)
    sizes = [sizing.fitting(config, 60_000, minutes, 2, seconds) for minutes in (1, 10, 20, 30, 60, 240)]
    assert sizes == sorted(sizes, key=sizing.SIZES.index) and sizes[0] == sizing.SIZES[0] and len(set(sizes)) > 4
    for minutes, size in zip((10, 20, 30, 60, 240), sizes[1:], strict=True):
        taken = sizing.SEEDS * sum(sizing.predict(config, 60_000 * size.share, size, seconds).values()) + sizing.FIXED
        assert taken < 60 * minutes * 2 or size == sizing.SIZES[0]


def test_a_difference_is_one_where_the_spread_bears_it():
    assert told_apart([1.0, 1.1, 0.9], [2.0, 2.1, 1.9]) == "better"
    assert told_apart([1.0, 1.1, 0.9], [2.0, 2.1, 1.9], better="higher") == "worse"
    assert told_apart([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]) == "same"
    assert told_apart([1.0] * 3, [1.0] * 3) == "same" and told_apart([1.0] * 3, [2.0] * 3) == "better"


def bare(template: str) -> str:
    """Return what a template holds beside its logic, its formulas and what is a name."""
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", template, flags=re.S)
    text = re.sub(r"\]\(figures/[\w.]+ \"\w+\"\)", "", text)
    return re.sub(r"\$[^$]*\$|Algorithms? [12]( and 2)?", "", text)


def test_no_number_is_typed_in_the_template():
    """What is left without the logic, formulas and the names of two algorithms has no digit, nor have its choices."""
    template = paper.TEMPLATE.read_text()
    assert not re.findall(r".*\d.*", bare(template))
    for choice in re.findall(r"\{%.*?%\}|\{\{.*?\}\}", template, re.S):
        assert not re.search(r"(?<![\w])\d", re.sub(r'"Algorithm [12]"|tau_1_00', "", choice)), choice
    formulas = set(re.findall(r"\$([^$]*)\$", re.sub(r"\{[{%].*?[}%]\}", "", template)))
    assert not [one for one in formulas if re.search(r"\d\.\d|\d{2}", one)]  # 0, 1, 2, x_0: definitions


@pytest.mark.slow
def test_a_killed_study_leaves_no_process_and_nothing_half_written(made):
    assert made["alive"] == [] and made["stopped"] == 130
    assert not [path for path in made["folder"].rglob(".*") if path.name not in (".lock", ".latest")]


@pytest.mark.slow
def test_what_was_found_before_a_kill_is_not_found_again(made, study):
    times = {path.stem: path.stat().st_mtime_ns for path in made["folder"].glob("results/*.json")}
    kept = set(made["begun"]) - {"minutes"}
    assert {"picture", "budget", "ceiling", "train_2", "curve_2"} <= kept and "restored_0" not in kept
    assert {name: times[name] for name in kept} == {name: made["begun"][name] for name in kept}
    assert study.left() == []
    assert len(list(made["folder"].glob("runs/*_seed?"))) == 3


@pytest.mark.slow
def test_a_study_leaves_paper_page_zip_weights_and_numbers_with_their_origin(made):
    folder = made["folder"]
    with zipfile.ZipFile(folder / "paper.zip") as file:
        names, text = file.namelist(), file.read("paper.tex").decode() + file.read("numbers.tex").decode()
        numbers = json.loads(file.read("numbers.json"))
        told = [file.read(name).decode() for name in names if name.endswith(".json")]
    assert {"paper.tex", "numbers.tex", "numbers.json", "degradation.py", "figures/curve_fid.pdf"} <= set(names)
    assert not [one for one in (text, *told) if str(made["root"]) in one or str(ROOT) in one]
    used = set(re.findall(r"\\val\{([\w.]+)\}", text.partition("% Generated")[0])) - {"key"}  # of the first comment
    assert len(used) > 50 and used <= numbers.keys()
    assert all(entry["origin"]["degradation"] == "curtain" and entry["origin"]["code"] for entry in numbers.values())
    used = set(re.findall(r"\\usepackage(?:\[[^]]*\])?\{([^}]+)\}", text))
    standard = "fontenc inputenc lmodern geometry microtype amsmath,amssymb graphicx booktabs caption hyperref"
    assert used <= set(standard.split())
    page = (folder / "paper.html").read_text()
    assert page.count("<img ") == text.count("\\pictures{")
    assert (
        "http" not in page.replace("http://www.w3.org", "") and "\\val" not in page and "no number in it means" in page
    )
    assert "line_by_line (100 % of it)" in page and "line\\_by\\_line (100~\\% of it)" in text
    assert all(numbers[key]["text"] in page for key in ("own.curtain.curve.best.fid", "own.curtain.plan.n"))
    (weights,) = (folder / "weights/seed0").glob("*.pth")
    assert weights.name == "custom_digits_1_curtain_study.pth"


@pytest.mark.slow
def test_its_weights_draw(made, study):
    (weights,) = (made["folder"] / "weights/seed0").glob("*.pth")
    model = load_model(weights)
    assert model.sample(model.labels(2), steps=2).shape == (2, 1, 28, 28)


@pytest.mark.slow
def test_a_study_stands_in_the_tables_of_the_report(made, tmp_path):
    """By `python workflow/own.py`, which a line of workflow/studies/full.yaml calls; again, it stands there once."""
    (tmp_path / "Plots").mkdir()
    results.record({"own.curtain.old": (1, "d"), "ddpm.n": (2, "d")}, {"script": "x"}, tmp_path / "Plots")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert run(own.main, [str(made["folder"])]) == run(own.main, [str(made["folder"])]) == 0
    numbers = results.read_numbers(tmp_path / "Plots")
    assert "ddpm.n" in numbers and "own.curtain.old" not in numbers
    report = (ROOT / "Report/report.tex").read_text()
    used = set(re.findall(r"\\val\{own\.#1\.([\w.]+)\}", report))
    used |= {f"{key}{end}" for key in re.findall(r"\\ownspread\{#1\}\{([\w.]+)\}", report) for end in ("", "_spread")}
    assert len(used) > 10 and {f"own.curtain.{key}" for key in used} <= numbers.keys()
    write_tex(tmp_path / "numbers.tex", tmp_path / "Plots")
    assert r"\newcommand{\eachown}[1]{#1{curtain}{curtain}}" in (tmp_path / "numbers.tex").read_text()
    assert r"\eachown{\ownline}" in report and r"\whenown{" in report
    with pytest.raises(ThawError, match="holds no paper; make it by `thaw study`"):
        own.add_own([tmp_path], tmp_path / "Plots")


def test_a_line_of_the_whole_study_makes_the_paper_of_a_degradation(monkeypatch):
    monkeypatch.chdir(ROOT)
    for name in ("full", "smoke"):
        whole = read_study(f"workflow/studies/{name}.yaml")
        assert whole.own
        for one in whole.own:
            words = shlex.split(whole.make_own(one))
            function, given, _ = build_app("study").parse_args(words, exit_on_error=False, print_error=False)
            assert function.__name__ == "study" and Path(given.args[0]).is_file()
            assert Path(whole.source_of_own(one)[0]).is_file()


@pytest.mark.slow
@NEEDS_LATEX
def test_the_zip_compiles_elsewhere(made, tmp_path):
    with zipfile.ZipFile(made["folder"] / "paper.zip") as file:
        file.extractall(tmp_path / "elsewhere")
    assert compile_latex(tmp_path / "elsewhere/paper.tex").stat().st_size > 50_000
    assert (made["folder"] / "paper.pdf").stat().st_size > 50_000


@pytest.mark.slow
def test_where_there_is_no_latex_the_page_holds_it_all_and_a_sentence_says_so(study, monkeypatch, capsys):
    monkeypatch.setattr(paper, "has_latex", lambda: False)
    files = study.run()
    assert [path.name for path in files] == ["paper.html", "paper.zip"]
    assert "for the PDF: apt install latexmk" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("warm", "cold", "said"),
    [
        ([5.0, 5.1, 4.9], [9.0, 9.1, 8.9], "Noise helps"),
        ([9.0, 9.1, 8.9], [5.0, 5.1, 4.9], "Noise does harm"),
        ([5.0, 9.0, 7.0], [6.0, 9.1, 8.9], "Whether noise helps"),
    ],
)
def test_sentences_say_what_the_spread_bears(warm, cold, said, study):
    found = copy.deepcopy(stages.results(study.plan))
    for seed in range(sizing.SEEDS):
        for point, scores in found[f"curve_{seed}"].items():
            scores["fid"][0] = warm[seed] if point in ("tau_1_00", "tau_2_00") else cold[seed]
    text = paper.fill(Findings(study.plan, found, 1.0))
    told = ("Noise helps", "Noise does harm", "Whether noise helps")
    assert [one for one in told if one in text] == [said]
    assert ("are not told apart" in text) or said != "Whether noise helps"


@pytest.mark.slow
def test_it_stands_among_the_eleven_where_all_of_them_were_scored_alike(study, monkeypatch):
    names = [name for name in TITLES if name not in ("hot", "latent")]
    row = {"epochs": 2, "tau": 1.0, "recall": 0.5, "coverage": 0.5, "accuracy": 0.9}
    rows = [row | {"degradation": name, "seed": k, "fid": 5.0 + k / 9} for name in names for k in range(3)]
    cache = {"rows": rows, "seeds": [0, 1, 2], "n": study.plan.size.n}
    monkeypatch.setattr(findings, "equal_budget", lambda plan: cache)
    found = copy.deepcopy(stages.results(study.plan))
    for seed in range(sizing.SEEDS):
        found[f"curve_{seed}"]["tau_1_00"]["fid"][0] = 1.0 + seed / 9
    told = Findings(study.plan, found, 1.0)
    text = paper.fill(told)
    assert told.values["equal.place"] == (1, "d") and told.values["equal.worse"] == (11, "d")
    assert text.count("{:equal}") == 1 and "| **curtain** |" in text
    assert "is in place" not in text and "to the disadvantage of this study" in text  # it was not trained as long
    assert told.values["equal.times"] == (2.0, ".2g")
    for less in (rows[:-1], [one for one in rows if one["degradation"] != "mask"]):
        cache["rows"] = less
        assert Findings(study.plan, found, 1.0).facts["equal"] is None


@pytest.mark.slow
def test_the_notebook_shows_what_was_found(made, tmp_path, monkeypatch):
    """Executed on a study that is done, it only opens it."""
    folder = tmp_path / "copy"
    shutil.copytree(made["folder"], folder, symlinks=True)
    monkeypatch.chdir(ROOT)
    settings = {"degradation": made["root"] / "mine.py", "data": "digits", "out": folder, "cores": 1, "smoke": "true"}
    words = [part for key, value in settings.items() for part in ("-p", f"{key}={value}")]
    assert main(["notebook", "07_your_degradation", "--out", str(tmp_path / "x.ipynb"), *words]) == 0
    page = (tmp_path / "x.html").read_text()
    assert page.count("data:image/png") >= 7 and "still to do: nothing" in page


def test_pairs_have_a_study_of_what_they_allow(pairs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["study", str(pairs), "--smoke", "--cores", "1", "--out", "made"]) == 0
    done = make_plan(pairs, out="made", smoke=True, workers=1)
    assert Study(done).left() == [] and not {"budget", "curve_0", "untrained"} & stages.all_stages(done).keys()
    page = (tmp_path / "made/paper.html").read_text()
    assert "of which no function is known that degraded them" in page and "12 test images are restored" in page
    assert (
        not re.search("fr.chet|among the eleven|prior|inferred|hold on|plain", page.lower())
        and page.count("<img ") == 3
    )
    numbers = results.read_numbers(tmp_path / "made/paper")
    assert {f"own.{done.name}.restored.{how}.psnr_spread" for how in ("direct", "warm")} <= numbers.keys()
    assert list((tmp_path / "made/weights/seed0").glob("custom_*.pth"))


def test_pairs_need_no_classes(pairs, tmp_path, monkeypatch):
    for part in ("clean", "degraded"):
        (tmp_path / "scans" / part).mkdir(parents=True)
        for path in (pairs / part).rglob("*.*"):
            shutil.copy(path, tmp_path / "scans" / part)
    monkeypatch.chdir(tmp_path)
    assert main(["study", "scans", "--smoke", "--cores", "1"]) == 0
    page = (tmp_path / "contents/studies/scans/paper.html").read_text()
    assert "by their class" not in page and "was not measured: its pictures have no classes." in page


def test_a_folder_that_is_no_pairs_is_no_study_and_pairs_are_all_the_images(pairs, folders, capsys):
    said = fails(capsys, "study", str(folders[3]), "--smoke")
    assert "has no clean/ and degraded/; a study is of a .py file, or of such a folder" in said
    said = fails(capsys, "study", str(pairs), "--data", "digits", "--smoke")
    assert "is a folder of pairs, which are all the images of their study; leave out data" in said


def test_of_fewer_images_a_study_has_more_epochs():
    config, seconds = make_config(plan.SETTINGS | {"degradation": "row", "soften": 4}), (0.22, 0.001, 0.002)
    few, whole = (sizing.fitting(config, images, 240, 2, seconds).epochs for images in (6_000, 60_000))
    assert few >= 10 * whole
    assert sizing.fitting(config, 10, 240, 2, seconds).epochs == sizing.PASSES * sizing.SIZES[-1].epochs


def test_the_text_becomes_latex_and_a_page_alike():
    text = (
        "# A *title*\n\n> note_1 50 %\n\nAbstract with \\val{own.x.n} & $x_0$ [@ho].\n\n## One\n\n"
        "See Figure [#pic].\n\n"
        '![](figures/a.png "column")\n![Caption $n=\\val{own.x.n}$. {:pic}](figures/b.png "column")\n\n'
        "Table: Told. {:tab}\n\n| a | b |\n|---|--:|\n| **c** | \\val{own.x.n} |\n\n- item\n"
    )
    numbers = {"own.x.n": "1,000"}
    latex, page = writing.Latex(numbers).write(text), writing.Html(numbers).write(text)
    assert r"note\_1 50~\%" in latex and r"\val{own.x.n} \& $x_0$ \cite{ho}" in latex and "1,000" not in latex
    assert r"\caption{Caption $n=\val{own.x.n}$.}\label{pic}" in latex and r"\textbf{c} & \val{own.x.n} \\" in latex
    assert '<a href="#pic">1</a>' in page and "Abstract with 1,000 &amp;" in page and "<li>item</li>" in page
    assert page.count("<img ") == 2 and "Figure 1: Caption" in page and "Table 1: Told." in page


def test_images_of_a_folder_are_read_at_a_size_and_in_colours_that_suit_them(folders):
    assert plan._data_settings(str(folders[3])) == {
        "data": "folder", "data_path": str(folders[3]), "data_size": 28, "data_channels": 1,
    }  # fmt: skip
    assert plan._data_settings(str(folders[2]))["data_channels"] == 3
    assert plan._data_settings("fashion")["data"] in (data.resolve("fashion"), "fashion")


def test_what_is_not_done_has_no_paper(mine):
    with pytest.raises(ThawError, match="has no train_0, picture, .* yet; run the study again, it goes on"):
        paper.write_paper(make_plan(mine, data="digits", smoke=True, say=lambda _: None))


def test_a_study_restores_as_the_command_line_does_where_it_is_to_hold_on(warm_rows):
    """As hot as the weights know, with class and picture held on to; plain ones show what that is worth."""
    warm_rows.process.tau, warm_rows.sampling = (0.0, 2.0), warm_rows.sampling.replace(tau=0.5, steps=3)
    taus = {"direct": 0.0, "algorithm1": 0.0, "algorithm2": 0.0, "warm": 2.0}
    assert tuple(taus) == restoring.RESTORERS[:-1]
    for name, tau in taus.items():
        steps = {} if name == "direct" else {"steps": 3}
        held = {"sampler": name, "tau": tau, "infer": True, "consistent": True} | steps
        assert restoring.restored_by(warm_rows, name) == held
    assert restoring.restored_by(warm_rows, restoring.PLAIN) == {"sampler": "warm", "tau": 0.5, "steps": 3}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("warm", "plain", "said"),
    [([0.9, 0.91, 0.92], [0.5, 0.51, 0.52], "To hold on helps"), ([0.5, 0.51, 0.52], [0.9, 0.91, 0.92], "does harm"),
     ([0.5, 0.9, 0.7], [0.6, 0.8, 0.7], "By the class, the two are not told apart")],
)  # fmt: skip
def test_the_paper_says_how_it_restores_and_what_that_is_worth(warm, plain, said, study):
    found = copy.deepcopy(stages.results(study.plan))
    for seed in range(sizing.SEEDS):
        for how, values in (("warm", warm), (restoring.PLAIN, plain)):
            found[f"restored_{seed}"][how]["agreement"][0] = values[seed]
    told = Findings(study.plan, found, 1.0)
    text = paper.fill(told)
    assert (told.values["restored.tau"], told.values["restored.plain_tau"]) == ((2.0, "g"), (1.0, "g"))
    assert said in text and "All but plain ones hold on to what is left" in text and "| warm, plain |" in text


def test_a_stage_comes_after_what_it_needs():
    """In one process they are run in their order; of a folder the feature network comes first."""
    settings = plan.SETTINGS | {"degradation": "row", "start_from": "hot.pth", "data": "mnist"}
    told = {"source": "", "code": "", "about": "", "images": {"images": 9}, "classes": 2, "folder": "x", "minutes": 1.0}
    told |= {"size": sizing.SIZES[0], "scaled": True, "seconds": (1.0, 1.0, 1.0), "workers": 1}
    folder = {"data": "folder", "data_path": "pictures"}
    for more in ({}, folder):
        names: list[str] = []
        for stage in stages.all_stages(plan.Plan(name="row", settings=settings | more, **told)).values():
            assert set(stage.needs) <= set(names), stage.name
            names.append(stage.name)
        assert "untrained" in names and ("judge" in names) == bool(more)
