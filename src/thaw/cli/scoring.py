"""The verbs that score: evaluate, budget, features."""

import dataclasses
import sys
from pathlib import Path

import torch

from thaw import degradations
from thaw.base import ThawError, check_target, write_json
from thaw.cli import options as o
from thaw.cli.naming import model_inputs, open_named
from thaw.data import what_changed
from thaw.degradations import check_laws
from thaw.experiment import Config, build_process, load_config, make_config, register_from
from thaw.model import Model
from thaw.store import fast_of, load_data
from thaw.terminal import fit_terminal


def evaluate(
    *models: o.Models, images: o.Sets = None, n: o.FromEach = None, data: o.LooksLike = None,
    features: o.Extractor = "own", weights: o.Inception = None, seed: o.Seed = 0, threads: o.Threads = 1,
    out: o.Numbers = None, fast: o.Fast = False,
) -> None:  # fmt: skip
    """Score models, or anybody's images, by the full protocol, beside what real images get."""
    from thaw.scoring import evaluate_images, evaluate_model, load_judge, read_judged, table

    target = None
    if out is not None:
        inputs = [path for name in models for path in model_inputs(name)]
        target = check_target(out, ".json", inputs=[*inputs, *(images or []), weights])
    if bool(models) == bool(images):
        raise ThawError("thaw evaluate takes either models or --images PATH ...")
    if images and n is not None:
        raise ThawError(f"all images in {', '.join(images)} are scored; leave --n {n} out")
    if models and data is not None:
        raise ThawError(f"models are scored on the data set they draw; leave --data {data} out")
    torch.set_num_threads(threads)
    common = {"seed": seed, "progress": sys.stderr.isatty(), "features": features, "weights": weights}
    opened = {name: open_named(name) for name in models}  # a wrong name is told before the first is scored
    if fast:
        opened = dict(quickly(name, model) for name, model in opened.items())
    if images:
        judge = load_judge(data or "mnist")
        names = [Path(path).resolve().name for path in images]
        names = names if len(set(names)) == len(names) else images
        sets = [read_judged(path, judge) for path in images]  # all, before the first is scored
        found = [evaluate_images(*one, name=name, judge=judge, **common) for name, one in zip(names, sets, strict=True)]
    else:
        found = [evaluate_model(model, 2000 if n is None else n, name=name, **common) for name, model in opened.items()]
    print(table(found))
    if target is not None:
        write_json(target, [dataclasses.asdict(evaluation) for evaluation in found])
        print(target)


def quickly(name: str, model: Model) -> tuple[str, Model]:
    """Return the fast weights of a model with what to call them, and say that they take its place.

    Raises:
        ThawError: for a model that has none.
    """
    if (found := fast_of(model)) is None:
        raise ThawError(f"no fast weights of {name} are shipped; make them by `thaw distill {name}`")
    few, many = (one.sampling.evaluations(one.process) for one in (found, model))
    print(f"{name} is drawn by its fast weights {found.info['file']}: {few} evaluations an image in place of {many}.")
    return f"{name}, fast", found


def budget(
    name: o.Degradation, /, *, data: o.Data = "mnist", tau: o.Tau = None, steps: o.Steps = None, eta: o.Eta = None,
    n: o.Trajectories = 1000, seed: o.Seed = 0, threads: o.Threads = 1, out: o.Numbers = None,
) -> None:  # fmt: skip
    """Tell what a degradation's sampler loses with a perfect network, part by part, and which settings lose less.

    Of a model with weights, the network's share too.
    """
    from thaw.scoring.budget import Oracle, error_budget, network_share

    target = None if out is None else check_target(out, ".json", inputs=[name])
    torch.set_num_threads(threads)
    config, model = described(name, data)
    train = load_data(config)
    train = train.subset(min(len(train), 5000), seed)
    images = train.pixels()
    degradation = build_process(config, train.shape).degradation
    check_laws(degradation, images)
    soften = config.soften
    degradation = degradation.inner if soften > 1 else degradation
    sampling = config.sampling(degradation.steps * soften).replace(tau=tau, steps=steps, eta=eta)
    terminal = fit_terminal(degradation, images, train.labels, components=2) if model is None else model.terminal
    oracle = Oracle(degradation, images, seed, n)
    found = error_budget(oracle, sampling, config.schedule, soften, terminal)
    softened = f", softened to {degradation.steps * soften}" if soften > 1 else ""
    print(f"{config.degradation}: T = {degradation.steps}{softened}")
    print(found)
    record = dataclasses.asdict(found) | {"tried": [[*k, v.distance, v.kept] for k, v in found.tried.items()]}
    if model is not None:
        measured = network_share(oracle, model, found, sampling, seed)
        record["network"], record["measured"] = measured.network, dataclasses.asdict(measured.loss)
        print(measured)
    if target is not None:
        write_json(target, record | {"degradation": config.degradation, "options": config.options, "seed": seed})
        print(target)


def described(name: str, data: str) -> tuple[Config, Model | None]:
    """Return the experiment that a name, a .py file or a configuration describes, and the model where it is one.

    Raises:
        ThawError: for none of these, or what is no function of pixels: a latent, pairs.
    """
    if name.endswith(".py"):
        name = register_from(name)
    if name in degradations.names():
        return make_config({"study": "custom", "degradation": name, "data": data, "tau": (0.0, 2.0), "eta": 1.0}), None
    try:
        model = None if name.endswith((".yaml", ".yml")) else open_named(name)
    except ThawError as error:
        if Path(name).suffix or Path(name).exists():
            raise
        raise ThawError(f"no degradation {name} ({', '.join(degradations.names())}), and {error}") from None
    config = load_config(name) if model is None else model.config
    if config.study in ("latent", "autoencoder") or config.paired:
        what = "undoes what no function did" if config.paired else "lives in a latent"
        raise ThawError(f"{name} {what}; this takes a degradation that is a function of pixels")
    return config, model


def features(
    *, data: o.Data = "mnist", config: o.Reading = None, epochs: o.Passes = 8, seed: o.Judge = 0,
    replace: o.Replace = False, real: o.Real = False,
) -> None:  # fmt: skip
    """Train the feature network that scores a data set, or store the features of real images beside it."""
    from thaw.scoring import load_judge
    from thaw.scoring.judge import check_judge, judge_folder, save_judge
    from thaw.scoring.judge_training import train_features
    from thaw.scoring.real import check_real, collect_real, keep_real, save_real

    torch.set_num_threads(1)
    folder = check_target(judge_folder(seed), folder="filled")
    settings = load_config(config) if config else make_config({"data": data})
    settings = make_config(settings.reading)  # the images, also where a flow is trained on their latents
    train, test = load_data(settings), load_data(settings, "test")
    if train.source:
        print(f"{settings.data}: {train.source}")
    if real:
        judge = load_judge(train.name, folder)
        if changed := what_changed(judge.fingerprints.get("train", {}), train):
            raise ThawError(f"the {train.name} judge was trained on other images: {changed}; train one on these first")
        check_real(train.name, judge.digest, folder, replace)
        print(save_real(collect_real(judge, train, test, progress=True), folder, replace))
        return
    told = {}
    if settings.of_a_folder:  # which neither a download nor a name brings back
        told = {"reading": settings.reading, "fingerprints": {s.split: s.fingerprint for s in (train, test)}}
    training = {"epochs": epochs, "seed": seed}
    check_judge(train.name, training, told.get("fingerprints", {}), folder, replace)
    judge = dataclasses.replace(train_features(train, test, **training), **told)
    path = save_judge(judge, folder, replace)
    print(f"accuracy {judge.accuracy:.4f} on {len(test):,} test images: {path}")
    if seed or settings.of_a_folder:  # is not shipped: what its scores need beside it is kept with the scores
        print(keep_real(collect_real(load_judge(train.name, folder), train, test, progress=True)))
