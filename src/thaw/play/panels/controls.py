"""What panels share: a control, the chooser of a model, the settings of a sampler, buttons that save."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from thaw.model import Model
from thaw.play.panels.panel import hint, sentence
from thaw.process import Process
from thaw.sampling import SAMPLERS
from thaw.store import TITLES, Weights, cached_model, fast_of
from thaw.store.catalogue import catalogue

ALL = -1  # of the digits; a dropdown whose value is None shows nothing
ENDS = (  # of the slider above
    '<div style="display:flex;justify-content:space-between;margin:-10px 68px 0 88px;opacity:0.65;font-size:85%">'
    "<span>cold</span><span>hot</span></div>"
)


def control(kind: type[widgets.Widget], name: str = "", *values: Any, **options: Any) -> Any:
    """Return a control with its name on the left, as wide as all of them.

    Args:
        kind: of widget.
        name: what stands beside it.
        values: the first ones of the widget: value, min, max of a slider.
        options: others of the widget.
    """
    options = {"style": {"description_width": "6.5em"}, "layout": {"width": "330px"}} | options
    return kind(*values, description=name, **options)


def seed_control() -> widgets.BoundedIntText:
    """Return the control of a seed."""
    return control(widgets.BoundedIntText, "seed", 0, max=10**9)


class SaveButtons(widgets.VBox):
    """A button for each kind of file, hidden until there is something to save; below, where it was saved.

    Args:
        save: writes a file of a kind and returns what to say: its path.
        kinds: what the buttons say.
        out: the folder, for their tooltips.
    """

    def __init__(self, save: Callable[[str], object], kinds: Sequence[str], out: Path) -> None:
        self.buttons, self.saved = {}, widgets.HTML()
        for kind in kinds:
            tooltip = f"Save as {kind} in {out}"
            button = widgets.Button(description=kind, icon="download", tooltip=tooltip, layout={"width": "auto"})
            button.on_click(lambda _, kind=kind: self._save(save, kind))
            self.buttons[kind] = button
        row = widgets.HBox(list(self.buttons.values()), layout={"flex_flow": "row wrap"})
        super().__init__([row, self.saved], layout={"display": "none"})

    def _save(self, save: Callable[[str], object], kind: str) -> None:
        try:
            self.saved.value = f"Saved: <code style='word-break:break-all'>{save(kind)}</code>"
        except Exception as error:  # a full disk, say
            self.saved.value = sentence(error)

    def offer(self, *kinds: str) -> None:
        """Show the buttons: there is something new, to be saved as these kinds; without any, nothing can be saved."""
        self.layout.display, self.saved.value = None, ""
        for kind, button in self.buttons.items():
            button.disabled = kind not in kinds


class ModelChooser(widgets.VBox):
    """Process, data set, set and epoch of released weights; `weights` is the entry that is chosen.

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
        self.process, self.data, self.set = (control(widgets.Dropdown, what) for what in (name, "data set", "set"))
        self.epoch = control(widgets.SelectionSlider, "epochs", options=first.epochs)
        super().__init__([self.process, self.data, self.set, self.epoch])
        self._filling, self._reactions = False, []
        self._fill(first)
        for one in self.children:
            one.observe(lambda _: self._fill(), "value")

    def _fill(self, wanted: Weights | None = None) -> None:
        """Offer what exists of the chosen process, keeping the rest of the choice where it exists too.

        The last epoch is followed by the last of what is chosen instead, however many they are.
        """
        if self._filling:
            return
        self._filling, here = True, self.entries
        for part, dropdown in (("process", self.process), ("data", self.data), ("set", self.set)):
            names = list(dict.fromkeys(getattr(one, part) for one in here))
            chosen = getattr(wanted, part) if wanted else dropdown.value
            dropdown.options = [(TITLES.get(name, name) if part == "process" else name, name) for name in names]
            dropdown.value = chosen if chosen in names else names[0]
            dropdown.disabled = len(names) == 1
            here = [one for one in here if getattr(one, part) == dropdown.value]
        self.weights, epoch, before = here[0], self.epoch.value, self.epoch.options
        epochs = self.epoch.options = self.weights.epochs
        self.epoch.value = epoch if epoch in epochs and epoch != before[-1] and not wanted else epochs[-1]
        self.epoch.disabled = len(epochs) == 1
        self._filling = False
        for react in self._reactions:
            react()

    @property
    def title(self) -> str:
        """What is chosen, for a caption."""
        return f"{self.weights.label}, epoch {self.epoch.value}"

    def on_choice(self, react: Callable[[], None]) -> None:
        """Call a function whenever another model is chosen."""
        self._reactions.append(react)

    def load(self) -> Model:
        """Load what is chosen; a `ThawError` if that cannot be."""
        return cached_model(self.weights.label, self.epoch.value, self.weights.data, self.folder)

    def fast(self) -> Model | None:
        """Load weights of what is chosen that are quick enough to follow a hand, where there are any."""
        return fast_of(self.load(), self.folder)


def suitable_samplers(process: Process) -> list[str]:
    """Return the samplers that suit at least one temperature of a process."""
    return [name for name, row in SAMPLERS.items() if row.temperatures_within(*process.tau)]


def limits_of(model: Model) -> list[str]:
    """Return why not everything can be chosen for a model."""
    (low, high), reasons = model.process.tau, []
    if low == high:
        how = "hot" if low == 1 else "cold" if low == 0 else "trained at one temperature"
        reasons.append(f"These weights are always {how}: the temperature is fixed at {low:g}.")
    if low > 0:
        reasons.append("Algorithms 1 and 2 are cold: not for these weights.")
    if high == 0:
        reasons.append("DDPM and DDIM need noise: not for these weights.")
    if not model.conditional:
        reasons.append("These weights are not told the digit: no choice of it, no guidance.")
    return reasons


class SamplerSettings:
    """Digit, steps, sampler, temperature, guidance, eta and seed; `fit` makes them suit a model."""

    def __init__(self) -> None:
        self.digit = control(widgets.Dropdown, "digit", options=[("all", ALL)])
        self.steps = control(widgets.IntSlider, "steps", 10, 1, 100)
        self.sampler = control(widgets.Dropdown, "sampler", options=["warm"])
        self.tau = control(widgets.FloatSlider, "temperature", 1, min=0, max=1, step=0.05)
        self.guidance = control(widgets.FloatSlider, "guidance", 1, min=0, max=4, step=0.25)
        self.eta = control(widgets.FloatSlider, "eta", 0, min=0, max=1, step=0.1)
        self.seed, self.hint = seed_control(), widgets.HTML(layout={"margin": "0 2px"})
        ends = widgets.HTML(ENDS, layout={"width": "330px"})
        self.controls = [self.steps, self.sampler, self.tau, ends, self.guidance, self.eta, self.seed, self.hint]
        self.model: Model | None = None
        self._fitting = False
        for one in (self.sampler, self.tau):
            one.observe(lambda _: self._suit(), "value")

    def fit(self, model: Model) -> None:
        """Offer only what a model can do, and start from its own settings; another epoch of it keeps those chosen."""
        same = self.model is not None and self.model.config == model.config
        self.model = model
        if same:
            return
        config, digits, digit = model.config, range(model.classes if model.conditional else 0), self.digit.value
        self._fitting = True
        self.digit.options = [("all", ALL), *((str(digit), digit) for digit in digits)]
        self.digit.value = digit if digit in digits else ALL
        self.digit.disabled = self.guidance.disabled = not digits
        self.guidance.value = config.guidance if digits else 1.0
        self.steps.max = min(100, model.process.steps)
        self.steps.value = config.sample_steps or self.steps.max
        samplers = suitable_samplers(model.process)
        self.sampler.options = [(SAMPLERS[name].title, name) for name in samplers]
        self.sampler.value = config.sampler if config.sampler in samplers else samplers[0]
        self._set_range()
        low, high = model.process.flow_map or (0.0, 4.0)
        self.guidance.min, self.guidance.max = 0.0, high  # at no moment is min above max
        self.guidance.min = low
        self.tau.value, self.eta.value = config.sample_tau, config.eta
        self._fitting = False
        self._suit()

    def _set_range(self) -> None:
        """Let the temperature move as the sampler allows; a slider needs a range, so a fixed one is only disabled."""
        low, high = SAMPLERS[self.sampler.value].temperatures_within(*self.model.process.tau)
        fixed = low == high
        self.tau.disabled, self.tau.min = fixed, 0.0  # at no moment is min above max
        self.tau.max = max(1.0, high) if fixed else high
        if fixed:
            self.tau.value = low
        else:
            self.tau.min = low

    def _suit(self) -> None:
        """Disable what has no meaning for the chosen sampler and temperature, and say why."""
        if self._fitting or self.model is None:
            return
        self._fitting = True
        self._set_range()
        row, reasons = SAMPLERS[self.sampler.value], limits_of(self.model)
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
        self._fitting = False

    def on_move(self, react: Callable[..., None]) -> None:
        """Call a function whenever a slider of how to draw is moved, not where another model sets it."""
        for one in (self.tau, self.guidance, self.eta, self.steps):
            one.observe(lambda _: None if self._fitting else react(), "value")

    def fast(self, model: Model) -> dict[str, Any]:
        """Return the settings as fast weights take them: the nearest temperature and guidance that they know."""
        (coldest, hottest), (low, high) = model.process.tau, model.process.flow_map
        tau, guidance = min(max(self.tau.value, coldest), hottest), min(max(self.guidance.value, low), high)
        return {"tau": tau, "guidance": guidance, "seed": self.seed.value, "sampler": "warm", "eta": 0.0}

    @property
    def only(self) -> int | None:
        """The digit that is chosen; None for all."""
        return None if self.digit.value == ALL else self.digit.value

    def values(self) -> dict[str, Any]:
        """Return the settings of `Model.trajectory` as they stand."""
        chosen = {"tau": self.tau.value, "seed": self.seed.value, "sampler": self.sampler.value}
        chosen |= {"guidance": self.guidance.value}
        chosen |= {} if self.steps.disabled else {"steps": self.steps.value}
        return chosen | ({} if self.eta.disabled else {"eta": self.eta.value})


def as_text(title: str, settings: dict[str, Any]) -> str:
    """Return a model and how it was drawn from as a line of text."""
    return f"{title}; " + ", ".join(f"{name} {value}" for name, value in settings.items())
