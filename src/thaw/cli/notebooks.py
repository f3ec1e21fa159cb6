"""The verbs that run notebooks without a screen: notebook, play."""

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
