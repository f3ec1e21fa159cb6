"""The command line: `thaw VERB ...`, or `python -m thaw VERB ...`.  It calls the functions that the notebooks call."""

import sys

from cyclopts import App

from thaw.cli.options import STYLE, run

# Module of `thaw.cli`, imported when one of its verbs is asked for -> its functions, with a few words about each.
VERBS = {
    "training": {
        "init": "make a run directory from a configuration",
        "train": "train a configuration, by its notebook or alone",
    },
    "releasing": {
        "info": "tell what a run or a weights file is; list what is shipped",
        "export": "from a run to released weights; one network as ONNX",
    },
    "drawing": {
        "sample": "draw images",
        "sample-blend": "draw rows of images between two classes",
        "restore": "undo the degradation of images",
    },
    "scoring": {
        "evaluate": "score models, or anybody's images",
        "features": "train the feature network that scores a data set",
    },
    "latents": {
        "encode-dataset": "encode a data set once, for flows in its latent",
        "test": "classify images by Bayes' rule with a generator",
        "test-reconstruction": "draw images above their reconstructions",
    },
    "notebooks": {
        "notebook": "run a notebook without a screen",
        "play": "run load_and_play, and say where everything is",
    },
}


def build_app(asked: str | None = None) -> App:
    """Return the command line of all verbs, of which the one that is asked for is described in full."""
    app = App(name="thaw", help="Hot, cold and warm diffusion on small images.", **STYLE)
    for module, verbs in VERBS.items():
        for verb, about in verbs.items():
            function = f"thaw.cli.{module}:{verb.replace('-', '_')}"
            app.command(function, name=verb, help=None if verb == asked else about)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run the command line, and return the exit code; see `thaw.cli.options.run`."""
    words = sys.argv[1:] if arguments is None else arguments
    return run(build_app(*words[:1]), words)


if __name__ == "__main__":
    sys.exit(main())
