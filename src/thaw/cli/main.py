"""The command line: `thaw VERB ...`, or `python -m thaw VERB ...`.  It calls the functions that the notebooks call."""

import sys

from cyclopts import App

from thaw.cli.options import STYLE, run

# Verb -> the module of `thaw.cli` whose function it is, imported when it is asked for, and a few words about it.
VERBS = {
    "init": ("training", "make a run directory from a configuration"),
    "train": ("training", "train a configuration, by its notebook or alone"),
    "distill": ("training", "from a model to one that draws in one to four evaluations"),
    "info": ("releasing", "tell what a run or a weights file is; list what is shipped"),
    "export": ("releasing", "from a run to released weights; one network as ONNX"),
    "sample": ("drawing", "draw images"),
    "sample-blend": ("drawing", "draw rows of images between two classes"),
    "restore": ("drawing", "undo the degradation of images"),
    "evaluate": ("scoring", "score models, or anybody's images"),
    "budget": ("scoring", "tell what a degradation's sampler loses, before any training"),
    "study": ("notebooks", "make a paper of a degradation of one's own"),
    "features": ("scoring", "train the feature network that scores a data set"),
    "encode-dataset": ("latents", "encode a data set once, for flows in its latent"),
    "test": ("latents", "classify images by Bayes' rule with a generator"),
    "test-reconstruction": ("latents", "draw images above their reconstructions"),
    "notebook": ("notebooks", "run a notebook without a screen"),
    "play": ("notebooks", "run load_and_play, and say where everything is"),
}


def build_app(asked: str | None = None) -> App:
    """Return the command line of all verbs, of which the one that is asked for is described in full."""
    app = App(name="thaw", help="Hot, cold and warm diffusion on small images.", **STYLE)
    for verb, (module, about) in VERBS.items():
        function = f"thaw.cli.{module}:{verb.replace('-', '_')}"
        app.command(function, name=verb, help=None if verb == asked else about)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, and return the exit code; see `thaw.cli.options.run`."""
    words = sys.argv[1:] if arguments is None else arguments
    code = run(build_app(*words[:1]), words)
    return code if words else 2  # help is shown, but a script whose verb is an empty variable must not go on
