r"""From the text of a paper (Markdown with `\val{key}`, `$math$`, `[@citation]`, `[#label]`) to LaTeX and to HTML.

A figure is a paragraph of pictures, whose last caption is that of all; its title says how wide it is: "column" or
"wide". A table follows its caption, a paragraph that begins with `Table:` or `Wide table:`. `{:label}` ends a caption.
"""

import html
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mistune

from thaw.report.latex import escape

NUMBER, MARK, LABEL = r"\\val\{([\w.]+)\}", r"\[([@#])(\w+)\]", r"\s*\{:(\w+)\}\s*$"
CAPTION = re.compile(r"(Wide table|Table): ")
REFERENCES = {
    "bansal": "A. Bansal et al. Cold Diffusion: Inverting Arbitrary Image Transforms Without Noise. arXiv:2208.09392.",
    "daras": "G. Daras et al. Soft Diffusion: Score Matching for General Corruptions. arXiv:2209.05442.",
    "heusel": "M. Heusel et al. GANs Trained by a Two Time-Scale Update Rule Converge to a Nash Equilibrium. 2017.",
    "ho": "J. Ho and T. Salimans. Classifier-Free Diffusion Guidance. arXiv:2207.12598.",
    "hsueh": "H.-C. Hsueh et al. Warm Diffusion: Recipe for Blur-Noise Mixture Diffusion Models. ICLR 2025.",
    "kynk": "T. Kynkäänniemi et al. Improved Precision and Recall Metric for Generative Models. NeurIPS 2019.",
    "naeem": "M. F. Naeem et al. Reliable Fidelity and Diversity Metrics for Generative Models. ICML 2020.",
    "thaw": "The Thaw authors. Thaw: How cold can diffusion be? Software and report.",
}


def parse(text: str) -> list[dict[str, Any]]:
    """Return the blocks of a text."""
    blocks = mistune.create_markdown(renderer=None, plugins=["table", "math"])(text)
    return [block for block in blocks if block["type"] != "blank_line"]


class Writer:
    """What both formats share: the order of the blocks, captions, and the numbers of figures, tables, citations."""

    AROUND: Mapping[str, tuple[str, str]]  # kind of a piece of a line -> what stands before and after it

    def __init__(self, numbers: Mapping[str, str]) -> None:
        self.numbers = numbers
        self.places: dict[str, int] = {}  # label -> number of its figure or table
        self.cited: list[str] = []
        self.counts = {"figure": 0, "table": 0}

    def write(self, text: str) -> str:
        """Return the document of a text."""
        blocks, parts, caption = parse(text), [], None
        for kind, label in _labels(blocks):
            self.counts[kind] += 1
            self.places[label] = self.counts[kind]
        self.counts = dict.fromkeys(self.counts, 0)
        for block in blocks:
            children = block.get("children", [])
            if block["type"] == "paragraph" and children[0]["type"] == "text" and CAPTION.match(children[0]["raw"]):
                caption = children
                continue
            pictures = [child for child in children if child["type"] == "image"]
            if block["type"] == "paragraph" and pictures:
                self.counts["figure"] += 1
                names = [one["attrs"]["url"].rpartition("/")[2] for one in pictures]
                told, label = self.captioned(pictures[-1]["children"])
                parts.append(self.figure(names, pictures[0]["attrs"].get("title", ""), told, label))
            elif block["type"] == "table":
                self.counts["table"] += 1
                wide = caption[0]["raw"].startswith("Wide")
                told, label = self.captioned(caption, skip=CAPTION)
                head, body = children[0]["children"], [row["children"] for row in children[1]["children"]]
                align = ["r" if cell["attrs"]["align"] == "right" else "l" for cell in head]
                cells = [[self.inline(cell["children"]) for cell in row] for row in (head, *body)]
                parts.append(self.table(cells[0], cells[1:], align, told, label, wide))
            else:
                parts.append(self.block(block))
        return self.document(parts)

    def captioned(self, children: list[dict[str, Any]], skip: re.Pattern | None = None) -> tuple[str, str]:
        """Return a caption and its label."""
        children = [dict(child) for child in children]
        found = re.search(LABEL, children[-1].get("raw", "")) if children else None
        if found:
            children[-1]["raw"] = children[-1]["raw"][: found.start()]
        if skip:
            children[0]["raw"] = skip.sub("", children[0]["raw"], count=1)
        return self.inline(children), found[1] if found else ""

    def inline(self, children: list[dict[str, Any]]) -> str:
        """Return a line of text."""
        return "".join(self.span(child) for child in children)

    def cite(self, key: str) -> int:
        """Return the number of a citation."""
        if key not in self.cited:
            self.cited.append(key)
        return self.cited.index(key) + 1

    def marked(self, raw: str, plain: Callable[[str], str]) -> str:
        """Return a text with its numbers and marks replaced, and all between by `plain`."""
        parts = re.split(f"{NUMBER}|{MARK}", raw)
        found = [plain(parts[0])]
        for key, kind, name, after in zip(*(parts[k::4] for k in (1, 2, 3, 4)), strict=True):
            found.append(self.number(key) if key else self.mark(kind, name))
            found.append(plain(after))
        return "".join(found)

    def span(self, child: dict[str, Any]) -> str:
        """Return a piece of a line."""
        kind = child["type"]
        if kind == "text":
            return self.marked(child["raw"], self.plain)
        if kind == "inline_math":
            return self.formula(child["raw"])
        if kind in ("softbreak", "linebreak"):
            return "\n"
        inside = self.marked(child["raw"], self.code) if kind == "codespan" else self.inline(child.get("children", []))
        before, after = self.AROUND.get(kind, ("", ""))
        return f"{before}{inside}{after}"

    def plain(self, text: str) -> str: ...

    def code(self, text: str) -> str: ...

    def formula(self, raw: str) -> str: ...

    def block(self, block: dict[str, Any]) -> str: ...

    def number(self, key: str) -> str: ...

    def mark(self, kind: str, name: str) -> str: ...

    def figure(self, names: list[str], width: str, caption: str, label: str) -> str: ...

    def table(
        self, head: list[str], body: list[list[str]], align: list[str], caption: str, label: str, wide: bool
    ) -> str: ...

    def document(self, parts: list[str]) -> str: ...


def _labels(blocks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return kind and label of all figures and tables, in order."""
    found, caption = [], []
    for block in blocks:
        children = block.get("children", [])
        pictures = [child for child in children if child["type"] == "image"] if block["type"] == "paragraph" else []
        if pictures:
            found.append(("figure", _label_of(pictures[-1]["children"])))
        elif block["type"] == "table":
            found.append(("table", _label_of(caption)))
        caption = children
    return found


def _label_of(children: list[dict[str, Any]]) -> str:
    told = re.search(LABEL, children[-1].get("raw", "")) if children else None
    return told[1] if told else ""


class Latex(Writer):
    """The paper as LaTeX: numbers stay macros."""

    AROUND = {"emphasis": (r"\emph{", "}"), "strong": (r"\textbf{", "}"), "codespan": (r"\texttt{", "}")}

    def plain(self, text: str) -> str:
        return _typeset(text)

    def code(self, text: str) -> str:
        return escape(text)

    def formula(self, raw: str) -> str:
        return f"${raw}$"

    def block(self, block: dict[str, Any]) -> str:
        children = block.get("children", [])
        if block["type"] == "heading":
            title = self.inline(children)
            if block["attrs"]["level"] == 1:
                return rf"\newcommand{{\papertitle}}{{{title}}}"
            return rf"\section{{{title}}}"
        if block["type"] == "block_quote":
            return rf"\newcommand{{\papernote}}{{{self.inline(children[0]['children'])}}}"
        if block["type"] == "list":
            items = [rf"\item {self.inline(item['children'][0]['children'])}" for item in children]
            sparse = r"\setlength{\itemsep}{1pt}\setlength{\parskip}{0pt}"
            return "\n".join([r"\begin{itemize}" + sparse, *items, r"\end{itemize}"])
        return self.inline(children)

    def number(self, key: str) -> str:
        return rf"\val{{{key}}}"

    def mark(self, kind: str, name: str) -> str:
        if kind == "@":
            self.cite(name)
            return rf"\cite{{{name}}}"
        return rf"\ref{{{name}}}"

    def figure(self, names: list[str], width: str, caption: str, label: str) -> str:
        wide = width == "wide"
        share = f"{0.99 / len(names):.3f}\\textwidth" if wide else r"\columnwidth"
        shown = [rf"\pictures{{{share}}}{{{name}}}" for name in names]
        body = (r"\hfill" if wide else r"\\[3pt]" + "\n").join(shown)
        return self._float("figure" + "*" * wide, body, caption, label)

    def table(
        self, head: list[str], body: list[list[str]], align: list[str], caption: str, label: str, wide: bool
    ) -> str:
        lines = [" & ".join(row) + r" \\" for row in body]
        inner = [rf"\begin{{tabular}}{{@{{}}{''.join(align)}@{{}}}}", r"\toprule", " & ".join(head) + r" \\"]
        inner += [r"\midrule", *lines, r"\bottomrule", r"\end{tabular}"]
        return self._float("table" + "*" * wide, "\n".join(inner), caption, label, above=True)

    def _float(self, kind: str, body: str, caption: str, label: str, above: bool = False) -> str:
        told = rf"\caption{{{caption}}}" + (rf"\label{{{label}}}" if label else "")
        parts = [told, r"\small", body] if above else [body, told]
        return "\n".join([rf"\begin{{{kind}}}[t]", r"\centering", *parts, rf"\end{{{kind}}}"])

    def document(self, parts: list[str]) -> str:
        title, note, abstract, *rest = parts
        top = (
            r"\twocolumn[\centering{\LARGE\bfseries \papertitle}\par\medskip"
            r"\begin{minipage}{0.86\textwidth}\centering\small \papernote\end{minipage}\par\bigskip]"
        )
        items = [rf"\bibitem{{{key}}} {_typeset(REFERENCES[key])}" for key in self.cited]
        sparse = r"\setlength{\itemsep}{0pt}\setlength{\parskip}{0pt}\footnotesize\raggedright"
        references = "\n".join(
            [rf"\begin{{thebibliography}}{{{len(items)}}}" + sparse, *items, r"\end{thebibliography}"]
        )
        head = Path(__file__).with_name("head.tex").read_text()
        begin = "\n".join([r"\begin{document}", r"\raggedbottom", top, r"\suppressfloats[t]"])
        told = "\n".join([r"\begin{abstract}", r"\noindent", abstract, r"\end{abstract}"])
        return "\n\n".join([head + title, note, begin, told, *rest, references, r"\end{document}"]) + "\n"


def _typeset(text: str) -> str:
    """Return plain text as LaTeX, with its dashes, spaces and letters."""
    text = escape(text)
    for word in ("Algorithm", "Figure", "Table"):
        text = text.replace(f"{word} ", f"{word}~")
    return text.replace(r" \%", r"~\%")


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ max-width: 46rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 Georgia, serif; }}
h1 {{ line-height: 1.2; }} .note {{ color: #555; }} figure, .told {{ margin: 1.5rem 0 0; }}
figure img {{ max-width: 100%; image-rendering: pixelated; }} figure.wide img {{ width: 32%; margin-right: 1%; }}
figure.column img {{ display: block; width: 30rem; margin-bottom: 4px; }}
figcaption, .told {{ font-size: .88rem; text-align: left; padding: .4rem 0; }}
table {{ border-collapse: collapse; font-size: .88rem; }}
td, th {{ padding: .15rem .7rem .15rem 0; white-space: nowrap; }}
thead {{ border-top: 2px solid; border-bottom: 1px solid; }} tbody {{ border-bottom: 2px solid; }}
.r {{ text-align: right; }} .table {{ overflow-x: auto; }} ol {{ font-size: .88rem; }}
</style></head><body>
{body}
</body></html>
"""


class Html(Writer):
    """The paper as one page without anything from elsewhere: numbers as text, pictures inside.

    Args:
        numbers: key -> text.
        read: name of a figure -> what an image element shows.
    """

    AROUND = {name: (f"<{tag}>", f"</{tag}>") for name, tag in
              {"emphasis": "em", "strong": "strong", "codespan": "code"}.items()}  # fmt: skip

    def __init__(self, numbers: Mapping[str, str], read: Callable[[str], str] = lambda name: f"figures/{name}") -> None:
        super().__init__(numbers)
        self.read, self.title = read, ""

    def plain(self, text: str) -> str:
        return html.escape(text)

    code = plain

    def formula(self, raw: str) -> str:
        return _mathml(re.sub(NUMBER, lambda found: self.numbers[found[1]], raw))

    def block(self, block: dict[str, Any]) -> str:
        children = block.get("children", [])
        if block["type"] == "heading":
            inside, level = self.inline(children), block["attrs"]["level"]
            self.title = self.title or re.sub("<[^>]+>", "", inside)
            return f"<h{level}>{inside}</h{level}>"
        if block["type"] == "block_quote":
            return f'<p class="note">{self.inline(children[0]["children"])}</p>'
        if block["type"] == "list":
            return "<ul>" + "".join(f"<li>{self.inline(i['children'][0]['children'])}</li>" for i in children) + "</ul>"
        return f"<p>{self.inline(children)}</p>"

    def number(self, key: str) -> str:
        return html.escape(self.numbers[key])

    def mark(self, kind: str, name: str) -> str:
        return f"[{self.cite(name)}]" if kind == "@" else f'<a href="#{name}">{self.places[name]}</a>'

    def figure(self, names: list[str], width: str, caption: str, label: str) -> str:
        shown = "".join(f'<img src="{self.read(name)}" alt="{html.escape(name)}">' for name in names)
        told = f"Figure {self.counts['figure']}: {caption}"
        return f'<figure class="{width}" id="{label}">{shown}<figcaption>{told}</figcaption></figure>'

    def table(
        self, head: list[str], body: list[list[str]], align: list[str], caption: str, label: str, wide: bool
    ) -> str:
        def row(cells: list[str], tag: str) -> str:
            return "".join(f'<{tag} class="{a}">{cell}</{tag}>' for a, cell in zip(align, cells, strict=True))

        lines = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in body)
        told = f'<p class="told" id="{label}">Table {self.counts["table"]}: {caption}</p>'
        return (
            f'{told}<div class="table"><table><thead><tr>{row(head, "th")}</tr></thead>'
            f"<tbody>{lines}</tbody></table></div>"
        )

    def document(self, parts: list[str]) -> str:
        items = "".join(f"<li>{html.escape(REFERENCES[key])}</li>" for key in self.cited)
        return PAGE.format(title=self.title, body="\n".join([*parts, f"<h2>References</h2><ol>{items}</ol>"]))


def _mathml(formula: str) -> str:
    from latex2mathml.converter import convert

    return convert(formula)
