"""The paper of a study: figures, numbers with their origin, LaTeX, PDF, a page without LaTeX, and a zip."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import jinja2

from thaw.base import ThawError, make_folder, remember, replacing, sha256, timed, write_json, write_text
from thaw.report import figures
from thaw.report.latex import PACKAGES, compile_latex, has_latex, write_tex
from thaw.report.results import commit, read_numbers, record
from thaw.store import epoch_of, list_checkpoints
from thaw.studies.findings import Findings
from thaw.studies.plan import Plan
from thaw.studies.sizing import SEEDS
from thaw.studies.stages import origin, point_of, results
from thaw.studies.writing import Html, Latex
from thaw.training.release import export_run

TEMPLATE = Path(__file__).with_name("paper.md")
WRITING = ("head.tex", "body.tex", "page.html", "findings.py", "writing.py", "paper.py")
SOURCES = [TEMPLATE, *map(TEMPLATE.with_name, WRITING)]
BUILT = {".aux", ".log", ".fls", ".fdb_latexmk", ".out", ".pdf"}  # by LaTeX
TINYTEX = "or TinyTeX, see docs/studies.md"


def write_paper(plan: Plan) -> list[Path]:
    """Write the paper of a plan whose stages are done, unless it was; return what a reader wants first.

    Raises:
        ThawError: if a stage is not done, or for a complaint of LaTeX; the page is written before.
    """
    found, folder = results(plan), plan.path
    missing = [name for name, value in found.items() if value is None]
    if missing:
        raise ThawError(f"{folder} has no {', '.join(missing)} yet; run the study again, it goes on")
    files = [*([folder / "paper.pdf"] if has_latex() else []), folder / "paper.html", folder / "paper.zip"]
    key = {"found": found, "template": [sha256(path) for path in SOURCES], "pdf": has_latex(), "commit": commit()}
    if not all(path.is_file() for path in files):
        (folder / "results" / "paper.json").unlink(missing_ok=True)
    remember(folder / "results", key, lambda: _write(plan, found), name="paper")
    if not has_latex():
        print(f"The paper is a page, for there is no LaTeX here; for the PDF: apt install {PACKAGES}, {TINYTEX}")
    return files


def _write(plan: Plan, found: dict[str, Any]) -> str:
    """Write paper/, paper.html, paper.pdf, paper.zip and weights/ from what the stages found."""
    folder = plan.path
    findings = Findings(plan, found, spend(plan, 0.0))
    made_by = origin(plan, seeds=list(range(SEEDS)), **timed())
    for seed in range(SEEDS):
        newest = epoch_of(list_checkpoints(plan.run(seed))[-1])
        export_run(plan.run(seed), folder / "weights" / f"seed{seed}", n=0, epochs=[newest], replace=True)
    with replacing(folder / "paper", over="folder") as paper:
        make_folder(paper / "figures")
        if not findings.facts["paired"]:
            _curves(findings, made_by, folder / "figures")
        for path in sorted((folder / "figures").iterdir()):
            shutil.copy(path, paper / "figures" / path.name)
        keyed = {f"own.{plan.slug}.{key}": value for key, value in findings.values.items()}
        record(keyed, made_by, paper)
        numbers = {key: entry["text"] for key, entry in read_numbers(paper).items()}
        text = fill(findings)
        write_tex(paper / "numbers.tex", paper)
        write_text(paper / "paper.tex", Latex(numbers).write(text))
        write_text(folder / "paper.html", Html(numbers, lambda name: _embedded(folder / "figures" / name)).write(text))
        if plan.source:
            shutil.copy(plan.source, paper / "degradation.py")
        with replacing(folder / "paper.zip") as temporary:
            Path(shutil.make_archive(str(temporary), "zip", paper)).replace(temporary)
        if has_latex():
            built = compile_latex(paper / "paper.tex")
            with replacing(folder / "paper.pdf") as temporary:
                shutil.copy(built, temporary)
            for path in [path for path in paper.iterdir() if path.suffix in BUILT or path.name == "build.txt"]:
                path.unlink()
    return plan.name


def spend(plan: Plan, seconds: float) -> float:
    """Add to the time that a study took, those before it was stopped included; return it in minutes."""
    path = plan.path / "results" / "minutes.json"
    key = json.loads(json.dumps(plan.key("epochs", "share", "n", "taus")))
    try:
        known = json.loads(path.read_text())
        before = known["minutes"] if known["key"] == key else 0.0
    except (OSError, ValueError, KeyError):
        before = 0.0
    write_json(path, {"key": key, "minutes": before + seconds / 60})
    return before + seconds / 60


def _embedded(path: Path) -> str:
    """Return a figure as the source of an image element; a curve as the SVG that lies beside its PDF."""
    path = path.with_suffix(".svg") if path.suffix == ".pdf" else path
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def fill(findings: Findings) -> str:
    """Return the text of the paper: the template with its sentences chosen and its keys in place."""
    plan, slug = findings.plan, findings.plan.slug

    def value(key: str) -> str:
        if key not in findings.values:
            raise ThawError(f"the paper's template names the number {key!r}, which this study has not")
        return rf"\val{{own.{slug}.{key}}}"

    rows = [("algorithm1", "Algorithm 1"), ("algorithm2", "Algorithm 2"), ("direct", "one direct step")]
    rows += [(point_of(tau), rf"warm, $\tau={tau:g}$") for tau in plan.size.taus if tau]
    told: dict[str, Any] = {"v": value, "has": findings.values.__contains__, "verdicts": findings.verdicts}
    told |= {"name": plan.name, "about": _plain(plan.about), "data": plan.config().data_name, "one": 1, "zero": 0}
    told |= {"workers": plan.workers, "rank": findings.values["rank"][0], "samplers": rows, "code": plan.code[:12]}
    told |= {"softened": findings.values["softened"][0] > 1, "neighbours": "nearest" in findings.values}
    told |= {"classes": plan.classes > 1, "what": "class" if plan.classes > 1 else "pixels"}
    told |= {"no_ceiling": findings.facts.get("no_ceiling")} | findings.facts
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=False, autoescape=False)
    return environment.from_string(TEMPLATE.read_text()).render(**told)


def _plain(text: str) -> str:
    """Return a stranger's words as Markdown that means nothing else."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]<>$#|~^" else c for c in text).rstrip(".")


def _curves(findings: Findings, made_by: dict[str, Any], folder: Path) -> None:
    """Draw distance and recall against temperature: each training, the mean with its spread, real images."""
    plan, curves = findings.plan, findings.of("curve")
    taus = list(plan.size.taus)
    for what, label in (("fid", "Fréchet distance"), ("recall", "recall")):
        with figures.drawing(3.4, 1.75) as (figure, axes):
            each = [[one[point_of(tau)][what][0] for tau in taus] for one in curves]
            for line in each:
                axes.plot(taus, line, color="0.6", linewidth=0.6)
            means = [findings.values[f"curve.{point_of(tau)}.{what}"][0] for tau in taus]
            spreads = [findings.values[f"curve.{point_of(tau)}.{what}_spread"][0] for tau in taus]
            axes.errorbar(taus, means, spreads, marker="o", capsize=2)
            first = [one["algorithm1"][what][0] for one in curves]
            axes.plot([0.0] * len(first), first, "s", markersize=3, markerfacecolor="none", color="#D55E00")
            floor = curves[0][point_of(taus[-1])][what][1]
            if floor is not None:
                axes.axhline(floor, linestyle="--", linewidth=0.8, color="0.4")
            axes.set(xlabel=r"temperature $\tau$", ylabel=label)
            if what == "fid":
                axes.set_yscale("log")
                figures.plain_ticks(axes.yaxis)
            for ending in ("pdf", "svg"):
                figures.save_figure(figure, folder / f"curve_{what}.{ending}", made_by if ending == "pdf" else None)
