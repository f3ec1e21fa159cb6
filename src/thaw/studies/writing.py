r"""From the text of a paper (Markdown with `\val{key}`, `$math$`, `[@citation]`, `[#label]`) to LaTeX and to HTML.

A figure is a paragraph of pictures, whose last caption is that of all; its title says how wide it is: "column" or
"wide". A table follows its caption, a paragraph that begins with `Table:` or `Wide table:`. `{:label}` ends a caption.
"""

import html
import re
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mistune

from thaw.report.latex import escape

NUMBER, MARK, LABEL = r"\\val\{([\w.]+)\}", r"\[([@#])(\w+)\]", r"\s*\{:(\w+)\}\s*$"
CAPTION = re.compile(r"^(Wide table|Table): ")
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


class Writer:
    """What both formats share: the order of the blocks, captions, and the numbers of figures, tables, citations.

    Args:
        numbers: key -> text.
    """

    FORMS: Mapping[str, str]  # kind of a block, or of a piece of a line -> what stands about it

    def __init__(self, numbers: Mapping[str, str]) -> None:
        self.numbers = numbers
        self.places: dict[str, int] = {}  # label -> number of its figure or table
        self.cited: list[str] = []
        self.counts = {"figure": 0, "table": 0}

    def write(self, text: str) -> str:
        """Return the document of a text."""
        parts, caption = [], []
        for block in mistune.create_markdown(renderer=None, plugins=["table", "math"])(text):
            kind, children = block["type"], block.get("children", [])
            pictures = [child for child in children if child["type"] == "image"]
            if kind == "paragraph" and CAPTION.match(children[0].get("raw", "")):
                caption = children
            elif pictures:
                names = [one["attrs"]["url"].rpartition("/")[2] for one in pictures]
                wide = pictures[0]["attrs"].get("title") == "wide"
                parts.append(self.figure(names, wide, *self.captioned("figure", pictures[-1]["children"])))
            elif kind == "table":
                wide = caption[0]["raw"].startswith("Wide")
                head, body = children[0]["children"], [row["children"] for row in children[1]["children"]]
                align = ["r" if cell["attrs"]["align"] == "right" else "l" for cell in head]
                cells = [[self.inline(cell["children"]) for cell in row] for row in (head, *body)]
                parts.append(self.table(cells, align, wide, *self.captioned("table", caption)))
            elif kind == "list":
                items = [self.inline(item["children"][0]["children"]) for item in children]
                parts.append(self.FORMS["list"] % "".join(self.FORMS["item"] % item for item in items))
            elif kind != "blank_line":
                title = kind == "heading" and block["attrs"]["level"] == 1
                told = self.inline(children[0]["children"] if kind == "block_quote" else children)
                parts.append(self.FORMS["title" if title else kind] % told)
        return self.document(parts)

    def captioned(self, kind: str, children: list[dict[str, Any]]) -> tuple[str, str]:
        """Return the caption of the next figure or table, and its label."""
        first, *_ = children = [dict(child) for child in children]
        first["raw"] = CAPTION.sub("", first["raw"]) if "raw" in first else None
        found = re.search(LABEL, children[-1]["raw"])
        children[-1]["raw"] = re.sub(LABEL, "", children[-1]["raw"])
        self.counts[kind] += 1
        if found:
            self.places[found[1]] = self.counts[kind]
        return self.inline(children), found[1] if found else ""

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

    def inline(self, children: list[dict[str, Any]]) -> str:
        """Return a line of text."""
        return "".join(map(self.span, children))

    def span(self, child: dict[str, Any]) -> str:
        """Return a piece of a line."""
        kind = child["type"]
        if kind == "inline_math":
            return self.formula(child["raw"])
        if kind in ("softbreak", "linebreak"):
            return "\n"
        if kind == "text":
            return self.marked(child["raw"], self.plain)
        inside = self.marked(child["raw"], self.escape) if kind == "codespan" else self.inline(child["children"])
        return self.FORMS[kind] % inside


class Latex(Writer):
    """The paper as LaTeX: numbers stay macros."""

    FORMS = {
        "emphasis": r"\emph{%s}", "strong": r"\textbf{%s}", "codespan": r"\texttt{%s}", "paragraph": "%s",
        "title": r"\newcommand{\papertitle}{%s}", "heading": r"\section{%s}",
        "block_quote": r"\newcommand{\papernote}{%s}", "item": "\\item %s\n",
        "list": "\\begin{itemize}\\setlength{\\itemsep}{1pt}\\setlength{\\parskip}{0pt}\n%s\\end{itemize}",
    }  # fmt: skip
    escape = staticmethod(escape)

    def plain(self, text: str) -> str:
        """Return plain text, with its dashes, spaces and letters."""
        text = re.sub("(Algorithm|Figure|Table) ", r"\1~", escape(text))
        return text.replace(r" \%", r"~\%")

    def formula(self, raw: str) -> str:
        return f"${raw}$"

    def number(self, key: str) -> str:
        return rf"\val{{{key}}}"

    def mark(self, kind: str, name: str) -> str:
        if kind == "@":
            self.cite(name)
            return rf"\cite{{{name}}}"
        return rf"\ref{{{name}}}"

    def figure(self, names: list[str], wide: bool, caption: str, label: str) -> str:
        share = f"{0.99 / len(names):.3f}\\textwidth" if wide else r"\columnwidth"
        shown = [rf"\pictures{{{share}}}{{{name}}}" for name in names]
        return self._float("figure", wide, (r"\hfill" if wide else "\\\\[3pt]\n").join(shown), caption, label)

    def table(self, cells: list[list[str]], align: list[str], wide: bool, caption: str, label: str) -> str:
        head, *lines = [" & ".join(row) + r" \\" for row in cells]
        inner = [rf"\begin{{tabular}}{{@{{}}{''.join(align)}@{{}}}}", r"\toprule", head, r"\midrule", *lines]
        return self._float("table", wide, "\n".join([*inner, r"\bottomrule", r"\end{tabular}"]), caption, label)

    def _float(self, kind: str, wide: bool, body: str, caption: str, label: str) -> str:
        told = rf"\caption{{{caption}}}" + (rf"\label{{{label}}}" if label else "")
        parts, kind = [body, told] if kind == "figure" else [told, r"\small", body], kind + "*" * wide
        return "\n".join([rf"\begin{{{kind}}}[t]", r"\centering", *parts, rf"\end{{{kind}}}"])

    def document(self, parts: list[str]) -> str:
        title, note, abstract, *rest = parts
        items = "\n".join(rf"\bibitem{{{key}}} {self.plain(REFERENCES[key])}" for key in self.cited)
        head, body = (Path(__file__).with_name(name).read_text() for name in ("head.tex", "body.tex"))
        return head + body % (title, note, abstract, "\n\n".join(rest), len(self.cited), items)


class Html(Writer):
    """The paper as one page without anything from elsewhere: numbers as text, pictures inside.

    Args:
        numbers: key -> text.
        read: name of a figure -> what an image element shows.
    """

    FORMS = {
        "emphasis": "<em>%s</em>", "strong": "<strong>%s</strong>", "codespan": "<code>%s</code>",
        "title": "<h1>%s</h1>", "heading": "<h2>%s</h2>", "paragraph": "<p>%s</p>",
        "block_quote": '<p class="note">%s</p>', "item": "<li>%s</li>", "list": "<ul>%s</ul>",
    }  # fmt: skip
    plain = escape = staticmethod(html.escape)

    def __init__(self, numbers: Mapping[str, str], read: Callable[[str], str] = lambda name: f"figures/{name}") -> None:
        super().__init__(numbers)
        self.read = read

    def formula(self, raw: str) -> str:
        from latex2mathml.converter import convert

        return convert(re.sub(NUMBER, lambda found: self.numbers[found[1]], raw))

    def number(self, key: str) -> str:
        return html.escape(self.numbers[key])

    def mark(self, kind: str, name: str) -> str:
        return f"[{self.cite(name)}]" if kind == "@" else f'<a href="#{name}">#</a>'  # its number is known at the end

    def figure(self, names: list[str], wide: bool, caption: str, label: str) -> str:
        shown = "".join(f'<img src="{self.read(name)}" alt="{html.escape(name)}">' for name in names)
        told = f"<figcaption>Figure {self.counts['figure']}: {caption}</figcaption>"
        return f'<figure class="{"wide" if wide else "column"}" id="{label}">{shown}{told}</figure>'

    def table(self, cells: list[list[str]], align: list[str], wide: bool, caption: str, label: str) -> str:
        def row(cells: list[str], tag: str) -> str:
            inside = "".join(f'<{tag} class="{a}">{cell}</{tag}>' for a, cell in zip(align, cells, strict=True))
            return f"<tr>{inside}</tr>"

        lines = "".join(row(line, "td") for line in cells[1:])
        inside = f"<thead>{row(cells[0], 'th')}</thead><tbody>{lines}</tbody>"
        told = f'<p class="told" id="{label}">Table {self.counts["table"]}: {caption}</p>'
        return f'{told}<div class="table"><table>{inside}</table></div>'

    def document(self, parts: list[str]) -> str:
        items = "".join(f"<li>{html.escape(REFERENCES[key])}</li>" for key in self.cited)
        body = "\n".join([*parts, f"<h2>References</h2><ol>{items}</ol>"])
        body = re.sub(r'(<a href="#(\w+)">)#', lambda found: f"{found[1]}{self.places[found[2]]}", body)
        page = string.Template(Path(__file__).with_name("page.html").read_text())
        return page.substitute(title=re.sub("<[^>]+>", "", parts[0]), body=body)
