"""A project to spoil: links to the sources, copies of what a study writes (pretrained/, Plots/, ...).

python workflow/scratch.py FOLDER
"""

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINKED = ("configs", "examples", "notebooks", "pyproject.toml", "src", "workflow")
COPIED = ("benchmarks", "Plots", "Report", "pretrained")


def make_scratch(folder: Path) -> Path:
    """Lay the project out in an empty or new folder; what is there already stays, so that a study goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in LINKED:
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    for name in COPIED:
        if not (folder / name).exists():
            shutil.copytree(ROOT / name, folder / name)
    return folder


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(make_scratch(Path(sys.argv[1])))
