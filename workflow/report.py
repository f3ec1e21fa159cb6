"""Figures and report of a sweep, from what its runs left.

python workflow/report.py figures|table SWEEP.yaml FOLDER
"""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sweep import Run, Sweep, read_sweep

MEASURES = {"fid": ".2f", "precision": ".3f", "recall": ".3f", "entropy": ".3f", "accuracy": ".3f"}


def read_scores(out: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return what `thaw evaluate` wrote: run -> measure -> score."""
    return {name: json.loads((out / "scores" / f"{name}.json").read_text())[0]["scores"] for name in names}


def read_training(out: Path, name: str) -> list[dict[str, Any]]:
    """Return the epochs of a run: loss, seconds, images a second."""
    lines = (out / "trained" / f"{name}.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if "loss" in record]


def label(name: str) -> str:
    """Return a name as matplotlib shows it, which takes what stands between two dollars for a formula."""
    return name.replace("$", r"\$")


def plain(text: str) -> str:
    """Return a text as Markdown shows it, letter by letter."""
    return re.sub(r"([\\`*|<>\[\]&])", r"\\\1", text)


def draw(out: Path, runs: dict[str, Run], origin: dict[str, Any]) -> None:
    """Draw the distance of every run, every run's loss, and 64 samples of each."""
    from thaw import load_model, to_uint8  # takes seconds to import, which the table need not
    from thaw.report import figures  # takes seconds to import, which the table need not

    fids = {name: found["fid"] for name, found in read_scores(out, list(runs)).items()}
    first = next(iter(fids.values()))
    values = {label(name): fid["value"] for name, fid in fids.items()}
    figure = figures.dots(values, f"Fréchet distance, n = {first['n']:,}", (first["floor"], "real images"))
    figures.save_figure(figure, out / "distance.png", origin)
    series = {}
    for name in runs:
        records = read_training(out, name)
        series[label(name)] = [r["epoch"] for r in records], [r["loss"] for r in records]
    figures.save_figure(figures.curves(series, "epoch", "training loss", beside=True), out / "loss.png", origin)
    for name, run in runs.items():
        model = load_model(run.folder)
        images = to_uint8(model.sample(model.labels(64)))
        figures.save_grid(out / "samples" / f"{name}.png", images, columns=16, origin=origin | {"run": run.folder})


def cell(values: list[float], form: str) -> str:
    """Return the mean over the seeds, and their spread; a dash for what these runs do not have."""
    if not values:
        return "-"
    spread = f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{form}}{spread}"


def line(cells: list[str]) -> str:
    """Return one line of a table."""
    return "| " + " | ".join(cells) + " |"


def measured(scores: dict[str, dict[str, Any]], members: list[str], measure: str) -> list[float]:
    """Return a measure of some runs, of those that have it."""
    return [scores[name][measure]["value"] for name in members if measure in scores[name]]


def record(
    name: str, out: Path, scores: dict[str, dict[str, Any]], groups: dict[str, list[str]], origin: dict[str, Any]
) -> None:
    """Record the means over the seeds as <name>.<configuration and variant>.<measure> in Plots/numbers.json."""
    from thaw.base.machine import machines_of
    from thaw.report import results

    first = next(iter(scores.values()))["fid"]
    values = {"n": (first["n"], ",d"), "floor": (first["floor"], ".2f")}
    for group, members in groups.items():
        for measure, form in MEASURES.items():
            found = measured(scores, members, measure)
            values |= {f"{group}.{measure}": (statistics.mean(found), form)} if found else {}
        seconds = [read_training(out, member)[-1]["seconds"] for member in members]
        values[f"{group}.minutes"] = (statistics.mean(seconds) / 60, ".1f")
    for group, members in groups.items():
        epochs = [record for member in members for record in read_training(out, member)]
        minutes = {f"{name}.{group}.minutes": values.pop(f"{group}.minutes")}
        results.record(minutes, origin | {"machine": machines_of(epochs)})
    results.record({f"{name}.{key}": value for key, value in values.items()}, origin)


def table(out: Path, sweep: Sweep, definition: str) -> None:
    """Write report.md: a row a configuration and variant, its seeds together; then figures and samples."""
    from thaw.base.machine import machines_of, tell_apart
    from thaw.base.text import number

    runs = sweep.runs()
    scores, groups = read_scores(out, list(runs)), {}
    for name in runs:
        groups.setdefault(name.rpartition("_seed")[0], []).append(name)
    first = next(iter(scores.values()))
    measures = [measure for measure in MEASURES if any(measure in found for found in scores.values())]
    head = ["configuration and variant", "seeds", *measures, "minutes", "images/s"]
    rows = [head, ["---"] * len(head)]
    epochs = {group: [epoch for name in names for epoch in read_training(out, name)] for group, names in groups.items()}
    marks, told = tell_apart({group: machines_of(found) for group, found in epochs.items()})
    for group, members in groups.items():
        cells = [cell(measured(scores, members, measure), MEASURES[measure]) for measure in measures]
        last = [read_training(out, name)[-1] for name in members]
        times = cell([r["seconds"] / 60 for r in last], ".1f"), cell([r["images_per_second"] for r in last], ".0f")
        cells += [f"{time} {marks[group]}".rstrip() for time in times]
        rows.append([plain(group), str(len(members)), *cells])
    floors = [(first.get(measure, {}).get("floor"), MEASURES[measure]) for measure in measures]
    rows.append(["real images", "", *(number(floor, form) for floor, form in floors), "", ""])
    commit = json.loads((out / "distance.png.json").read_text())["commit"]
    text = [
        f"# Sweep {plain(definition)}",
        f"{len(runs)} runs, n = {first['fid']['n']:,} images a score, commit {commit}; mean and standard deviation "
        "over the seeds. The distances rest on this project's own feature network and compare with nothing outside it."
        + f" {told}".rstrip(),
        "\n".join(map(line, rows)),
        "![distance](distance.png)",
        "![loss](loss.png)",
        *(
            f"{plain(name)}, in {plain(run.folder)}:\n\n![{plain(name)}](samples/{quote(name)}.png)"
            for name, run in runs.items()
        ),
    ]
    if sweep.numbers:
        record(sweep.numbers, out, scores, groups, {"sweep": definition, "script": "workflow/report.py"})
    (out / "report.md").write_text("\n\n".join(text) + "\n")


def main() -> None:
    """Do one of the two."""
    what, definition, folder = sys.argv[1:]
    out, sweep = Path(folder), read_sweep(definition)
    if what == "figures":
        draw(out, sweep.runs(), {"sweep": definition, "script": "workflow/report.py"})
    else:
        table(out, sweep, definition)


if __name__ == "__main__":
    main()
