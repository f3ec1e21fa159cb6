"""The site: every link leads somewhere, nothing is asked of the network, and what is missing is said."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest

from thaw.cli.main import main
from thaw.report import cards, site
from thaw.store.weights import read_manifest

ROOT = Path(__file__).parents[1]


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.found += [(tag, values[key]) for key in ("href", "src") if values.get(key)]
        self.names |= {values[key] for key in ("id", "name") if values.get(key)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A site of the project with one more executed notebook, by `thaw site`."""
    root = tmp_path_factory.mktemp("project")
    for name in ("notebooks", "Plots", "pretrained", "Report"):
        (root / name).symlink_to(ROOT / name)
    executed = root / "contents/00_degradations/00_degradations.ipynb"
    executed.parent.mkdir(parents=True)
    shutil.copy(ROOT / "notebooks/00_degradations.ipynb", executed)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(["site"]) == 0
    return root / "contents/site"


def links(path: Path) -> Links:
    parser = Links()
    parser.feed(path.read_text())
    return parser


def test_every_link_resolves_and_nothing_is_loaded_from_elsewhere(pages):
    for path in pages.glob("*.html"):
        page = links(path)
        for tag, target in page.found:
            if target.startswith("data:"):
                continue
            if target.startswith(("http:", "https:")):
                assert tag == "a", f"{path.name} loads {target}"
                continue
            file, _, anchor = target.partition("#")
            if "/" in file and not (pages / file).exists():
                assert (ROOT / "notebooks" / file).exists(), f"{path.name}: {target}"
                continue
            aim = pages / file if file else path
            assert aim.exists(), f"{path.name} links to {target}"
            assert not anchor or aim.suffix != ".html" or anchor in links(aim).names, f"{path.name}: {target}"


def test_the_index_reaches_every_page_and_says_what_was_not_executed(pages):
    index = (pages / "index.html").read_text()
    reached = {target for _, target in links(pages / "index.html").found}
    assert {path.name for path in pages.iterdir()} - {"index.html"} == reached
    assert {"00_degradations.html", "load_and_play.html", "weights.html", "numbers.html"} <= reached
    assert "make train CONFIG=configs/ddpm/default.yaml" in index and "01_ddpm.html" not in reached
    if (ROOT / "Report/report.pdf").is_file():
        assert "report.pdf" in reached


def test_weights_and_numbers_are_all_listed(pages):
    weights, numbers = (pages / "weights.html").read_text(), (pages / "numbers.html").read_text()
    assert all(
        name in weights and entry["sha256"] in weights for name, entry in read_manifest(ROOT / "pretrained").items()
    )
    assert "ddpm.default.final.fid" in numbers and "01_ddpm" in numbers


def test_figures_and_formulas_of_a_notebook_are_in_its_page(tmp_path):
    cells = [nbformat.v4.new_markdown_cell("# T\n\nLet $x_t = \\alpha_t x_0$ cost 5."), nbformat.v4.new_code_cell("1")]
    cells[1].outputs = [nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="})]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    page = site.notebook_html(tmp_path / "a.ipynb")
    assert "<math" in page and "$x_t" not in page and "data:image/png;base64,iVBORw0KGgo" in page
    assert "<script" not in page and "https://cdn" not in page


def test_every_page_is_dark_where_the_reader_s_system_is(pages):
    for path in pages.glob("*.html"):
        page = path.read_text()
        assert "color-scheme: light dark" in page, path.name
        assert re.search(r"@media \(prefers-color-scheme: dark\) \{.{,3000}?:root \{", page, re.S), path.name


def test_the_cards_describe_every_shipped_file():
    """Written from the manifest: `python -m thaw cards` after an export."""
    text = (ROOT / "pretrained/README.md").read_text()
    assert text == cards.cards(read_manifest(ROOT / "pretrained")), "run `python -m thaw cards`"


def test_a_card_tells_size_training_and_score():
    text = cards.cards(read_manifest(ROOT / "pretrained"))
    (row,) = re.findall(r"^\| `ddpm_mnist_30_default.pth` \|.*\d\.\d\d \(.*$", text, re.M)
    for told in ("scale", "unet 24-64", "289,516", "| 30 |", "cpu", "2,000", "%"):
        assert told in row
    (further,) = re.findall(r"^\| `custom_mnist_2_fade_finetuned.pth` \|.*\d\.\d\d \(.*$", text, re.M)
    assert "| 2, after ddpm_mnist_30_default |" in further
    for heading in ("Data", "Intended use", "Limits", "Licence"):
        assert f"**{heading}.**" in text
