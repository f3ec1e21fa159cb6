"""The command line: `thaw VERB ...`, or `python -m thaw VERB ...`.  It calls the functions that the notebooks call."""

import argparse
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from thaw.base import arguments as a
from thaw.base.errors import ThawError
from thaw.base.files import check_target
from thaw.base.settings import settings_of
from thaw.cli.commands import export, info, init, model_inputs, open_named, train
from thaw.cli.drawing import restore, sample, sample_blend
from thaw.cli.latents import encode_dataset, test, test_reconstruction
from thaw.cli.naming import KINDS, VERSIONS, data_set
from thaw.cli.publishing import banner, cards, numbers, report
from thaw.data import EMNIST_SPLITS
from thaw.sampling import SAMPLERS


def speedrun(args: argparse.Namespace) -> None:
    """Train a hot and a warm model from nothing, side by side, in minutes; draw and score their digits."""
    from thaw.training.speedrun import speedrun as run_both
    from thaw.training.speedrun import table

    out = check_target(args.out, folder="filled")
    settings = {key: value for key in ("minutes", "seed", "data") if (value := getattr(args, key)) is not None}
    settings |= settings_of(args.set)
    records = run_both(out, n=args.n, smoke=args.smoke, **settings)
    print(f"\n{table(records)}\n")
    for path in sorted(out.glob("*.png")):
        print(path)


def notebook(args: argparse.Namespace) -> None:
    """Run any notebook headlessly."""
    from thaw.report.notebooks import run_notebook

    name = Path(args.notebook).stem
    output = Path("contents") / name / f"{name}.ipynb" if args.out is None else args.out
    print(run_notebook(f"notebooks/{name}.ipynb", output, settings_of(args.parameter)))


def play(args: argparse.Namespace) -> None:
    """Run load_and_play headlessly, and say where everything is."""
    from thaw.report.notebooks import run_notebook

    started = time.perf_counter()
    out = check_target(args.out, folder="filled")
    run_notebook(
        "notebooks/load_and_play.ipynb", out / "load_and_play.ipynb", {"out": str(out)} | settings_of(args.set)
    )
    print(f"\nDone in {time.perf_counter() - started:.0f} s. In {out.resolve()}:")
    for path in sorted(out.iterdir()):
        print(f"  {path.name}")
    print("Open load_and_play.html in a browser, or play with the notebook itself: make lab")


def evaluate(args: argparse.Namespace) -> None:
    """Score models, or anybody's images, by the full protocol, beside what real images get."""
    import torch

    from thaw.base.files import write_json
    from thaw.scoring.evaluation import evaluate_images, evaluate_model, read_judged, table
    from thaw.scoring.judge import load_judge

    if args.out is not None:
        inputs = [path for name in args.models for path in model_inputs(name)]
        args.out = check_target(args.out, ".json", inputs=[*inputs, *(args.images or []), args.weights])
    if bool(args.models) == bool(args.images):
        raise ThawError("thaw evaluate takes either models or --images PATH ...")
    if args.images and args.n is not None:
        raise ThawError(f"all images in {', '.join(args.images)} are scored; leave --n {args.n} out")
    if args.models and args.data is not None:
        raise ThawError(f"models are scored on the data set they draw; leave --data {args.data} out")
    torch.set_num_threads(args.threads)
    common = {"seed": args.seed, "progress": sys.stderr.isatty(), "features": args.features, "weights": args.weights}
    models = {name: open_named(name) for name in args.models}  # a wrong name is told before the first is scored
    if args.images:
        judge = load_judge(args.data or "mnist")
        names = [Path(path).resolve().name for path in args.images]
        names = names if len(set(names)) == len(names) else args.images
        sets = [read_judged(path, judge) for path in args.images]  # all, before the first is scored
        found = [
            evaluate_images(*images, name=name, judge=judge, **common) for name, images in zip(names, sets, strict=True)
        ]
    else:
        n = 2000 if args.n is None else args.n
        found = [evaluate_model(model, n, name=name, **common) for name, model in models.items()]
    print(table(found))
    if args.out is not None:
        write_json(args.out, [evaluation.record() for evaluation in found])
        print(args.out)


def features(args: argparse.Namespace) -> None:
    """Train the feature network that scores a data set, or store the features of real images beside it."""
    import dataclasses

    import torch

    from thaw.data import what_changed
    from thaw.experiment.config import load_config, make_config
    from thaw.scoring.judge import check_judge, judge_folder, load_judge, save_judge, train_features
    from thaw.scoring.real import check_real, collect_real, keep_real, save_real
    from thaw.store.inputs import load_data

    torch.set_num_threads(1)
    folder = check_target(judge_folder(args.seed), folder="filled")
    config = load_config(args.config) if args.config else make_config({"data": args.data})
    config = make_config(config.reading)  # the images, also where a flow is trained on their latents
    train, test = load_data(config), load_data(config, "test")
    if train.source:
        print(f"{config.data}: {train.source}")
    if args.real:
        judge = load_judge(train.name, folder)
        if changed := what_changed(judge.fingerprints.get("train", {}), train):
            raise ThawError(f"the {train.name} judge was trained on other images: {changed}; train one on these first")
        check_real(train.name, judge.digest, folder, args.replace)
        print(save_real(collect_real(judge, train, test, progress=True), folder, args.replace))
        return
    told = {}
    if config.data == "folder":  # which neither a download nor a name brings back
        told = {"reading": config.reading, "fingerprints": {s.split: s.fingerprint for s in (train, test)}}
    training = {"epochs": args.epochs, "seed": args.seed}
    check_judge(train.name, training, told.get("fingerprints", {}), folder, args.replace)
    judge = dataclasses.replace(train_features(train, test, **training), **told)
    path = save_judge(judge, folder, args.replace)
    print(f"accuracy {judge.accuracy:.4f} on {len(test):,} test images: {path}")
    if args.seed or config.data == "folder":  # is not shipped: what its scores need beside it is kept with the scores
        print(keep_real(collect_real(load_judge(train.name, folder), train, test, progress=True)))


def parser() -> argparse.ArgumentParser:
    """Return the argument parser of all verbs."""
    main = argparse.ArgumentParser(prog="thaw", description="Hot, cold and warm diffusion on small images.")
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(function: Any) -> argparse.ArgumentParser:
        summary = function.__doc__.splitlines()[0]
        name = function.__name__.replace("_", "-")
        added = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        added.set_defaults(function=function)
        return added

    for function in (init, train):
        p = verb(function)
        p.add_argument("--config", help="YAML file, e.g. configs/ddpm/default.yaml")
        p.add_argument("--dataset", type=data_set, help="MNIST, EMNIST or FashionMNIST; with --model, for --config")
        p.add_argument("--model", choices=KINDS, help="an autoencoder, or the flow in the latent of the one shipped")
        p.add_argument("--split", choices=tuple(EMNIST_SPLITS), help="of EMNIST")
        p.add_argument("--epochs", "--total-epochs", type=a.EPOCHS, help="passes over the training set")
        p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace any setting")
        p.add_argument("--run", help="run directory (contents/runs/<name> by default)")
        p.add_argument("--smoke", action="store_true", help="tiny settings, to see that everything works")
        p.add_argument("--device", help="cpu, cuda, cuda:1, ...; the best there is by default")
        p.epilog = "Every setting of thaw.Config is an option too, those of the network's constructor included: "
        p.epilog += "--lr 5e-3 --milestones 5 8 --gamma 0.2 --alpha 0.15 --widths 24 52 --patch 4."
    p.add_argument("--train-only", action="store_true", help="no notebook, no samples, no scores")
    p.add_argument("--plots", metavar="FOLDER", help="of the notebook's figures and numbers (Plots/ by default)")
    _add_models(verb)
    p = verb(speedrun)
    p.add_argument("--minutes", type=a.MINUTES, help="training time of each model (10 by default)")
    p.add_argument("--seed", type=a.SEED)
    p.add_argument("--data", help="data set (mnist by default)")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace any setting of both")
    p.add_argument("-n", type=a.SCORED_OR_NONE, default=2000, help="samples a score (0: none)")
    p.add_argument("--out", default="contents/speedrun")
    p.add_argument("--smoke", action="store_true", help="tiny settings, to see that everything works")
    p = verb(notebook)
    p.add_argument("notebook", help="name, e.g. 01_ddpm")
    p.add_argument("-p", "--parameter", action="append", default=[], metavar="KEY=VALUE")
    p.add_argument("--out", help="path of the executed notebook")
    p = verb(play)
    p.add_argument("--out", default="contents/load_and_play")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the notebook")
    p = verb(evaluate)
    p.add_argument("models", nargs="*", metavar="MODEL", help="names of shipped weights, .pth files or run directories")
    p.add_argument(
        "--images", nargs="+", metavar="PATH", help="sets of images instead of models: folders, .npy or .npz files"
    )
    p.add_argument("-n", "--n", type=a.COUNT, help="images drawn from each model (2000 by default)")
    p.add_argument("--data", help="data set that --images should look like (mnist by default)")
    p.add_argument("--features", default="own", help="own (default), or inception for FID, KID and IS as others report")
    p.add_argument("--weights", metavar="PATH", help="Inception's weights; torch's cache, or a download, by default")
    p.add_argument("--seed", type=a.SEED, default=0)
    p.add_argument("--threads", type=a.THREADS, default=1)
    p.add_argument("--out", metavar="FILE.json", help="write all scores with their origin")
    p = verb(features)
    p.add_argument("--data", default="mnist", help="data set (mnist by default)")
    p.add_argument("--config", help="take the data set from this file, a folder of images, say")
    p.add_argument("--epochs", type=a.COUNT, default=8)
    p.add_argument("--seed", type=a.SEED, default=0, help="0 is the shipped network; others go to contents/features/")
    p.add_argument("--replace", action="store_true", help="also a network of other images, or one trained otherwise")
    p.add_argument("--real", action="store_true", help="no training: ship single real features with the judge (2.6 MB)")
    verb(banner).add_argument("--out", default="Plots/readme.png")
    verb(numbers).add_argument("--out", default="Report/numbers.tex")
    verb(report).add_argument("--folder", default="Report", help="of report.tex")
    verb(cards).add_argument("--folder", default="pretrained", help="of MANIFEST.json")
    return main


def _add_models(verb: Any) -> None:
    """Add the verbs that take a model: info, sample, sample-blend, restore, export, and those of latents."""

    def model_argument(p: argparse.ArgumentParser, flag: str = "model") -> None:
        text = "name of shipped weights (default, row_default_28, ...), a .pth file, a run or one of its checkpoints; "
        optional = {} if flag.startswith("-") else {"nargs": "?"}
        p.add_argument(flag, help=text + "the most recently active run by default", **optional)
        p.add_argument("--epoch", type=a.EPOCHS, help="epoch of the weights; the newest by default")

    def drawing(p: argparse.ArgumentParser, n: int, what: str, out: str) -> None:
        p.add_argument("-n", type=a.COUNT, default=n, help=f"how many {what} ({n} by default)")
        p.add_argument("--tau", type=a.SHARE, help="temperature, 0 cold to 1")
        p.add_argument("--steps", type=a.COUNT, help="sampling steps")
        p.add_argument("--seed", type=a.SEED, default=0)
        p.add_argument("--threads", type=a.THREADS, default=1)
        p.add_argument("--device", default="cpu", help="cpu (default), cuda, ...")
        text = "a grid (.png), an animation (.gif), an array (.npz with uint8 `images`), or a new folder of PNGs"
        p.add_argument("--out", default=out, help=f"{text}; {out} by default")

    def named(p: argparse.ArgumentParser) -> None:
        p.add_argument("--dataset", type=data_set, help="MNIST, EMNIST or FashionMNIST, instead of a name")
        p.add_argument("--model", dest="kind", choices=KINDS, help="which autoencoder of the data set")
        p.add_argument("--split", choices=tuple(EMNIST_SPLITS), help="of EMNIST")
        text = "main: what was exported (default); dev: the run in contents/runs, overwritten each epoch"
        p.add_argument("--model-version", dest="version", choices=VERSIONS, help=text)

    def measuring(p: argparse.ArgumentParser) -> None:
        p.add_argument("--on", default="test", choices=("train", "test"), help="which images; test by default")
        p.add_argument("--seed", type=a.SEED, default=0)
        p.add_argument("--threads", type=a.THREADS, default=1)
        p.add_argument("--device", default="cpu", help="cpu (default), cuda, ...")

    model_argument(verb(info))
    p = verb(sample)
    model_argument(p)
    named(p)
    drawing(p, 64, "images", "contents/sample.png")
    p.add_argument("--digit", type=a.CLASS, help="only this class")
    p.add_argument("--sampler", help="one of " + ", ".join(SAMPLERS))
    p.add_argument("--eta", "--diffusion", type=a.SHARE, help="fresh noise of warm sampling, 0 deterministic to 1")
    p.add_argument("--guidance", "--weight", type=a.WEIGHT, help="weight of classifier-free guidance, 1 is off")
    p.add_argument("--guidance-interval", type=a.SHARE, nargs=2, metavar=("LOW", "HIGH"), help="part of t/T it acts in")
    p.add_argument("--height", type=a.SIDE, help="rows of the grid; with --width, instead of -n")
    p.add_argument("--width", type=a.SIDE, help="images a row (10 by default, 8 of one class)")
    p.add_argument("--scale", type=a.SCALE, default=3, help="screen pixels a pixel (3 by default)")
    p = verb(sample_blend)
    model_argument(p)
    drawing(p, 4, "rows", "contents/blend.png")
    p.add_argument("--digits", type=a.CLASS, nargs=2, metavar=("A", "B"), help="two classes (3 8 by default)")
    p.add_argument("--columns", type=a.Range(2, 10_000), default=9, help="images from one class to the other")
    p.add_argument("--guidance", type=a.WEIGHT, help="weight of classifier-free guidance, 1 is off")
    p = verb(restore)
    p.add_argument("images", help="an image, a folder of images, or an .npz")
    model_argument(p, "--model")
    drawing(p, 10, "images at most", "contents/restored.png")
    p.add_argument("--degrade", action="store_true", help="the images are clean: degrade them first")
    p.add_argument("-t", type=a.COUNT, help="the step the images stand at, 1 to T (default)")
    p.add_argument("--digit", type=a.CLASS, help="the class of all images, if known")
    p.add_argument("--sampler", default="warm", help="warm (default), algorithm1, algorithm2 or direct")
    p.add_argument("--eta", type=a.SHARE, help="fresh noise of warm sampling, 0 deterministic to 1")
    p = verb(export)
    p.add_argument("run", nargs="?", help="run directory; the most recently active one by default")
    p.add_argument("--out", "--to", default="pretrained", help="folder of released weights (pretrained by default)")
    p.add_argument("-n", type=a.SCORED_OR_NONE, default=2000, help="samples behind the score in the manifest (0: none)")
    p.add_argument("--seed", type=a.SEED, default=0, help="seed of these samples")
    p.add_argument("--device", default="cpu", help="cpu (default), cuda, ...")
    p.add_argument("--epochs", type=a.EPOCHS, nargs="*", help="only these epochs")
    p.add_argument("--replace", action="store_true", help="also what another experiment released under the same name")
    p.add_argument("--onnx", metavar="FILE", help="write the network of a run, file or shipped name as ONNX instead")
    p.add_argument("--sampling", metavar="CONFIG", help="take the default sampling settings from this file")
    p = verb(encode_dataset)
    model_argument(p)
    named(p)
    p.add_argument("--threads", type=a.THREADS, default=1)
    p = verb(test)
    model_argument(p)
    named(p)
    p.add_argument("-n", type=a.COUNT, help="how many images; all of the split by default")
    p.add_argument("--route", help="ode (likelihood; default in a latent) or elbo (bound; default on pixels)")
    p.add_argument("--steps", type=a.COUNT, default=10, help="steps of the differential equation (10 by default)")
    p.add_argument("--probes", type=a.COUNT, help="random directions of its divergence; exact up to 49 dimensions")
    p.add_argument("--draws", type=a.COUNT, default=50, help="draws of noise behind a bound (50 by default)")
    p.add_argument("--first", type=a.COUNT, help="finest step of noise that is asked of the network")
    p.add_argument("--out", metavar="FILE.json", help="write the numbers and the confusion matrix")
    measuring(p)
    p = verb(test_reconstruction)
    model_argument(p)
    named(p)
    p.add_argument("--height", type=a.SIDE, default=8, help="rows of originals (8 by default)")
    p.add_argument("--width", type=a.SIDE, default=8, help="columns (8 by default)")
    p.add_argument("--scale", type=a.SCALE, default=3, help="screen pixels a pixel (3 by default)")
    p.add_argument("--out", default="contents/reconstruction.png", help="a .png file")
    measuring(p)


def _at_home(argument: str) -> str:
    """Return an argument with the `~` of `~/x`, `--out=~/x` or `data_path=~/x` expanded, as not every shell does."""
    option, path = re.fullmatch(r"([\w.-]+=)?(.*)", argument, re.DOTALL).groups()
    return (option or "") + (os.path.expanduser(path) if re.match("~[^/=]*/", path) else path)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (a `ThawError` is printed as one sentence)."""
    main = parser()
    arguments = [_at_home(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    args, more = main.parse_known_args(arguments)
    if more and args.verb not in ("init", "train"):
        main.error(f"unrecognized arguments: {' '.join(more)}")
    args.more = more
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        args.function(args)
    except ThawError as error:
        print(f"thaw: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, say, where no better sentence was found
        print(f"thaw: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("thaw: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
