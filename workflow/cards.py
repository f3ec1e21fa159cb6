"""Model cards: what each released file is, from the manifest alone, as pretrained/README.md.

python workflow/cards.py [--folder pretrained]      (or: make cards)
"""

import sys
from pathlib import Path
from typing import Any

from thaw.base.files import check_target, needed, write_text
from thaw.base.machine import tell_apart
from thaw.base.text import number
from thaw.cli import options as o
from thaw.store import PRETRAINED, read_manifest

Entry = dict[str, Any]

GENERATED = "Generated from `MANIFEST.json` by `make cards`"
HEAD = f"""# The weights

{GENERATED}; do not edit.

**What they are.** Small diffusion models of this study, their feature networks, and features of real images. Each
file holds tensors and plain values only (loaded with `weights_only=True`), the moving average of the weights in fp16,
the configuration, and the terminal distribution that sampling starts from. `thaw.load_model` checks the SHA-256 of
the manifest.

**Data.** The training split of the data set in the file's name, scaled to [-1, 1], no augmentation; `mnist` is MNIST
(60,000 images of 28 x 28), `morph` mixes it with Fashion-MNIST.

**Intended use.** To play, to teach, and to compare samplers, degradations and temperatures under one protocol. They
draw small pictures of digits, letters or clothes, and nothing else.

**Limits.** One training seed each, trained briefly; differences of a tenth in the distance mean little. The distances
rest on this project's own feature network, fall as n grows, and cannot be compared with Inception FIDs. The files of
a shorter training and those named `_cold` or `_destroyed` are there for the report's curves and controls, not because
they are good. `ddpm_mnist_30_default` is a training of its own, of thirty epochs, for what is compared after few. A
generated digit may be read as another digit than the one asked for (see accuracy).

**Licence.** MIT, as the code. MNIST: LeCun, Cortes and Burges; Fashion-MNIST: Xiao, Rasul and Vollgraf; EMNIST:
Cohen, Afshar, Tapson and van Schaik.
"""
UNITS = """Minutes are wall time of the training on the device named (`cpu`: one thread); where a training began
with the weights of another, they stand behind its epochs. `distance`: Fréchet distance of n samples to the test set,
and in brackets that of n real images, of each class as many; `accuracy`: the share whose class was recognised as the
one asked for."""


def cards(manifest: dict[str, Entry]) -> str:
    """Return the page."""
    models = {name: entry for name, entry in manifest.items() if "config" in entry}
    judges = {name: entry for name, entry in manifest.items() if name.startswith("features_")}
    real = {name: entry for name, entry in manifest.items() if name.startswith("real_")}
    trained = {name: entry.get("machine", "") for name, entry in models.items() if "train_seconds" in entry}
    marks, told = tell_apart(trained)
    models |= {name: models[name] | {"mark": mark} for name, mark in marks.items()}
    coders = {name: entry for name, entry in models.items() if entry["config"]["study"] == "autoencoder"}
    drawing = {name: entry for name, entry in models.items() if name not in coders}
    parts = [HEAD, "## Models that draw\n", f"{UNITS} {told}".rstrip() + "\n"]
    parts.append(table(["file", *FIELDS, "distance", "n", "accuracy"], [drawing_row(*one) for one in drawing.items()]))
    if coders:
        parts += [
            "## Autoencoders\n",
            table(["file", *FIELDS, "squared error"], [coder_row(*o) for o in coders.items()]),
        ]
    rows = [[f"`{name}`", e["parameters"], f"{e['accuracy']:.2%}", e.get("source", "")] for name, e in judges.items()]
    parts += ["## Feature networks\n", table(["file", "parameters", "test accuracy", "data"], rows)]
    rows = [[f"`{name}`", ", ".join(f"{n:,} {split}" for split, n in e["images"].items())] for name, e in real.items()]
    parts += ["## Features of real images\n", table(["file", "images"], rows)]
    told = {name: entry["classifiers"] for name, entry in manifest.items() if name.startswith("classes_")}
    rows = [[f"`{name}`", ", ".join(kinds)] for name, kinds in told.items()]
    parts += ["## Classifiers of what is left at T\n", table(["file", "degradations"], rows)]
    rows = [[f"`{name}`", f"`{entry['sha256']}`"] for name, entry in manifest.items()]
    return "\n".join([*parts, "## Checksums\n", table(["file", "SHA-256"], rows)])


FIELDS = ["degradation", "temperatures", "network", "parameters", "epochs", "minutes", "device", "seed"]


def fields(entry: Entry) -> list[Any]:
    """Return the cells that all models have."""
    config = entry["config"]
    tau = config.get("tau", 1.0)
    warmth = f"{tau[0]:g} to {tau[1]:g}" if isinstance(tau, list) else f"{tau:g}"
    network = f"{config['network']} {'-'.join(map(str, config['widths']))}"
    minutes = f"{entry['train_seconds'] / 60:.0f} {entry['mark']}".rstrip() if "train_seconds" in entry else ""
    before = Path(config.get("start_from") or "").stem
    epochs = f"{entry['epoch']}, after {before}" if before else entry["epoch"]
    cells = [config.get("degradation") or "", warmth, network, f"{entry['parameters']:,}", epochs, minutes]
    return [*cells, entry.get("train_device", ""), config["seed"]]


def drawing_row(name: str, entry: Entry) -> list[Any]:
    """Return the row of a model that draws."""
    if "fid" not in entry:
        return [f"`{name}`", *fields(entry), "not scored here", "", ""]
    fid, accuracy = entry["fid"], entry.get("accuracy")
    share = f"{accuracy['value']:.1%}" if accuracy else ""
    return [f"`{name}`", *fields(entry), f"{number(fid['value'])} ({number(fid['floor'])})", f"{fid['n']:,}", share]


def coder_row(name: str, entry: Entry) -> list[Any]:
    """Return the row of an autoencoder."""
    return [f"`{name}`", *fields(entry), f"{entry['mse']:.2f}" if "mse" in entry else ""]


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def write_cards(folder: str | Path = PRETRAINED) -> Path:
    """Write README.md beside a manifest, and return its path."""
    folder = check_target(folder, folder="filled")
    path = check_target(folder / "README.md", ".md", mark=GENERATED)
    write_text(path, cards(read_manifest(folder)))
    return path


def main(*, folder: o.Out = "pretrained") -> None:
    """Write the cards of the weights in a folder."""
    needed(Path(folder) / "MANIFEST.json", "export some weights first")
    print(write_cards(folder))


if __name__ == "__main__":
    sys.exit(o.run(main))
