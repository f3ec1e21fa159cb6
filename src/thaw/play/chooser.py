"""Choosing a model (process, data set, set, epoch) and how to draw from it: only what suits it is offered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ipywidgets as widgets

from thaw.base.errors import ThawError
from thaw.base.files import by_git
from thaw.model import Model
from thaw.play.shipped import NAMES, Weights, catalogue, open_again
from thaw.play.widgets import ROW, WIDE, hint, sentence
from thaw.process import Process
from thaw.sampling import SAMPLERS
from thaw.store.weights import pretrained

ALL = -1  # of the digits; a dropdown whose value is None shows nothing


def panel_view(
    build: Callable[[], Any], folder: str | Path | None, suits: Callable[[Weights], bool] = lambda _: True
) -> widgets.Widget:  # fmt: skip
    """Return the view of a panel, or the reason why there is none, as a sentence.

    Args:
        build: makes the panel.
        folder: of the weights.
        suits: which weights it needs at least one of.
    """
    try:
        if any(suits(weights) for weights in catalogue(folder)):
            return build().view
    except Exception as error:  # a damaged manifest, say
        return widgets.HTML(sentence(error))
    folder = pretrained(folder)
    return widgets.HTML(sentence(ThawError(f"no weights in {folder}/: restore them with {by_git(folder)}")))


class Offer(NamedTuple):
    """What suits a model; see `offer`."""

    samplers: tuple[str, ...]
    tau: tuple[float, float]
    steps: int
    digits: tuple[int, ...]
    reasons: tuple[str, ...]


def samplers(process: Process) -> tuple[str, ...]:
    """Return the samplers that suit at least one temperature of a process."""
    return tuple(name for name, row in SAMPLERS.items() if row.temperatures_within(*process.tau))


def offer(model: Model) -> Offer:
    """Return what can be chosen for a model, and why the rest cannot."""
    process, reasons = model.process, []
    low, high = process.tau
    if low == high:
        how = "hot" if low == 1 else "cold" if low == 0 else "trained at one temperature"
        reasons.append(f"These weights are always {how}: the temperature is fixed at {low:g}.")
    if low > 0:
        reasons.append("Algorithms 1 and 2 are cold: not for these weights.")
    if high == 0:
        reasons.append("DDPM and DDIM need noise: not for these weights.")
    if not model.conditional:
        reasons.append("These weights are not told the digit: no choice of it, no guidance.")
    digits = tuple(range(model.classes)) if model.conditional else ()
    return Offer(samplers(process), (low, high), min(100, process.steps), digits, tuple(reasons))


class ModelChooser:
    """Process, data set, set and epoch of released weights.

    Args:
        folder: of the weights.
        suits: which weights are offered.
        label: what is chosen at first.
        name: of the first control.
    """

    def __init__(
        self, folder: str | Path | None, suits: Callable[[Weights], bool] = lambda _: True, label: str = "default",
        name: str = "process",
    ) -> None:  # fmt: skip
        self.folder, self.entries = folder, [one for one in catalogue(folder) if suits(one)]
        first = next((one for one in self.entries if one.label == label), self.entries[0])
        self.process = widgets.Dropdown(description=name, style=WIDE, layout=ROW)
        self.data = widgets.Dropdown(description="data set", style=WIDE, layout=ROW)
        self.set = widgets.Dropdown(description="set", style=WIDE, layout=ROW)
        self.epoch = widgets.SelectionSlider(options=first.epochs, description="epochs", style=WIDE, layout=ROW)
        self.controls = [self.process, self.data, self.set, self.epoch]
        self._changed: list[Callable[[], None]] = []
        self._quiet = True
        names = list(dict.fromkeys(one.process for one in self.entries))
        self.process.options = [(NAMES.get(one, one), one) for one in names]
        self.process.value = first.process
        self._fill(first)
        self.process.observe(lambda _: self._fill(), "value")
        self.data.observe(lambda _: self._fill(), "value")
        self.set.observe(lambda _: self._fill(), "value")
        self.epoch.observe(lambda _: self._tell(), "value")
        self._quiet = False

    def _fill(self, first: Weights | None = None) -> None:
        """Offer what exists of the chosen process, keeping the rest of the choice where it exists too."""
        if self._quiet and first is None:
            return
        self._quiet = True
        here = [one for one in self.entries if one.process == self.process.value]
        self._choose(self.data, [one.data for one in here], first and first.data)
        here = [one for one in here if one.data == self.data.value]
        self._choose(self.set, [one.set for one in here], first and first.set)
        epochs, before = self.weights.epochs, self.epoch.value
        self.epoch.options = epochs
        self.epoch.value = before if before in epochs and first is None else epochs[-1]
        self.epoch.disabled = len(epochs) == 1
        self._quiet = False
        self._tell()

    @staticmethod
    def _choose(control: widgets.Dropdown, names: list[str], wanted: str | None) -> None:
        names, before = list(dict.fromkeys(names)), control.value
        control.options = names
        control.value = wanted if wanted in names else before if before in names else names[0]
        control.disabled = len(names) == 1

    @property
    def weights(self) -> Weights:
        """The entry that is chosen."""
        chosen = (self.process.value, self.data.value, self.set.value)
        return next(one for one in self.entries if one[:3] == chosen)

    @property
    def title(self) -> str:
        """What is chosen, for a caption."""
        return f"{self.weights.label}, epoch {self.epoch.value}"

    def observe(self, react: Callable[[], None]) -> None:
        """Call a function whenever another model is chosen."""
        self._changed.append(react)

    def _tell(self) -> None:
        if not self._quiet:
            for react in self._changed:
                react()

    def open(self) -> Model:
        """Load what is chosen; a `ThawError` if that cannot be."""
        return open_again(self.weights.label, self.epoch.value, self.weights.data, self.folder)


class Settings:
    """Digit, steps, sampler, temperature, guidance, eta and seed; `fit` makes them suit a model."""

    def __init__(self) -> None:
        self.digit = widgets.Dropdown(options=[("all", ALL)], description="digit", style=WIDE, layout=ROW)
        self.steps = widgets.IntSlider(10, 1, 100, description="steps", style=WIDE, layout=ROW)
        self.sampler = widgets.Dropdown(options=["warm"], description="sampler", style=WIDE, layout=ROW)
        self.tau = widgets.FloatSlider(1, min=0, max=1, step=0.05, description="temperature", style=WIDE, layout=ROW)
        ends = '<div style="display:flex;justify-content:space-between;margin:-10px 68px 0 88px;opacity:0.65;'
        ends += 'font-size:85%"><span>cold</span><span>hot</span></div>'
        self.ends = widgets.HTML(ends, layout=ROW)
        self.guidance = widgets.FloatSlider(1, min=0, max=4, step=0.25, description="guidance", style=WIDE, layout=ROW)
        self.eta = widgets.FloatSlider(0, min=0, max=1, step=0.1, description="eta", style=WIDE, layout=ROW)
        self.seed = widgets.BoundedIntText(0, min=0, max=10**9, description="seed", style=WIDE, layout=ROW)
        self.hint = widgets.HTML(layout={"margin": "0 2px"})
        self.controls = [self.digit, self.steps, self.sampler, self.tau, self.ends, self.guidance, self.eta, self.seed]
        self.controls.append(self.hint)
        self.model: Model | None = None
        self.sampler.observe(lambda _: self._suit(), "value")
        self.tau.observe(lambda _: self._suit(), "value")
        self._busy = False

    def fit(self, model: Model) -> None:
        """Offer only what a model can do, and start from its own settings; another epoch of it keeps those chosen."""
        if self.model is not None and self.model.config == model.config:
            self.model = model
            return
        found, config, self._busy = offer(model), model.config, True
        self.model, before = model, self.digit.value
        self.digit.options = [("all", ALL), *((str(digit), digit) for digit in found.digits)]
        self.digit.value = before if before in found.digits else ALL
        self.digit.disabled = self.guidance.disabled = not found.digits
        self.guidance.value = config.guidance if found.digits else 1.0
        self.steps.max = found.steps
        self.steps.value = min(config.sample_steps or found.steps, found.steps)
        self.sampler.options = [(SAMPLERS[name].title, name) for name in found.samplers]
        self.sampler.value = config.sampler if config.sampler in found.samplers else found.samplers[0]
        self._range(*SAMPLERS[self.sampler.value].temperatures_within(*model.process.tau))
        self.tau.value, self.eta.value = config.sample_tau, config.eta
        self._busy = False
        self._suit()

    def _range(self, low: float, high: float) -> None:
        """Let the temperature move from low to high; a slider needs a range, so a fixed one is only disabled."""
        fixed = low == high
        self.tau.min, self.tau.max = (0.0, 1.0) if fixed else (low, high)
        self.tau.disabled = fixed
        if fixed:
            self.tau.value = low

    def _suit(self) -> None:
        """Disable what has no meaning for the chosen sampler and temperature, and say why."""
        if self._busy or self.model is None:
            return
        self._busy = True
        row, reasons = SAMPLERS[self.sampler.value], list(offer(self.model).reasons)
        self._range(*row.temperatures_within(*self.model.process.tau))
        self.steps.disabled = not row.many
        self.eta.disabled = row.eta is not None or self.tau.value == 0
        if row.temperatures == "cold" and self.model.process.tau[1] > 0:
            reasons.append(f"{row.title.split(' (')[0]} is cold: temperature 0.")
        elif not row.many:
            reasons.append("One step, straight to the end: no number of steps.")
        if row.temperatures == "noisy":
            reasons.append(f"{row.title} has its own eta, {row.eta:g}.")
        elif self.eta.disabled:
            why = "at temperature 0 warm sampling is Algorithm 2" if row.eta is None else "only warm sampling has it"
            reasons.append(f"No eta: {why}.")
        self.hint.value = hint(*reasons)
        self._busy = False

    @property
    def only(self) -> int | None:
        """The digit that is chosen; None for all."""
        return None if self.digit.value == ALL else self.digit.value

    def values(self) -> dict[str, Any]:
        """Return the settings of `Model.trajectory` as they stand."""
        sampler, chosen = self.sampler.value, {"tau": self.tau.value, "seed": self.seed.value}
        chosen |= {"sampler": sampler, "guidance": self.guidance.value}
        if SAMPLERS[sampler].many:
            chosen["steps"] = self.steps.value
        if not self.eta.disabled:
            chosen["eta"] = self.eta.value
        return chosen
