"""The site: the study as pages that need no network, by Sphinx.

python docs/site/build.py      (or: make site; then open contents/site/index.html)

The pages are laid out as in the project, so that the links between them hold: the manual from the clone, the results
(notebooks, figures, numbers, weights, report) from the working directory. What Sphinx warns of, such as a link that
leads nowhere, stops the build.
"""

import shutil
import sys
from pathlib import Path

import gallery
import notebook_pages
import numbers_page
import start_page
import torch
from sphinx.cmd.build import build_main

HERE, CLONE = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
WORK, SITE = Path("contents/.site"), Path("contents/site")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE")
FOLDERS = ("docs", "src", "configs", "workflow", "benchmarks", "examples")  # and what pages let one download
RESULTS = ("Plots", "Report", "pretrained")


def lay_out(pages: Path) -> None:
    """Gather everything that the site is made of in a new folder."""
    shutil.rmtree(pages, ignore_errors=True)
    (pages / "notebooks").mkdir(parents=True)
    for name in PAGES:
        shutil.copy(CLONE / name, pages / name)
    for folder in [*(CLONE / name for name in FOLDERS), *map(Path, RESULTS)]:
        shutil.copytree(folder, pages / folder.name, ignore=shutil.ignore_patterns("*.pth", "__pycache__", "site"))
    for name in ("index.md", "gallery.md", "numbers.md", "api.md"):
        shutil.copy(HERE / "pages" / name, pages / name)
    animations = gallery.draw(WORK / "gallery")
    (pages / "gallery").mkdir()
    for one in animations:
        shutil.copy(one.path, pages / "gallery" / f"{one.process}.gif")
    for source in sorted(Path("notebooks").glob("*.ipynb")):
        notebook_pages.write(source, pages / "notebooks" / source.name)
    numbers_page.write(pages / "numbers.html")
    start_page.write(pages, animations)


def main() -> None:
    """Build the pages beside the old ones, then take their place."""
    for name in ("notebooks", "Report/report.pdf"):
        if not Path(name).exists():
            sys.exit(f"{Path.cwd()} has no {name}: run `make site` in the folder that you cloned, after `make report`")
    if SITE.exists() and any(SITE.iterdir()) and not (SITE / "index.html").is_file():
        sys.exit(f"{SITE} holds something else than a site; move it away, since the pages take its place")
    torch.set_num_threads(1)
    pages, new = WORK / "pages", WORK / "html"
    lay_out(pages)
    shutil.rmtree(new, ignore_errors=True)
    options = ["--quiet", "--fail-on-warning", "--fresh-env", "-c", str(HERE), "-d", str(WORK / "doctrees")]
    if code := build_main([*options, str(pages), str(new)]):
        sys.exit(code)
    (new / "Report").mkdir()
    shutil.copy("Report/report.pdf", new / "Report/report.pdf")
    shutil.rmtree(SITE, ignore_errors=True)
    new.rename(SITE)
    print(SITE / "index.html")


if __name__ == "__main__":
    main()
