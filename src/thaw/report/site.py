"""The site: executed notebooks, report, weights and numbers as plain pages that need no network."""

import html
import re
import shutil
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from thaw.base.files import check_target, make_folder, replacing, write_text
from thaw.base.text import number
from thaw.report.notebooks import as_html
from thaw.report.results import PLOTS, read_numbers
from thaw.store.weights import PRETRAINED, read_manifest

SITE = Path("contents/site")
DARK = "@media (prefers-color-scheme: dark)"
STYLE = f"""
:root {{ color-scheme: light dark; --text: #222; --page: #fff; --shade: #f4f4f4; --link: #0050a0; --missing: #8a3b00; }}
{DARK} {{ :root {{ --text: #ddd; --page: #161616; --shade: #262626; --link: #80b6ff; --missing: #f0a060; }} }}
body {{ font: 16px/1.5 Georgia, serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }}
body {{ color: var(--text); background: var(--page); }} body:has(table) {{ max-width: 78rem; }}
h1, h2 {{ line-height: 1.2; }} a {{ color: var(--link); }} .missing {{ color: var(--missing); }}
code {{ font-size: 0.9em; background: var(--shade); padding: 0 0.2em; }}
img {{ max-width: 100%; image-rendering: pixelated; }} .wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.8rem; }} td, th {{ padding: 0.2rem 0.5rem; text-align: left; }}
th {{ border-bottom: 1px solid #888; }} tr:nth-child(even) td {{ background: var(--shade); }}
td {{ vertical-align: top; overflow-wrap: anywhere; }} td:nth-child(odd) {{ white-space: nowrap; }}
td:last-child {{ font: 0.7rem/1.8 monospace; }} th {{ position: sticky; top: 0; background: var(--page); }}
@media (min-width: 75rem) {{ .wide {{ overflow: visible; }} }}
"""
# How a notebook is executed, where that is not `thaw notebook NAME`.
COMMANDS = {
    "01_ddpm": "make train CONFIG=configs/ddpm/default.yaml",
    "02_custom_degradation": "make train CONFIG=configs/custom/row_default_28.yaml",
    "03_latent_flow": "make train CONFIG=configs/latent/mnist.yaml",
    "load_and_play": "make play",
}


def build_site(out: str | Path = SITE, root: str | Path = ".") -> Path:
    """Write the pages into a folder, and return index.html.

    Args:
        out: the folder.
        root: the project's; read are its notebooks, `contents/` (executed copies), Plots, Report and manifest.
    """
    root, sources = Path(root), sorted((Path(root) / "notebooks").glob("*.ipynb"))
    pages = ["index.html", "numbers.html", "report.pdf", "readme.png", *(f"{source.stem}.html" for source in sources)]
    out = check_target(out, folder="filled")
    weights = check_target(out / "weights.html", ".html", mark="<title>Weights</title><style>")  # written first
    out = make_folder(check_target(out, folder="filled", also=[out / name for name in pages], sign=weights))
    manifest, numbers = read_manifest(root / PRETRAINED), read_numbers(root / PLOTS)
    write_text(weights, _page("Weights", _weights(manifest)))
    body = ["<h1>How cold can diffusion be?</h1>", "<p>Notebooks, report, weights and numbers of the Thaw study.</p>"]
    if (root / PLOTS / "readme.png").is_file():
        _copy(root / PLOTS / "readme.png", out / "readme.png")
        body.append('<p><img src="readme.png" alt="Digits drawn by hot, cold and warm diffusion, side by side"></p>')
    body.append("<h2>Report</h2>")
    report = root / "Report/report.pdf"
    if report.is_file():
        _copy(report, out / "report.pdf")
        body.append('<p><a href="report.pdf">report.pdf</a></p>')
    else:
        body.append(_missing("not built yet", "make report"))
    body += ["<h2>Notebooks</h2>", "<ul>"]
    executed = {source.stem: copy for source in sources if (copy := find_executed(source.stem, root))}
    for source in sources:
        body.append(f"<li>{_notebook(source, executed, out)}</li>")
    body += ["</ul>", "<h2>Weights and numbers</h2>", "<ul>"]
    write_text(out / "numbers.html", _page("Numbers", _numbers(numbers)))
    body.append(f'<li><a href="weights.html">{len(manifest)} files of weights</a>, from pretrained/MANIFEST.json</li>')
    body.append(
        f'<li><a href="numbers.html">{len(numbers)} numbers</a> with their origins, from Plots/numbers.json</li>'
    )
    index = out / "index.html"
    write_text(index, _page("How cold can diffusion be?", "\n".join([*body, "</ul>"]), home=False))
    return index


def find_executed(name: str, root: Path) -> Path | None:
    """Return the newest executed copy of a notebook under `contents/`, or the source if it keeps its outputs."""
    found = [
        path for path in (root / "contents").glob(f"**/{name}.ipynb") if "smoke" not in str(path.relative_to(root))
    ]
    found += [root / "notebooks" / f"{name}.ipynb"] if name == "load_and_play" else []
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _notebook(source: Path, executed: dict[str, Path], out: Path) -> str:
    """Write the page of a notebook where it was executed, and return its line of the list."""
    import nbformat

    name, title = source.stem, _title(nbformat.read(source, 4))
    if name not in executed:
        return f"{html.escape(title)}: {_missing('not executed here', COMMANDS.get(name, _plain(name)), 'span')}"
    # A notebook that has no page is in the index's list, with the command that makes it.
    page = re.sub(
        r'href="(\w+)\.ipynb"',
        lambda link: f'href="{link[1] if link[1] in executed else "index"}.html"',
        notebook_html(executed[name]),
    )
    write_text(out / f"{name}.html", page)
    when = datetime.fromtimestamp(executed[name].stat().st_mtime, UTC)
    return f'<a href="{name}.html">{html.escape(title)}</a> (executed {when:%Y-%m-%d}, {_size(out / f"{name}.html")})'


def notebook_html(path: Path) -> str:
    """Return an executed notebook as one page that asks for nothing: figures inside, formulas as MathML, no scripts.

    It is dark where the reader's system is.
    """
    body = re.sub(r"<script\b.*?</script>", "", as_html(path), flags=re.S)
    body = body.replace(
        "</head>", f"<style>:root {{ color-scheme: light dark; }} {DARK} {{ {_dark()} }}</style></head>", 1
    )
    body = re.sub(r'<link\b[^>]*href="https?:[^>]*>', "", body)
    home = '<p class="jp-RenderedHTMLCommon" style="margin: 1em 2em"><a href="index.html">All pages</a></p>'
    body = re.sub(r"(<body\b[^>]*>)", lambda tag: tag[1] + home, body, count=1)
    text = r'(<div class="jp-RenderedHTMLCommon jp-RenderedMarkdown.*?</div>)'
    return re.sub(text, lambda part: _formulas(part[1]), body, flags=re.S)


@cache
def _dark() -> str:
    """Return the colours of nbconvert's dark theme."""
    from nbconvert import HTMLExporter

    templates = HTMLExporter().environment
    return templates.loader.get_source(templates, "static/theme-dark.css")[0]


def _formulas(text: str) -> str:
    """Turn $...$ and $$...$$ into MathML, which browsers draw themselves."""
    from latex2mathml.converter import convert

    def mathml(found: re.Match[str]) -> str:
        display = "block" if found[1] is not None else "inline"
        try:
            return convert(html.unescape(found[1] or found[2]), display=display)
        except Exception:  # whatever it cannot read stays as it is written
            return found[0]

    return re.sub(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", mathml, text, flags=re.S)


def _weights(manifest: dict[str, dict[str, Any]]) -> str:
    rows = []
    for name, entry in manifest.items():
        fid = entry.get("fid")
        score = f"{number(fid['value'])} ({number(fid['floor'])}, n = {fid['n']:,})" if fid else ""
        cells = [name, entry.get("epoch", ""), f"{entry['parameters']:,}" if "parameters" in entry else "", score]
        rows.append([*cells, entry["sha256"]])
    note = (
        "<p>The distance of generated digits; in brackets, of as many real ones. Model cards: pretrained/README.md.</p>"
    )
    return note + _table(["file", "epochs", "parameters", "Fréchet distance", "SHA-256"], rows)


def _numbers(numbers: dict[str, dict[str, Any]]) -> str:
    rows = []
    for key, entry in numbers.items():
        origin = entry["origin"]
        made = origin.get("notebook") or origin.get("benchmark") or origin.get("script", "")
        weights = _files([f"{name} {digest[:12]}" for name, digest in origin.get("weights", {}).items()])
        rows.append(
            [key, entry["text"], made, origin.get("config", ""), origin.get("seed", ""), weights, origin["commit"]]
        )
    return _table(["key", "value", "made by", "configuration", "seed", "weights", "commit"], rows)


class _Html(str):
    """Text of a cell that is HTML already."""


def _files(names: list[str]) -> _Html:
    """Return one name a line; of several only how many, until the reader opens them."""
    lines = "<br>".join(html.escape(name) for name in names)
    return _Html(lines if len(names) < 2 else f"<details><summary>{len(names)} files</summary>{lines}</details>")


def _table(head: list[str], rows: list[list[Any]]) -> str:
    def line(cells: list[Any], tag: str) -> str:
        texts = (cell if isinstance(cell, _Html) else html.escape(str(cell)) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"

    body = "\n".join([line(head, "th"), *(line(row, "td") for row in rows)])
    return f'<div class="wide"><table>\n{body}\n</table></div>'


def _page(title: str, body: str, home: bool = True) -> str:
    back = f'<p><a href="index.html">All pages</a></p><h1>{html.escape(title)}</h1>' if home else ""
    head = f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    top = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{head}</head><body>'
    return f"{top}\n{back}{body}\n</body></html>\n"


def _title(notebook: Any) -> str:
    """Return the first heading of a notebook."""
    first = notebook.cells[0].source if notebook.cells else ""
    return first.partition("\n")[0].lstrip("# ") or "notebook"


def _missing(what: str, command: str, tag: str = "p") -> str:
    return f'<{tag} class="missing">{what}: <code>{html.escape(command)}</code></{tag}>'


def _plain(name: str) -> str:
    return f".venv/bin/python -m thaw notebook {name}"


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def _copy(source: Path, target: Path) -> None:
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
