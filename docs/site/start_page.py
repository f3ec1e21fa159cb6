"""The start page and the gallery: the report's abstract with its numbers, and a card for each animation."""

import json
import re
import sys
from inspect import ismodule
from pathlib import Path

from gallery import Animation
from notebook_pages import drawn

import thaw

REPORT = Path("Report")


def write(pages: Path, animations: list[Animation]) -> None:
    """Fill the marks `{{...}}` of the pages, and lay their pictures beside them."""
    numbers = json.loads(Path("Plots/numbers.json").read_text())
    modules = [name for name in thaw.__all__ if ismodule(getattr(thaw, name))]
    filled = {
        "abstract": abstract((REPORT / "report.tex").read_text(), {key: one["text"] for key, one in numbers.items()}),
        "numbers": f"{len(numbers):,}",
        "modules": "\n\n".join(f"``thaw.{name}``\n\n.. automodule:: thaw.{name}" for name in modules),
        "animations": "\n".join(card(one) for one in animations),
    }
    (pages / "report.png").write_bytes(drawn(REPORT / "report.pdf"))
    for name in ("index.md", "gallery.md", "numbers.md", "api.md"):
        text = (pages / name).read_text()
        (pages / name).write_text(re.sub(r"\{\{(\w+)\}\}", lambda mark: filled[mark[1]], text))


def card(one: Animation) -> str:
    """Return the card of an animation."""
    name = one.process.replace("_", " ")
    return f"""::::{{grid-item-card}} {name}
:img-top: gallery/{one.process}.gif
:img-alt: Ten digits, destroyed and restored: {name}
{one.about}
:::{{card-footer}}
{one.steps} steps, temperature {one.tau:g}; `{one.weights}`, {one.epoch} epochs
:::
::::"""


def abstract(tex: str, numbers: dict[str, str]) -> str:
    r"""Return the abstract of a LaTeX source as Markdown, with every `\val{key}` filled in.

    Raises:
        SystemExit: for a command that is known to neither the source nor this function.
    """
    text = re.search(r"\\begin\{abstract\}(.*?)\\end\{abstract\}", tex, re.S)[1].replace("\\noindent", "")
    macros = dict(re.findall(r"^\\newcommand\{\\(\w+)\}\[1\]\{(.*?)\}(?:\s*%.*)?$", tex, re.M))
    macros |= {"emph": "*#1*", "textit": "*#1*", "textbf": "**#1**", "percent": "#1 %"}

    def expand(found: re.Match[str]) -> str:
        name, argument = found[1], found[2]
        if name == "val":
            return numbers[argument]
        if name not in macros:
            sys.exit(f"the abstract's \\{name} is unknown here; write it in plain words, or teach it to {__file__}")
        return macros[name].replace("#1", argument)

    while (expanded := re.sub(r"\\(\w+)\{([^{}]*)\}", expand, text)) != text:
        text = expanded
    text = re.sub(r"\$(\w+)=\{\}\$", r"\1 = ", text)  # the space after = is TeX's own
    text = text.replace("~", " ").replace("--", "–").strip()
    if "\\" in re.sub(r"\$[^$]*\$", "", text):
        sys.exit(f"the abstract has a command without an argument; write it in plain words: {text}")
    return re.sub(r"\s+", " ", text)
