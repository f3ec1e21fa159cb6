"""Every recorded number with its origin, as tables that can be searched."""

import json
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

HEAD = "<thead><tr><th>key</th><th>value</th><th>made by</th><th>of</th></tr></thead>"


def write(target: Path, numbers: Path = Path("Plots/numbers.json")) -> None:
    """Write the tables, one for each first part of the keys."""
    entries = json.loads(numbers.read_text())
    parts = [
        '<input id="filter" type="search" placeholder="ddpm.default fid" aria-label="words that a line must have">'
    ]
    for group, keys in groupby(sorted(entries), key=lambda key: key.partition(".")[0]):
        rows = "\n".join(row(key, entries[key]) for key in keys)
        parts.append(
            f'<details open id="{escape(group)}"><summary>{escape(group)}</summary><div class="table-wrapper">'
        )
        parts.append(f'<table class="docutils numbers">{HEAD}<tbody>\n{rows}\n</tbody></table></div></details>')
    target.write_text("\n".join(parts))


def row(key: str, entry: dict[str, Any]) -> str:
    """Return the line of a number."""
    origin = dict(entry["origin"])
    made = escape(origin.pop("notebook", None) or origin.pop("benchmark", None) or origin.pop("script", ""))
    if Path("notebooks", f"{made}.ipynb").is_file():
        made = f'<a href="notebooks/{made}.html">{made}</a>'
    weights = [f"{name} {digest[:12]}" for name, digest in origin.pop("weights", {}).items()]
    facts = [f"{what} {value}" if what != "config" else str(value) for what, value in origin.items()]
    of = escape("; ".join(facts))
    if weights:
        lines = "<br>".join(map(escape, weights))
        many = f"{len(weights)} files of weights" if len(weights) > 1 else "its weights"
        of += f"<details><summary>{many}</summary>{lines}</details>"
    return f"<tr><td>{escape(key)}</td><td>{escape(str(entry['text']))}</td><td>{made}</td><td>{of}</td></tr>"
