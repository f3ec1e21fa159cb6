"""What load_and_play does, as plain functions, and the panel around them."""

import re
import time
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from thaw import figures
from thaw.checkpoint import PRETRAINED, load_model, read_manifest, release_path
from thaw.errors import ThawError
from thaw.features import load_judge
from thaw.metrics import Score, score_model
from thaw.model import Model
from thaw.pixels import to_uint8


def shipped(folder: str | Path = PRETRAINED) -> dict[tuple[str, str], list[int]]:
    """Return what can be loaded: (data set, label) -> epochs."""
    found: dict[tuple[str, str], list[int]] = {}
    for name in read_manifest(folder):
        match = re.fullmatch(r"(?:ddpm|custom|latent)_([a-z]+)_(\d+)_(\w+)\.pth", name)
        if match and (Path(folder) / name).is_file():
            found.setdefault((match[1], match[3]), []).append(int(match[2]))
    return {key: sorted(epochs) for key, epochs in sorted(found.items())}


def open_model(label: str, epoch: int | None = None, data: str = "mnist") -> Model:
    """Load released weights by name, e.g. `open_model("row_default_28")`; the newest epoch by default."""
    return load_model(release_path(label, epoch, data))


def draw(model: Model, out: str | Path, n: int = 64, digit: int | None = None, columns: int = 10, **settings: Any):
    """Draw digits, save them as `<model>_samples.png`, and return the picture; says how long it took.

    Args:
        model: see `open_model`.
        out: folder of the picture.
        n: how many.
        digit: only this class; all in turn by default.
        columns: digits a row.
        settings: as for `Model.sample`: sampler, tau, eta, steps, guidance, seed.
    """
    started = time.perf_counter()
    images = to_uint8(model.sample(model.labels(n, digit), **settings))
    seconds = time.perf_counter() - started
    path = figures.save_grid(Path(out) / f"{_name(model, settings)}_samples.png", images, columns)
    print(f"{n} digits in {seconds:.1f} s: {path}")
    return Image.open(path)


def watch(model: Model, out: str | Path, n: int = 5, **settings: Any):
    """Walk from x_T to x_0: save a strip of the states (PNG) and an animation (GIF), and return the strip."""
    states = [state.x_t for state in model.trajectory(model.labels(n), **settings)]
    stem = Path(out) / f"{_name(model, settings)}_progression"
    figures.save_gif(stem.with_suffix(".gif"), states, columns=n)
    return Image.open(figures.save_grid(stem.with_suffix(".png"), figures.strip(states), columns=10))


def score(model: Model, n: int = 500, seed: int = 0, **settings: Any) -> dict[str, Score]:
    """Score `n` fresh digits against the test set's statistics, which are shipped."""
    return score_model(model, load_judge(model.config.data_name), n, seed=seed, **settings)


def banner(path: str | Path = "Plots/readme.png", hot: str = "default", cold: str = "row_default_28") -> Path:
    """Draw the README's picture: hot, cold and warm side by side, five of each class, seed 0."""
    hot_model, cold_model = open_model(hot), open_model(cold)
    y = hot_model.labels(50)
    runs = [(hot_model, {}), (cold_model, {"sampler": "algorithm2"}), (cold_model, {"sampler": "warm", "tau": 1.0})]
    blocks = [to_uint8(model.sample(y, seed=0, **settings)) for model, settings in runs]
    C, H, W = hot_model.process.shape
    blank = torch.full((5, 1, C, H, W), 255, dtype=torch.uint8)
    rows = [part for block in blocks for part in (block.reshape(5, 10, C, H, W), blank)][:-1]
    origin = {"notebook": "load_and_play", "seed": 0, "weights": [model.info["file"] for model, _ in runs]}
    return figures.save_grid(path, torch.cat(rows, dim=1).flatten(0, 1), columns=32, origin=origin, scale=2)


def _name(model: Model, settings: dict[str, Any]) -> str:
    sampler = settings.get("sampler")
    return f"{model.config.study}_{model.config.label}" + (f"_{sampler}" if sampler else "")


def panel(out: str | Path = "contents/load_and_play"):
    """Return the panel of widgets: choose a model, an epoch, a digit and a temperature, and draw.

    What cannot be done (a temperature that the model was not trained for, missing weights) is said
    in a sentence below the button.
    """
    import ipywidgets as widgets
    from IPython.display import display

    models = shipped()
    if not models:
        return widgets.HTML(f"No weights in {PRETRAINED}/: restore them with <code>git checkout {PRETRAINED}</code>.")
    wide = {"description_width": "7em"}
    name = widgets.Dropdown(
        options=[(f"{label} ({data})", (data, label)) for data, label in models], description="model", style=wide
    )
    epoch = widgets.SelectionSlider(options=models[name.value], value=models[name.value][-1], description="epochs",
                                    style=wide)  # fmt: skip
    digit = widgets.Dropdown(options=["all"], description="digit", style=wide)
    tau = widgets.FloatSlider(value=1.0, min=0, max=1, step=0.05, description="temperature", style=wide)
    steps = widgets.IntSlider(value=28, min=1, max=28, description="steps", style=wide)
    guidance = widgets.FloatSlider(value=1.0, min=0, max=4, step=0.25, description="guidance", style=wide)
    seed = widgets.BoundedIntText(value=0, min=0, max=10**9, description="seed", style=wide)
    button = widgets.Button(description="Draw", button_style="primary", icon="pencil")
    said, picture = widgets.HTML(), widgets.Output()
    loaded: dict[tuple, Model] = {}

    def current() -> Model:
        key = (*name.value, epoch.value)
        if key not in loaded:
            loaded[key] = open_model(name.value[1], epoch.value, name.value[0])
        return loaded[key]

    def fit(_: object = None) -> None:
        """Offer only what the chosen model can do."""
        epochs = models[name.value]
        epoch.options, epoch.value = epochs, epochs[-1]
        try:
            model = current()
        except ThawError as error:
            said.value = str(error)
            return
        process = model.process
        digit.options = ["all", *map(str, range(model.classes))]
        tau.disabled = process.tau[0] == process.tau[1]
        tau.value, guidance.value = model.config.sample_tau, model.config.guidance
        steps.max = min(100, process.steps)
        steps.value = min(model.config.sample_steps or process.steps, steps.max)
        said.value = "This model is always hot: its temperature is fixed." if tau.disabled else ""

    def run(_: object) -> None:
        button.disabled, said.value = True, "Drawing ..."
        try:
            with picture:
                picture.clear_output(wait=True)
                settings = {"tau": tau.value, "steps": steps.value, "guidance": guidance.value, "seed": seed.value}
                if tau.value == 0:
                    settings["sampler"] = "algorithm2"
                display(
                    draw(current(), out, n=40, digit=None if digit.value == "all" else int(digit.value), **settings)
                )
            said.value = "At temperature 0 this is Algorithm 2 of cold diffusion." if tau.value == 0 else ""
        except ThawError as error:
            said.value = str(error)
        finally:
            button.disabled = False

    name.observe(fit, "value")
    button.on_click(run)
    fit()
    controls = widgets.VBox([name, epoch, digit, tau, steps, guidance, seed, button, said])
    controls.layout = widgets.Layout(flex="0 0 320px")
    return widgets.HBox([controls, picture])
