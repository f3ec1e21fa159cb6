"""One typed, documented configuration; YAML files and papermill parameters are its fields by name."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from thaw import degradations
from thaw.base import MOST_THREADS, ThawError, advice, pick, read_yaml, user_path
from thaw.data import ENDINGS, folder_name
from thaw.experiment.mistakes import explained
from thaw.networks import NETWORKS, Autoencoder, options_of
from thaw.networks.blocks import ACTIVATIONS
from thaw.process import HOTTEST, LOSS_WEIGHTS, NOISE_IN, PREDICTIONS
from thaw.sampling import SAMPLERS, Sampling, check_interval
from thaw.schedules import SCHEDULES

Positive = Annotated[int, Field(ge=1)]
# Fields that say which images are read, and how.
READING = ("data", "emnist_split", "data_path", "data_size", "data_channels", "data_extensions", "data_background")


def named(table: Iterable[str] | Callable[[], Iterable[str]], what: str) -> Any:
    """Return the type of a setting that names a row of a table, or of what a function lists; rows may be added."""

    def check(name: str) -> str:
        pick(name, table() if callable(table) else table, what)
        return name

    return Annotated[str, AfterValidator(check)]


class Config(BaseModel):
    """Everything that defines one experiment.

    Unknown keys are errors. The defaults are the recipe; the files in `configs/` change what their
    set is about.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    study: Literal["ddpm", "custom", "latent", "autoencoder"] = Field(
        "ddpm", description="hot (ddpm), any other degradation (custom), a flow in a latent, or its autoencoder"
    )
    set: str = Field("default", pattern=r"^[a-z0-9_]+$", description="name of the hyperparameter set")
    data: Literal["mnist", "fashion", "emnist", "digits", "folder", "pairs"] = Field(
        "mnist", description="data set; a folder of images, or of pairs: clean/ and degraded/, with equal names"
    )
    emnist_split: Literal["balanced", "byclass", "bymerge", "letters"] = Field(
        "balanced", description="which of EMNIST's official splits, where it can be had"
    )
    limit: int | None = Field(None, ge=1, description="train on this many images only")
    data_path: str | None = Field(None, description="the folder of `data: folder` or `data: pairs`")
    data_size: int = Field(32, ge=4, description="images of a folder are cropped and resized to this square")
    data_channels: Literal[1, 3] = Field(3, description="read the images of a folder as grey (1) or colour (3)")
    data_extensions: tuple[str, ...] = Field(ENDINGS, min_length=1, description="file names that count as images")
    data_background: Literal["black", "white"] = Field(
        "black", description="what transparent images of a folder are composited over"
    )

    autoencoder: str | None = Field(
        None, description="train in the latent of this autoencoder: a run directory or a .pth file"
    )
    start_from: str | None = Field(
        None, description="begin with the weights of this model, whose network is alike: a .pth file or a run directory"
    )
    flow_map: tuple[float, float] | None = Field(
        None, description="a flow map distilled from start_from: the range of guidance weights that it is trained for"
    )

    degradation: named(degradations.names, "degradation") = Field(
        "scale", description="name of a registered degradation"
    )
    options: dict[str, Any] = Field(default_factory=dict, description="options of the degradation")
    steps: int | None = Field(None, ge=1, description="T; the degradation's own number where null")
    soften: int = Field(1, ge=1, le=32, description="interpolated steps in place of each step of the degradation")
    schedule: named(SCHEDULES, "schedule") = Field("flow", description="noise schedule sigma_t (and alpha_t)")
    prediction: named(PREDICTIONS, "prediction") = Field("x0", description="what the network's output means")
    loss_weight: named(LOSS_WEIGHTS, "loss weight") = Field("uniform", description="weight of the loss over t")
    tau: tuple[float, float] = Field((1.0, 1.0), description="range of temperatures trained on, within [0, 4]")
    noise_in: named(NOISE_IN, "noise_in") = Field(
        "everywhere", description="noise on every pixel, or only where the degradation destroys"
    )
    terminal_components: int = Field(10, ge=1, description="Gaussians a class in the terminal distribution")

    network: named(NETWORKS, "network") = Field("unet", description="network architecture")
    widths: tuple[Positive, ...] = Field(
        (24, 64),
        min_length=1,
        description="channels: per resolution (unet, autoencoder, vae), per layer (cnn), per stage (latent, mlp)",
    )
    blocks: int = Field(1, ge=1, description="residual blocks per level or stage (all but cnn)")
    patch: int = Field(2, ge=1, description="pixel-unshuffle factor before the first convolution (unet, autoencoders)")
    expansion: int = Field(2, ge=1, description="hidden channels of a block, as a multiple (latent, mlp, autoencoders)")
    latent_channels: int = Field(1, ge=1, description="channels of the latent (autoencoders)")
    latent_size: int | None = Field(
        None, ge=1, description="height and width of the latent; null for the lowest resolution (autoencoders)"
    )
    alpha: float = Field(0.2, ge=0, description="weight of the divergence beside the squared error (vae)")
    activation: named(ACTIVATIONS, "activation") = Field("silu", description="activation function")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout in the residual blocks (unet)")
    label_dropout: float = Field(0.1, ge=0, le=1, description="share of labels replaced by the null class")
    observed: float = Field(
        0.0, ge=0, le=1, description="share of images whose degraded picture is seen without noise beside x_t (unet)"
    )

    epochs: int = Field(20, ge=0, description="passes over the training set")
    minutes: float | None = Field(None, gt=0, description="end training after so long, whatever epochs says")
    batch_size: int = Field(128, ge=1, description="images a step, over all processes")
    accumulate: int = Field(1, ge=1, description="parts of a batch whose gradients are added up, to need less memory")
    optimiser: Literal["muon", "adamw"] = Field("muon", description="Muon with AdamW for the rest, or AdamW")
    lr: float = Field(8e-3, gt=0, description="peak learning rate; AdamW beside Muon takes a quarter")
    lr_decay: Literal["cosine", "none", "milestones"] = Field(
        "cosine", description="decay of the learning rate to zero, none, or by gamma at each milestone"
    )
    milestones: tuple[Positive, ...] = Field((), description="epochs after which the learning rate falls")
    gamma: float = Field(0.2, gt=0, le=1, description="factor of the learning rate at a milestone")
    warmup: float = Field(0.02, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="weight decay")
    clip: float = Field(1.0, gt=0, description="gradient norm is clipped to this")
    ema: float = Field(0.999, ge=0, lt=1, description="decay of the weights' moving average a step (0: off)")
    mixed_precision: Literal["no", "bf16", "fp16"] = Field("no", description="Accelerate's mixed precision")
    threads: int = Field(1, ge=1, le=MOST_THREADS, description="torch threads")
    seed: int = Field(0, ge=0, description="seed of everything random in the run")

    save_every: int = Field(20, ge=1, description="epochs between kept checkpoints")
    sample_every: int = Field(5, ge=0, description="epochs between sample grids (0: never)")
    evaluate_every: int = Field(5, ge=0, description="epochs between scores (0: never)")
    evaluate_n: int = Field(2000, ge=256, description="samples a score while training")
    save_minutes: float = Field(10.0, ge=0, description="minutes between checkpoints within an epoch")
    tracker: Literal["none", "tensorboard", "wandb"] = Field("none", description="where curves and samples are sent")

    sampler: named(SAMPLERS, "sampler") = Field("warm", description="default sampler")
    sample_steps: int | None = Field(28, ge=1, description="default number of sampling steps; null for all T")
    sample_tau: float = Field(1.0, ge=0, le=HOTTEST, description="default temperature of sampling")
    eta: float = Field(0.0, ge=0, le=1, description="default eta of the warm sampler")
    guidance: float = Field(1.0, ge=0, description="default weight of classifier-free guidance; 1 is off")
    guidance_interval: tuple[float, float] = Field(
        (0.0, 1.0), description="part of t/T in which guidance acts; outside, a step takes one evaluation"
    )

    def __init__(self, /, **values: Any) -> None:
        """Validate settings; a `ThawError` names the first bad one."""
        _validated(self, values, "thaw.Config")

    @model_validator(mode="before")
    @classmethod
    def _of_pairs(cls, values: Any) -> Any:
        """Let pairs be what a custom study undoes, unless it names a degradation of the clean ones."""
        told = values if isinstance(values, dict) else {}
        if (told.get("data"), told.get("study")) != ("pairs", "custom") or "degradation" in told:
            return values
        return values | {"degradation": "morph", "options": {"data": "pairs"}}

    @model_validator(mode="after")
    def _consistent(self) -> "Config":
        low, high = self.tau
        if not 0 <= low <= high <= HOTTEST:
            raise ValueError(f"tau must satisfy 0 <= low <= high <= {HOTTEST:g}, got {self.tau}")
        if not low <= self.sample_tau <= high:
            raise ValueError(f"sample_tau={self.sample_tau} lies outside the trained range {self.tau}")
        check_interval(self.guidance_interval)
        if self.of_a_folder != (self.data_path is not None):
            raise ValueError("data: folder (or pairs) and data_path belong together; set both or neither")
        if self.options.get("data") == "pairs" and self.data != "pairs":
            raise ValueError("options: {data: pairs} takes the degraded pictures of data: pairs; set that too")
        if (self.study == "autoencoder") != issubclass(NETWORKS[self.network], Autoencoder):
            kinds = [name for name, network in NETWORKS.items() if issubclass(network, Autoencoder)]
            raise ValueError(f"study: autoencoder and network: {' or '.join(kinds)} belong together")
        if (self.study == "latent") != (self.autoencoder is not None):
            raise ValueError("study: latent and autoencoder (a run directory or .pth file) belong together")
        if self.study in ("latent", "autoencoder") and self.degradation != "scale":
            raise ValueError(f"a latent is degraded by scale alone, got degradation={self.degradation!r}")
        if self.flow_map and (self.start_from is None or self.network != "unet" or self.autoencoder):
            raise ValueError("flow_map needs start_from, the teacher, and network: unet; a latent has none")
        if bool(self.milestones) != (self.lr_decay == "milestones"):
            raise ValueError("milestones and lr_decay: milestones belong together; set both or neither")
        return self

    @field_validator("widths", "milestones", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """Take one number for a list of it, as a command line writes it."""
        return (value,) if isinstance(value, int) else value

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any) -> Any:
        """Refuse true and false, which Python would take for the numbers 1 and 0."""
        if bool in map(type, value if isinstance(value, list | tuple) else [value]):
            raise ValueError("true and false are no values for it")
        return value

    @field_validator("data_path", "autoencoder", "start_from")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        """Expand `~`, which a shell leaves alone within a setting."""
        return value if value is None else str(user_path(value))

    @property
    def of_a_folder(self) -> bool:
        """Whether its images lie in a folder of anybody's."""
        return self.data in ("folder", "pairs")

    @property
    def paired(self) -> bool:
        """Whether it undoes what the degraded pictures of pairs show, and no function."""
        return self.data == "pairs" and self.options.get("data") == "pairs"

    @property
    def background(self) -> int:
        """Grey level, 0..255, that transparent images are composited over; the shipped data sets are all on black."""
        return 255 if self.of_a_folder and self.data_background == "white" else 0

    @property
    def label(self) -> str:
        """The set's name in file names: `default`, or `row_default_28`."""
        return f"{self.degradation}_{self.set}" if self.study == "custom" else self.set

    @property
    def run_name(self) -> str:
        """Name of the run directory: process, data, set, seed."""
        return f"{self.study}_{self.data_name}_{self.label}_seed{self.seed}"

    @property
    def data_name(self) -> str:
        """The data set's name in file names; for a folder of images the folder's, for EMNIST's other splits theirs."""
        if self.data == "emnist" and self.emnist_split != "balanced":
            return f"emnist{self.emnist_split}"
        return self.data if self.data_path is None else folder_name(self.data_path)

    @property
    def reading(self) -> dict[str, Any]:
        """The settings that read the images behind an experiment, as plain values: what a judge keeps of them."""
        return {name: value for name, value in self.model_dump(mode="json").items() if name in READING}

    def release_name(self, epoch: int) -> str:
        """File name of released weights, as the earlier study names them."""
        return f"{self.study}_{self.data_name}_{epoch}_{self.label}.pth"

    def network_options(self) -> dict[str, Any]:
        """Return the constructor options of the chosen network."""
        return {name: getattr(self, name) for name in options_of(self.network) if name in type(self).model_fields}

    def network_settings(self) -> dict[str, Any]:
        """Return the settings that must be equal for weights to be reused: network, options, prediction."""
        return {"network": self.network, "prediction": self.prediction, **self.network_options()}

    def check_options(self, names: Iterable[str]) -> None:
        """Raise a `ThawError` if one of the settings is an option of other networks only, and would do nothing."""
        known = options_of(self.network)
        foreign = sorted({name for network in NETWORKS for name in options_of(network)} & set(names) - set(known))
        if foreign:
            takes = ", ".join(self.network_options())
            raise ThawError(f"network {self.network} has no option {foreign[0]!r}; it takes {takes}")

    def sampling(self, total: int) -> Sampling:
        """Return how a process of `total` steps is sampled by default."""
        steps = None if self.sample_steps is None else min(self.sample_steps, total)
        return Sampling(self.sampler, self.sample_tau, self.eta, steps, self.guidance, self.guidance_interval)


def make_config(values: dict[str, Any], where: str = "the configuration") -> Config:
    """Validate a mapping into a `Config`; a `ThawError` names the first bad key and its near matches."""
    return _validated(Config.__new__(Config), values, where)


def _validated(config: Config, values: dict[str, Any], where: str) -> Config:
    """Return a new configuration with these values, as Pydantic's own constructor fills it."""
    try:
        return Config.__pydantic_validator__.validate_python(values, self_instance=config)
    except ValidationError as error:
        raise explained(error, where, Config.model_fields) from None


def override(config: Config, values: dict[str, Any]) -> Config:
    """Return `config` with some fields replaced, validated again; None is a value, for the fields that can be null."""
    return make_config({**config.model_dump(), **values}, "the overrides")


def load_config(path: str | Path, **overrides: Any) -> Config:
    """Read a YAML file into a `Config`, with overrides.

    Raises:
        ThawError: no such file (the message lists the sets that exist beside it), YAML that is not
            a mapping, an unknown key or a bad value.
    """
    path = user_path(path)
    if not path.is_file():
        folder = path.parent
        known = sorted(p.stem for p in folder.glob("*.yaml")) if folder.is_dir() else []
        hint = f"{folder} has {', '.join(known)}" if known else "the shipped ones are in configs/"
        raise ThawError(f"no configuration {path}; {advice(path, hint)}")
    values = read_yaml(path)
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ThawError(f"{path} must hold settings as `key: value` lines")
    return override(make_config(values, str(path)), overrides)
