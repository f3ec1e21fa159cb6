"""The command line: `thaw VERB ...`, or `python -m thaw VERB ...`.  It calls the functions that the notebooks call."""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from thaw.errors import ThawError


def _settings(pairs: list[str]) -> dict[str, Any]:
    """Parse `key=value` arguments; values are YAML."""
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ThawError(f"settings are written key=value, got {pair!r}")
        settings[key.strip().replace("-", "_")] = yaml.safe_load(value)
    return settings


def _find(model: str, epoch: int | None = None) -> Path:
    """Return the path of a weights file, a run directory, or shipped weights of this name."""
    from thaw.checkpoint import release_path

    path = Path(model)
    return path if path.exists() or path.suffix else release_path(model, epoch)


def train(args: argparse.Namespace) -> None:
    """Train by running the study's notebook through papermill, into the run directory."""
    from thaw import checkpoint, data
    from thaw.config import load_config
    from thaw.headless import run_notebook

    settings = _settings(args.set)
    if args.epochs is not None:
        settings["epochs"] = args.epochs
    config = load_config(args.config, **settings)
    settings["data"] = data.resolve(config.data)
    config = load_config(args.config, **settings)
    config = config.smoke() if args.smoke else config
    run = Path(args.run) if args.run else checkpoint.RUNS / config.run_name
    notebook = "01_ddpm" if config.study == "ddpm" else "02_custom_degradation"
    parameters = {"config": str(args.config), "overrides": settings, "run": str(run), "smoke": args.smoke}
    output = run_notebook(f"notebooks/{notebook}.ipynb", run / f"{notebook}.ipynb", parameters)
    print(f"run directory      {run}\nexecuted notebook  {output} (and .html)")
    print(f"to ship it         python -m thaw export {run}")


def speedrun(args: argparse.Namespace) -> None:
    """Train a hot and a warm model from nothing, side by side, in minutes; draw and score their digits."""
    from thaw.speedrun import speedrun as run_both
    from thaw.speedrun import table

    out = Path(args.out)
    settings = {"minutes": args.minutes, "seed": args.seed, "data": args.data, **_settings(args.set)}
    records = run_both(out, n=args.n, smoke=args.smoke, **settings)
    print(f"\n{table(records)}\n")
    for path in sorted(out.glob("*.png")):
        print(path)


def notebook(args: argparse.Namespace) -> None:
    """Run any notebook headlessly."""
    from thaw.headless import run_notebook

    name = Path(args.notebook).stem
    output = Path(args.out) if args.out else Path("contents") / name / f"{name}.ipynb"
    print(run_notebook(f"notebooks/{name}.ipynb", output, _settings(args.parameter)))


def play(args: argparse.Namespace) -> None:
    """Run load_and_play headlessly, and say where everything is."""
    from thaw.headless import run_notebook

    started = time.perf_counter()
    out = Path(args.out)
    run_notebook("notebooks/load_and_play.ipynb", out / "load_and_play.ipynb", {"out": str(out)} | _settings(args.set))
    print(f"\nDone in {time.perf_counter() - started:.0f} s. In {out.resolve()}:")
    for path in sorted(out.iterdir()):
        print(f"  {path.name}")
    print("Open load_and_play.html in a browser, or play with the notebook itself: make lab")


def sample(args: argparse.Namespace) -> None:
    """Draw digits from released weights or a run into a PNG grid."""
    import torch

    from thaw.checkpoint import load_model
    from thaw.figures import save_grid
    from thaw.pixels import to_uint8

    torch.set_num_threads(args.threads)
    model = load_model(_find(args.model, args.epoch)).to(args.device)
    y = model.labels(args.n, args.digit)
    started = time.perf_counter()
    settings = {"sampler": args.sampler, "tau": args.tau, "steps": args.steps, "guidance": args.guidance}
    images = to_uint8(model.sample(y, seed=args.seed, **settings))
    seconds = time.perf_counter() - started
    save_grid(args.out, images, columns=min(args.n, 10 if args.digit is None else 8))
    print(f"{args.n} images in {seconds:.1f} s: {args.out}")


def info(args: argparse.Namespace) -> None:
    """Print what a weights file or run holds; without a name, what is shipped."""
    from thaw.checkpoint import load_model, read_manifest

    if args.model is None:
        for name, entry in read_manifest().items():
            score = f"FID {entry['fid']['value']:.2f}" if "fid" in entry else ""
            print(f"{name:52s} {entry['bytes'] / 1e6:5.1f} MB  {score}")
        return
    model = load_model(_find(args.model, args.epoch))
    facts = {"epoch": model.epoch, "classes": model.classes, "terminal_rank": model.terminal.rank}
    facts |= {k: v for k, v in model.info.items() if isinstance(v, str | int | float)}
    print(yaml.safe_dump(facts | {"config": model.config.model_dump(mode="json")}, sort_keys=False), end="")


def evaluate(args: argparse.Namespace) -> None:
    """Score models, or anybody's images, by the full protocol, beside what real images get."""
    import torch

    from thaw.checkpoint import load_model
    from thaw.evaluation import evaluate_images, evaluate_model, table
    from thaw.files import write_json

    if bool(args.models) == bool(args.images):
        raise ThawError("thaw evaluate takes either models or --images PATH")
    if args.images and args.n is not None:
        raise ThawError(f"all images in {args.images} are scored; leave --n {args.n} out")
    torch.set_num_threads(args.threads)
    common = {"seed": args.seed, "progress": sys.stderr.isatty()}
    paths = [_find(model) for model in args.models]  # a wrong name is told before the first is scored
    if args.images:
        found = [evaluate_images(args.images, name=Path(args.images).name, judge=args.data, **common)]
    else:
        n = 2000 if args.n is None else args.n
        named = zip(args.models, paths, strict=True)
        found = [evaluate_model(load_model(path), n, name=name, **common) for name, path in named]
    print(table(found))
    if args.out:
        write_json(args.out, [evaluation.record() for evaluation in found])
        print(args.out)


def export(args: argparse.Namespace) -> None:
    """Write the kept checkpoints of a run to released weights, with a score for each."""
    from thaw.config import load_config
    from thaw.release import export_run

    sampling = load_config(args.sampling) if args.sampling else None
    for path in export_run(args.run, args.to, n=args.n, epochs=args.epochs, sampling=sampling):
        print(path)


def features(args: argparse.Namespace) -> None:
    """Train the feature network that scores a data set, or store the features of real images beside it."""
    import torch

    from thaw.data import load
    from thaw.features import load_judge, save_judge, train_features
    from thaw.real import collect_real, save_real

    torch.set_num_threads(1)
    if args.real:
        print(save_real(collect_real(load_judge(args.data), load(args.data), load(args.data, "test"), progress=True)))
        return
    judge = train_features(load(args.data), load(args.data, "test"), epochs=args.epochs, seed=args.seed)
    print(f"accuracy {judge.accuracy:.4f}: {save_judge(judge)}")


def banner(args: argparse.Namespace) -> None:
    """Draw the README's picture from the shipped weights."""
    from thaw.play import banner as draw_banner

    print(draw_banner(args.out))


def numbers(args: argparse.Namespace) -> None:
    """Write the LaTeX file of all numbers in Plots/numbers.json."""
    from thaw.results import write_tex

    print(f"{write_tex(args.out)} numbers in {args.out}")


def parser() -> argparse.ArgumentParser:
    """Return the argument parser of all verbs."""
    main = argparse.ArgumentParser(prog="thaw", description="Hot, cold and warm diffusion on small images.")
    verbs = main.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(function: Any) -> argparse.ArgumentParser:
        summary = function.__doc__.splitlines()[0]
        added = verbs.add_parser(function.__name__, help=summary, description=summary)
        added.set_defaults(function=function)
        return added

    def model_arguments(added: argparse.ArgumentParser, optional: bool) -> None:
        text = "name of shipped weights (default, row_default_28, ...), a .pth file, or a run directory"
        added.add_argument("model", nargs="?" if optional else None, help=text)
        added.add_argument("--epoch", type=int, help="epoch of the shipped weights; the newest by default")

    p = verb(train)
    p.add_argument("--config", required=True, help="YAML file, e.g. configs/ddpm/default.yaml")
    p.add_argument("--epochs", type=int, help="passes over the training set")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace any setting")
    p.add_argument("--run", help="run directory (contents/runs/<name> by default)")
    p.add_argument("--smoke", action="store_true", help="tiny settings, to see that everything works")
    p = verb(speedrun)
    p.add_argument("--minutes", type=float, help="training time of each model (10 by default)")
    p.add_argument("--seed", type=int)
    p.add_argument("--data", help="data set (mnist by default)")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace any setting of both")
    p.add_argument("-n", type=int, default=2000, help="samples a score (0: none)")
    p.add_argument("--out", default="contents/speedrun")
    p.add_argument("--smoke", action="store_true", help="tiny settings, to see that everything works")
    p = verb(notebook)
    p.add_argument("notebook", help="name, e.g. 01_ddpm")
    p.add_argument("-p", "--parameter", action="append", default=[], metavar="KEY=VALUE")
    p.add_argument("--out", help="path of the executed notebook")
    p = verb(play)
    p.add_argument("--out", default="contents/load_and_play")
    p.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the notebook")
    p = verb(sample)
    model_arguments(p, optional=False)
    p.add_argument("-n", type=int, default=64, help="how many images")
    p.add_argument("--digit", type=int, help="only this class")
    p.add_argument("--sampler", help="warm, ddpm, ddim, algorithm1, algorithm2 or direct")
    p.add_argument("--tau", type=float, help="temperature, 0 cold to 1")
    p.add_argument("--steps", type=int, help="sampling steps")
    p.add_argument("--guidance", type=float, help="weight of classifier-free guidance, 1 is off")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--device", default="cpu")
    p.add_argument("--out", default="contents/sample.png")
    model_arguments(verb(info), optional=True)
    p = verb(evaluate)
    p.add_argument("models", nargs="*", metavar="MODEL", help="names of shipped weights, .pth files or run directories")
    p.add_argument("--images", metavar="PATH", help="folder of PNGs, .npy or .npz of uint8 images, instead of models")
    p.add_argument("--n", type=int, help="images drawn from each model (2000 by default)")
    p.add_argument("--data", default="mnist", help="data set that --images should look like")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--out", metavar="FILE.json", help="write all scores with their origin")
    p = verb(export)
    p.add_argument("run", help="run directory")
    p.add_argument("--to", default="pretrained")
    p.add_argument("-n", type=int, default=2000, help="samples behind the score in the manifest (0: none)")
    p.add_argument("--epochs", type=int, nargs="*", help="only these epochs")
    p.add_argument("--sampling", metavar="CONFIG", help="take the default sampling settings from this file")
    p = verb(features)
    p.add_argument("--data", default="mnist")
    p.add_argument("--epochs", type=int, default=8)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--real", action="store_true", help="no training: ship single real features with the judge (2.6 MB)")
    verb(banner).add_argument("--out", default="Plots/readme.png")
    verb(numbers).add_argument("--out", default="Report/numbers.tex")
    return main


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code (a `ThawError` is printed as one sentence)."""
    args = parser().parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        args.function(args)
    except ThawError as error:
        print(f"thaw: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("thaw: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
