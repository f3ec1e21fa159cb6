"""The site: every link leads somewhere, nothing is asked of the network, and each part of the study has its page."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import cards
import nbformat
import pytest
from cases import ROOT
from PIL import Image

import thaw
from thaw import degradations, play
from thaw.store import read_manifest

SITE = ROOT / "docs/site"


class Page(HTMLParser):
    """Collects what a page refers to, and the places that can be referred to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.names: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.found += [(tag, values[key]) for key in ("href", "src", "poster", "data") if values.get(key)]
        self.found += [(tag, one.split()[0]) for one in (values.get("srcset") or "").split(",") if one.strip()]
        self.names |= {values[key] for key in ("id", "name") if values.get(key)}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The site of the project with one more executed notebook, as `make site` builds it."""
    root = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "Plots", "pretrained", "Report", "pyproject.toml"):
        (root / name).symlink_to(ROOT / name)
    copy = nbformat.read(ROOT / "notebooks/00_degradations.ipynb", 4)
    copy.cells[1].outputs = [nbformat.v4.new_output("stream", text="said by the executed copy")]
    executed = root / "contents/00_degradations/00_degradations.ipynb"
    executed.parent.mkdir(parents=True)
    nbformat.write(copy, executed)
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(SITE / "build.py")]
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "contents/site"


@pytest.fixture(scope="module")
def pages(built) -> dict[Path, Page]:
    return {path: Page(path) for path in built.rglob("*.html")}


@pytest.fixture
def site_modules(monkeypatch):
    """The modules of docs/site/ can be imported."""
    monkeypatch.syspath_prepend(str(SITE))


@pytest.mark.slow
def test_every_link_resolves_and_nothing_is_loaded_from_elsewhere(built, pages):
    for path, page in pages.items():
        for tag, target in page.found:
            if target.startswith(("data:", "mailto:")):
                continue
            if target.startswith(("http:", "https:", "//")):
                assert tag == "a", f"{path.name} loads {target}"
                continue
            file, _, anchor = unquote(target.partition("?")[0]).partition("#")
            aim = (path.parent / file).resolve() if file else path
            assert aim.is_file(), f"{path.name} links to {target}"
            assert not anchor or aim.suffix != ".html" or anchor in pages[aim].names, f"{path.name}: {target}"
    for path in [*built.rglob("*.css"), *built.rglob("*.html")]:
        assert not re.search(r"(url\(|@import)[\s\"']*(https?:)?//", path.read_text()), path


@pytest.mark.slow
def test_the_start_page_has_the_abstract_with_its_numbers_and_leads_to_every_page(built, pages):
    start = (built / "index.html").read_text()
    text = re.sub(r"<[^>]*>", "", start)
    numbers = json.loads((ROOT / "Plots/numbers.json").read_text())
    assert f"lowest, {numbers['custom.row_default_28.best_fid']['text']}, at" in text and "eleven degradations" in text
    reached = {target.partition("#")[0] for _, target in pages[built / "index.html"].found}
    manual = {f"docs/{path.stem}.html" for path in (ROOT / "docs").glob("*.md")}
    notebooks = {f"notebooks/{path.stem}.html" for path in (ROOT / "notebooks").glob("*.ipynb")}
    others = {"README", "CONTRIBUTING", "CHANGELOG", "gallery", "numbers", "api", "pretrained/README"}
    assert manual | notebooks | {f"{name}.html" for name in others} <= reached
    assert "Report/report.pdf" in reached


@pytest.mark.slow
def test_the_gallery_destroys_and_restores_by_every_degradation(built):
    shown = {path.stem: path for path in (built / "_images").glob("*.gif")}
    assert {name if name != "hot" else "scale" for name in shown} >= set(degradations.names())
    first = play.example(0, folder=ROOT / "pretrained")[0]
    for name, path in shown.items():
        with Image.open(path) as animation:
            assert animation.n_frames > 25, name
            halfway = animation.n_frames // 2
            corner = [animation.seek(frame) or animation.convert("L").crop((1, 1, 29, 29)) for frame in (0, halfway)]
        clean = thaw.to_uint8(first)[0, 0]
        assert corner[0].tobytes() == bytes(clean.flatten().tolist()) != corner[1].tobytes(), name
    told = (built / "gallery.html").read_text()
    assert "of rows (or columns)" in told and "steps in place of each" not in told  # its own words, softened or not


@pytest.mark.slow
def test_every_notebook_is_executed_or_shows_the_figures_that_it_drew(built):
    assert "said by the executed copy" in (built / "notebooks/00_degradations.html").read_text()
    for source in (ROOT / "notebooks").glob("0[1-5]*.ipynb"):  # what 06 and 07 draw is of one's own runs
        page = (built / f"notebooks/{source.stem}.html").read_text()
        if nbformat.read(source, 4).metadata.get("keep_output"):  # by `make release`
            assert "Executed; its figures" in page and page.count('<img alt="../_images/') > 5
            continue
        origins = {path: json.loads(path.read_text()) for path in (ROOT / "Plots").glob("*.*.json")}
        figures = [path.stem for path, origin in origins.items() if origin.get("notebook") == source.stem]
        assert len(figures) > 5 and all(f">{figure}" in page for figure in figures)
        assert page.count('<img alt="../_images/') >= len(figures) and "Further figures" not in page


def test_a_figure_stands_below_the_cell_that_names_it(site_modules, tmp_path):
    import notebook_pages

    for name in ("a_loss.png", "b_loss.png", "sweep_row.png", "sweep_why.png", "other.png"):
        Image.new("L", (4, 4)).save(tmp_path / name)
        config = {"a": {"config": "configs/a/x.yaml"}, "b": {"config": "configs/b/x.yaml"}}.get(name[0], {})
        origin = config | {"notebook": "n", "commit": "c0ffee"}
        (tmp_path / f"{name}.json").write_text(json.dumps(origin))
    code = [
        'one.show_grid("loss", x, 3)',
        'two.show_grid("loss", x, 3)',
        'f"{plots}/sweep_{name}.png"',
        'f"{plots}/sweep_why.png"',
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in code])
    notebook_pages.add_figures(notebook, "n", tmp_path)
    told = [str(cell.get("outputs", "")) for cell in notebook.cells]
    for place, name in enumerate(("a_loss", "b_loss", "sweep_row", "sweep_why", "", "other")):
        assert name in told[place] and told[place].count("image/png") == bool(name)
    for cells, note in ((notebook.cells[:1], "Executed;"), ([nbformat.v4.new_code_cell("1")], "by hand or by")):
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "m.ipynb")
        notebook_pages.write(tmp_path / "m.ipynb", tmp_path / "page.ipynb")
        assert note in nbformat.read(tmp_path / "page.ipynb", 4).cells[1].source


def test_an_abstract_with_an_unknown_command_is_refused(site_modules):
    import start_page

    tex = "\\newcommand{\\row}[1]{\\val{rows.#1}}\n\\begin{abstract}%s\\end{abstract}"
    assert start_page.abstract(tex % "at~\\row{fid}, $\\tau=0$", {"rows.fid": "0.61"}) == "at 0.61, $\\tau=0$"
    for wrong in ("\\cite{x}", "\\LaTeX"):
        with pytest.raises(SystemExit, match="plain words"):
            start_page.abstract(tex % wrong, {})


@pytest.mark.slow
def test_weights_numbers_and_public_names_are_all_listed(built, pages):
    weights, numbers = (built / "pretrained/README.html").read_text(), (built / "numbers.html").read_text()
    assert all(name in weights for name in read_manifest(ROOT / "pretrained"))
    assert all(f"<td>{key}</td>" in numbers for key in json.loads((ROOT / "Plots/numbers.json").read_text()))
    assert 'href="notebooks/01_ddpm.html"' in numbers
    shown = {name.removeprefix("module-") for name in pages[built / "api.html"].names}
    assert {f"thaw.{name}" for name in thaw.__all__} <= shown


@pytest.mark.slow
def test_every_page_is_dark_where_the_reader_s_system_is_and_fits_a_phone(built, pages):
    for path in pages:
        page = path.read_text()
        assert "prefers-color-scheme: dark" in page and "width=device-width" in page, path.name


def test_the_cards_describe_every_shipped_file():
    """Written from the manifest: `make cards` after an export."""
    text = (ROOT / "pretrained/README.md").read_text()
    assert text == cards.cards(read_manifest(ROOT / "pretrained")), "run `make cards`"


def test_a_card_tells_size_training_and_score():
    text = cards.cards(read_manifest(ROOT / "pretrained"))
    (row,) = re.findall(r"^\| `ddpm_mnist_100_default.pth` \|.*\d\.\d\d \(.*$", text, re.M)
    for told in ("scale", "unet 24-64", "289,516", "| 100 |", "cpu", "2,000", "%"):
        assert told in row
    (further,) = re.findall(r"^\| `custom_mnist_10_fade_default.pth` \|.*\d\.\d\d \(.*$", text, re.M)
    assert "| 10, after ddpm_mnist_100_default |" in further
    for heading in ("Data", "Intended use", "Limits", "Licence"):
        assert f"**{heading}.**" in text
