"""The verbs that run what takes its time without a screen, notebooks and studies: notebook, play, study."""

import time
from pathlib import Path

from thaw.base import check_target, settings_of
from thaw.cli import options as o


def notebook(notebook: o.Notebook, /, *, parameter: o.Parameters = (), out: o.Executed = None) -> None:
    """Run any notebook headlessly."""
    from thaw.report.notebooks import run_notebook

    name = Path(notebook).stem
    output = Path("contents") / name / f"{name}.ipynb" if out is None else out
    print(run_notebook(f"notebooks/{name}.ipynb", output, settings_of(parameter)))


def play(*, out: o.Out = "contents/load_and_play", set: o.Settings = ()) -> None:
    """Run load_and_play headlessly, and say where everything is."""
    from thaw.report.notebooks import run_notebook

    started = time.perf_counter()
    folder = check_target(out, folder="filled")
    executed = folder / "load_and_play.ipynb"
    run_notebook("notebooks/load_and_play.ipynb", executed, {"out": str(folder)} | settings_of(set))
    print(f"\nDone in {time.perf_counter() - started:.0f} s. In {folder.resolve()}:")
    for path in sorted(folder.iterdir()):
        print(f"  {path.name}")
    print("Open load_and_play.html in a browser, or play with the notebook itself: make lab")


def study(
    degradation: o.Own, /, *, minutes: o.StudyMinutes = 25.0, data: o.DataOrFolder = "mnist", out: o.StudyFolder = None,
    set: o.Settings = (), cores: o.Cores = None, smoke: o.Smoke = False,
) -> None:  # fmt: skip
    """Make a paper of a degradation: its laws, what it loses, three trainings, their scores; it goes on where it was.

    Of a folder of pairs, clean/ and degraded/, which no function made: restorations of held-out pairs and their scores.

    Everything goes to contents/studies/<name>/: paper.pdf (with LaTeX), paper.html, a zip with the source, figures and
    numbers, the weights, and the executed notebook. Epochs and samples are scaled to the minutes.
    """
    from thaw.studies import Study, make_plan

    plan = make_plan(degradation, minutes, data, out, cores, smoke, **settings_of(set))
    files = Study(plan, lambda line: print(line, flush=True)).run()
    notebook = Path("notebooks/07_your_degradation.ipynb")  # in the clone; it shows what pairs have not
    if notebook.is_file() and not plan.config().paired:
        from thaw.report.notebooks import run_notebook

        settings = {"degradation": degradation, "minutes": minutes, "data": data, "out": str(plan.path), "smoke": smoke}
        settings |= {"cores": plan.workers, "overrides": settings_of(set)}
        files.append(run_notebook(notebook, plan.path / notebook.name, settings))
    print("\n".join(map(str, files)))
