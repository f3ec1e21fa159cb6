"""Every option of the command line, once; and how a function becomes a command whose parameters are its options."""

import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

from cyclopts import App, CoercionError, CycloptsError, Parameter, Token
from cyclopts.help import DefaultFormatter, PanelSpec
from rich.box import Box

from thaw.base import ThawError
from thaw.base import arguments as a


def word(about: str, *names: str, kind: Any = str, **more: Any) -> Any:
    """Return the type of a parameter: text that is told by `about`, by names other than the parameter's own."""
    return Annotated[kind | None, Parameter(help=about, name=names or None, **more)]


def number(numbers: a.Range, about: str, *names: str, kind: Any = None, **more: Any) -> Any:
    """Return the type of a parameter that takes numbers of a range only: one, or a list or tuple, see `word`."""
    kind = kind or (int if numbers.whole else float)

    def convert(_: Any, tokens: Sequence[Token]) -> Any:
        found = [numbers(token.value) for token in tokens]
        return get_origin(kind)(found) if get_origin(kind) else found[0]

    return word(about, *names, kind=kind, converter=convert, **more)


def flag(about: str) -> Any:
    """Return the type of a parameter that is true where its name is given."""
    return Annotated[bool, Parameter(help=about)]


# Which model.
ModelName = word(
    "name of shipped weights (default, row_default_28, ...), a .pth file, a run or one of its checkpoints; "
    "the most recently active run by default"
)
Epoch = number(a.EPOCHS, "of the weights; the newest by default")
Run = word("run directory; the most recently active one by default")

# How it computes.
Seed = number(a.SEED, "of what is drawn at random")
Judge = number(a.SEED, "0 is the shipped network; others go to contents/features/")
Threads = number(a.THREADS, "of the processor")
Device = word("cpu, cuda, cuda:1, ...")

# Training.
Config = word("YAML file, e.g. configs/ddpm/default.yaml")
Epochs = number(a.EPOCHS, "passes over the training set", "--epochs", "--total-epochs")
RunFolder = word("run directory; contents/runs/<name> by default")
Minutes = number(a.MINUTES, "training time of each model")
Settings = Annotated[
    tuple[str, ...], Parameter(metavar="KEY=VALUE", help="in place of a setting of the file; again for the next")
]
Passes = number(a.COUNT, "passes over the training set")
Smoke = flag("tiny settings, to see that everything works")
Teacher = Annotated[str, Parameter(help="the model to distil: shipped weights by name, a .pth file or a run")]
TrainOnly = flag("no notebook, no samples, no scores")
Plots = word("folder of the notebook's figures and numbers; Plots/ by default")
AnySetting = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]

# Drawing.
Images = number(a.COUNT, "how many images", "-n")
Rows = number(a.COUNT, "how many rows", "-n")
Tau = number(a.TEMPERATURE, "temperature, 0 cold, 1 that of the schedule, to 2")
Steps = number(a.COUNT, "sampling steps")
Eta = number(a.SHARE, "fresh noise of warm sampling, 0 deterministic to 1", "--eta", "--diffusion")
Guidance = number(a.WEIGHT, "weight of classifier-free guidance, 1 is off", "--guidance", "--weight")
Interval = number(a.SHARE, "LOW HIGH: the part of t/T that guidance acts in", kind=tuple[float, float])
Digit = number(a.CLASS, "only this class")
Digits = number(a.CLASS, "two classes; 3 8 by default", kind=tuple[int, int])
Between = number(a.Range(2, 10_000), "images from one class to the other")
Height = number(a.SIDE, "rows of the grid; where there is -n, with --width instead of it")
Width = number(a.SIDE, "images a row; of samples 10 by default, 8 of one class")
Scale = number(a.SCALE, "screen pixels a pixel")
Drawn = word("a grid (.png), an animation (.gif), an array (.npz with uint8 `images`), or a new folder of PNGs")
Pictures = Annotated[str, Parameter(help="an image, a folder of images, or an .npz")]
AtMost = number(a.COUNT, "how many images at most", "-n")
Restorer = word("warm, algorithm1, algorithm2 or direct")
Degrade = flag("the images are clean: degrade them first")
Infer = flag("let the degraded picture tell its class (at T): the likeliest where cold, drawn where warm")
Consistent = flag("end at an image that the degradation turns into what was given")
Scores = flag("tell how close the restored images are to the clean ones, beside what is possible")
Originals = word("the clean images of degraded ones, in the same order: to score them")
Untrained = word(
    "restore without training: the model, a hot one, is the prior; this is the degradation: a name, a .py file that "
    "registers one, a configuration, or any, to estimate which"
)
Unknown = flag(
    "estimate the step the images stand at (with --prior any: the degradation too), and say how sure that is"
)
Step = number(a.COUNT, "the step the images stand at, 1 to T (default)", "-t")

# Scoring.
Count = number(a.COUNT, "how many")
Samples = number(a.SCORED_OR_NONE, "samples behind a score; 0 for none", "-n", "--n")
Scored = number(a.SCORED, "samples behind a score")
Fast = flag("draw by the fast weights of each model, and say so")
FromEach = number(a.COUNT, "images drawn from each model; 2000 by default", "-n", "--n")
Classified = number(a.COUNT, "how many images; all of the split by default", "-n")
Numbers = word("a .json file for the numbers with their origin")
OneOf = word("which images", kind=Literal["train", "test"])
Route = word("ode (likelihood; default in a latent) or elbo (bound; default on pixels)")
Solver = number(a.COUNT, "steps of the differential equation")
Probes = number(a.COUNT, "random directions of its divergence; exact up to 49 dimensions")
Draws = number(a.COUNT, "draws of noise behind a bound")
First = number(a.COUNT, "finest step of noise that is asked of the network")
Models = Annotated[str, Parameter(help="names of shipped weights, .pth files or run directories")]
Sets = word("instead of models: folders, .npy or .npz files", kind=list[str], consume_multiple=True)
LooksLike = word("data set that --images should look like; mnist by default")
Extractor = word("own, or inception for FID, KID and IS as others report")
Inception = word("Inception's weights; torch's cache, or a download, by default")
Data = word("data set")
Reading = word("take the data set from this file, a folder of images, say")
Real = flag("no training: ship single real features with the judge (2.6 MB)")

# Files.
Replace = flag("also what another experiment left under the same name")
Released = word("folder of released weights", "--out", "--to")
Only = number(a.EPOCHS, "only these", kind=list[int], consume_multiple=True)
Onnx = word("a file: write the network of a run, file or shipped name as ONNX instead")
Trajectories = number(a.Range(40, 1_000_000), "trajectories behind each number", "-n", "--n")
Degradation = Annotated[
    str, Parameter(help="name of a degradation, a .py file that registers one, a configuration, or a model")
]
Own = Annotated[str, Parameter(help="a .py file that registers a degradation, the name of one, or a folder of pairs")]
Studies = Annotated[str, Parameter(help="folders that `thaw study` filled")]
StudyMinutes = number(a.MINUTES, "for all of it: epochs and samples are scaled to them", kind=float)
DataOrFolder = word("data set, or a folder of images in a subfolder for each class")
StudyFolder = word("folder of the study; contents/studies/<name> by default")
Cores = number(a.Range(1, 64), "processes side by side; by default as many as there are cores, at most three")
Sampling = word("take the default sampling settings from this configuration")
Notebook = word("name, e.g. 01_ddpm")
Executed = word("path of the executed notebook")
Parameters = Annotated[Settings, Parameter(name=("--parameter", "-p"), help="of the notebook; again for the next")]
Names = word("only these", kind=list[str], consume_multiple=True)
Record = flag("write the numbers to Plots/numbers.json")
Trials = flag("the ways to train, in place of the weights that are shipped")
Repeats = number(a.COUNT, "rounds that are timed")
Out = word("where to write")


def _shown(default: Any) -> str | None:
    """Return a default as help tells it; of what is off or absent it tells none."""
    return None if default is None or default is False or default == () else str(default)


NO_BOX = DefaultFormatter(panel_spec=PanelSpec(box=Box("    \n" * 8), padding=(0, 0)))
STYLE: dict[str, Any] = {"help_format": "plaintext", "help_formatter": NO_BOX, "version_flags": ()}
STYLE |= {"default_parameter": Parameter(negative=(), allow_repeating=True, show_default=_shown)}


def at_home(word: str) -> str:
    """Return an argument with the `~` of `~/x`, `--out=~/x` or `data_path=~/x` expanded, as not every shell does."""
    option, path = re.fullmatch(r"([\w.-]+=)?(.*)", word, re.DOTALL).groups()
    return (option or "") + (os.path.expanduser(path) if re.match("~[^/=]*/", path) else path)


def run(command: App | Callable[..., object], arguments: Sequence[str] | None = None) -> int:
    """Run an app, or the one function of a script, by options, those of the shell by default; return the exit code.

    It is 0 for success, 1 for a `ThawError` or an error of the system, 2 for options that are not understood, and 130
    for Ctrl-C; all are told as one sentence.
    """
    if isinstance(command, App):
        app = command
    else:
        app = App(name=Path(sys.argv[0]).name, help=sys.modules[command.__module__].__doc__, **STYLE)
        app.default(command)
    words = [at_home(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    try:
        function, given, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        function(*given.args, **given.kwargs)
        return 0
    except CycloptsError as error:
        error.verbose = False  # no listing of the function and its parameters
        ours = isinstance(error, CoercionError) and error.msg
        code, told = 2, f"argument {error.argument.name}: {error.msg}" if ours else str(error)
    except (ThawError, OSError) as error:  # the latter where no better sentence was found: a full disk, say
        code, told = 1, str(error)
    except KeyboardInterrupt:
        code, told = 130, "stopped"
    print(f"thaw: {told}", file=sys.stderr)
    return code
