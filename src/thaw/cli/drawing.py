"""The verbs that draw: sample, sample-blend, restore."""

import copy
import time
from typing import Any

import torch
from torch import Tensor

from thaw import degradations
from thaw.base import ThawError, generator, number, pick, to_pixels, to_uint8
from thaw.cli import options as o
from thaw.cli.naming import BY_NAME, HERE, Computing, Named, model_inputs
from thaw.cli.scoring import described
from thaw.data import Item, background_hint, background_of, check_out, open_set, read_items, save_images
from thaw.degradations import check_laws
from thaw.experiment import build_process
from thaw.model import Model
from thaw.sampling import SAMPLERS, final

DRAWN = 500  # images of a model, by which it knows degraded ones
DISTANCE_FROM = 2000  # restorations, from which on their Frechet distance is told
Sampler = o.word("one of " + ", ".join(SAMPLERS))


def _class(model: Model, digit: int | None) -> int | None:
    """Return the class that was asked for; a `ThawError` for a model that would not draw it."""
    if digit is not None and not model.conditional:
        raise ThawError(f"{model.config.label} is not told the class; leave --digit {digit} out")
    return digit


def sample(
    model: o.ModelName = None, /, *, epoch: o.Epoch = None, named: Named = BY_NAME, computing: Computing = HERE,
    n: o.Images = 64, height: o.Height = None, width: o.Width = None, digit: o.Digit = None, scale: o.Scale = 3,
    sampler: Sampler = None, tau: o.Tau = None, eta: o.Eta = None, steps: o.Steps = None, guidance: o.Guidance = None,
    guidance_interval: o.Interval = None, out: o.Drawn = "contents/sample.png",
) -> None:  # fmt: skip
    """Draw images from released weights or a run."""
    columns = width or min(n, 10 if digit is None else 8)
    n = height * columns if height else n
    target = check_out(out, model_inputs(model))
    opened = computing.open(model, epoch, named)
    y = opened.labels(n, _class(opened, digit))
    settings = {"sampler": sampler, "tau": tau, "eta": eta, "steps": steps}
    settings |= {"guidance": guidance, "guidance_interval": guidance_interval, "seed": computing.seed}
    started = time.perf_counter()
    if target.suffix == ".gif":
        frames = [step.x_t.cpu() for step in opened.trajectory(y, **settings)]
        images = to_uint8(frames[-1])
    else:
        frames, images = [], to_uint8(opened.sample(y, **settings))
    seconds = time.perf_counter() - started
    save_images(target, images, columns=columns, frames=frames, labels=y, scale=scale)
    print(f"{n} images in {seconds:.1f} s: {target}")


def sample_blend(
    model: o.ModelName = None, /, *, epoch: o.Epoch = None, computing: Computing = HERE, n: o.Rows = 4,
    digits: o.Digits = None, columns: o.Between = 9, tau: o.Tau = None, steps: o.Steps = None,
    guidance: o.Guidance = None, out: o.Drawn = "contents/blend.png",
) -> None:  # fmt: skip
    """Draw rows of images between two classes, from the same noise."""
    target = check_out(out, model_inputs(model))
    opened = computing.open(model, epoch)
    pair = tuple(digits or next(iter(opened.class_pairs()), (0, 0)))  # the latter is refused in words
    x0 = final(opened.blend(pair, columns, n, tau=tau, steps=steps, guidance=guidance, seed=computing.seed)).cpu()
    frames = list(x0.unflatten(0, (n, columns)).unbind(dim=1))  # an animation walks along the rows
    gif = target.suffix == ".gif"
    save_images(target, to_uint8(x0), columns=min(n, 10) if gif else columns, frames=frames)
    print(f"{n} x {columns} images from {pair[0]} to {pair[1]}: {target}")


def restore(
    images: o.Pictures, /, *, model: o.ModelName = None, epoch: o.Epoch = None, computing: Computing = HERE,
    n: o.AtMost = 10, degrade: o.Degrade = False, t: o.Step = None, digit: o.Digit = None, sampler: o.Restorer = "warm",
    tau: o.Tau = None, eta: o.Eta = None, steps: o.Steps = None, infer: o.Infer = False,
    consistent: o.Consistent = False, prior: o.Untrained = None, estimate: o.Unknown = False, score: o.Scores = False,
    originals: o.Originals = None, out: o.Drawn = "contents/restored.png",
) -> None:  # fmt: skip
    """Restore degraded images; with --degrade, degrade clean ones first.

    A grid shows the degraded images above the restored ones. With --score, or --originals, the command tells how close
    they are to the clean ones, which --degrade or --originals names: class (of images in subfolders named by it, or
    with `labels`), PSNR, SSIM, and of stochastic restorations their error and spread; beside each what is possible.
    With --prior a hot model restores from a degradation that it was not trained on; with --estimate, or --prior any,
    the images tell how far they are degraded, or by what, too.
    """
    if originals and degrade:
        raise ThawError(f"with --degrade the images are the originals; leave --originals {originals} out")
    if score and not (originals or degrade):
        raise ThawError("--score compares with clean images: use --degrade on clean ones, or name them by --originals")
    model = "default" if prior and model is None else model
    target = check_out(out, [*model_inputs(model), images, *filter(None, (originals, prior))])
    opened = computing.open(model, epoch)
    estimate = estimate or prior == "any"
    if estimate and (degrade or t is not None):
        raise ThawError("--estimate tells the step of degraded images; leave --degrade and -t out")
    opened = opened if prior in (None, "any") else _against(opened, prior)
    t = opened.process.steps if t is None else t
    if not 1 <= t <= opened.process.steps:
        raise ThawError(f"-t must be between 1 and T={opened.process.steps}, got {t}")
    items = open_set(images)
    clean = _beside(items, images, open_set(originals), originals) if originals else items
    total, items, clean = len(items), items[:n], clean[:n]
    read = read_items(items, images, shape=opened.shape, background=opened.config.background)
    stems = ["" if item.array is not None else f"_{item.file.stem}" for item in items]
    names = [f"{i:05d}{stem}.png" for i, stem in enumerate(stems)]
    given, n = to_pixels(read).to(opened.device), len(read)
    if estimate:
        opened, t = _estimated(opened, given, prior == "any")
    process = opened.process
    if degrade and opened.config.paired:
        raise ThawError("no function degrades as pairs are; give degraded pictures, and clean ones as --originals")
    fitting = None if degrade or t < process.steps else process.degradation.z_from(given)
    z = process.degradation.draw_z(n, generator(computing.seed, "degrade")) if fitting is None else fitting
    z = None if z is None else z.to(opened.device)
    if degrade:
        degraded = process.degradation(given, torch.full((n,), t, device=opened.device), z)
    elif z is fitting:
        degraded = given
    else:
        raise ThawError(f"{opened.config.degradation} cannot be undone without its z; use --degrade on clean images")
    if not opened.config.of_a_folder:  # all have a black background
        black = torch.full_like(given[:1], -1)
        if not degrade:
            here = torch.full((1,), t, device=opened.device)
            black = process.degradation(black, here, None if z is None else z[:1])
        hint = background_hint(read, background_of(to_uint8(black)), f"those of {opened.config.data_name}")
        print(hint, end="\n" if hint else "")
    row = pick(sampler, SAMPLERS, "sampler")
    if tau is None:
        cold = row.temperatures == "cold" or process.tau[0] == 0
        tau = row.restores_at(*process.tau) if consistent else 0.0 if cold else opened.sampling.tau
    y = None if digit is None else opened.labels(n, _class(opened, digit))
    settings = {"sampler": sampler, "tau": tau, "eta": eta, "steps": steps, "seed": computing.seed}
    settings = {k: v for k, v in settings.items() if v is not None} | {"y": y, "z": z}
    settings |= {"infer": infer, "consistent": consistent}
    restored = opened.restore(degraded, t, **settings)
    shown = [given, degraded] if degrade else [degraded]
    save_images(
        target, to_uint8(restored), columns=n, names=names, frames=[*(x.cpu() for x in shown), restored],
        above=[to_uint8(x.cpu()) for x in shown],
    )  # fmt: skip
    rest = f" (the first of {total}; -n {total} takes all)" if n < total else ""
    print(f"{n} images{rest} restored from step {t} of {process.steps}: {target}")
    if score or originals:
        if originals:
            read = read_items(clean, originals, shape=opened.shape, background=opened.config.background)
        told = [item.label for item in clean]
        told = [one.label for one in items] if None in told else told
        _score(opened, told, restored, degraded, to_pixels(read), t, **settings)


def _against(hot: Model, name: str) -> Model:
    """Return a hot model as the prior against a degradation, see `described`."""
    from thaw.prior import Prior

    config, _ = described(name, "mnist")
    degradation = build_process(config, hot.shape).degradation
    check_laws(degradation)
    told = hot.config.model_copy(update={"degradation": config.degradation})
    return Prior(hot).against(degradation.to(hot.device), told)


def _estimated(opened: Model, pictures: Tensor, any_kind: bool) -> tuple[Model, int]:
    """Return what undoes the likeliest degradation of pictures, and their likeliest step, and say how sure that is."""
    from thaw.estimate import CLEAN, estimate
    from thaw.prior import ByPrior, Prior

    if any_kind:
        prior = Prior(opened)
        kinds = {name: degradations.build(name, opened.shape) for name in degradations.names() if name != "scale"}
    else:
        prior = opened.prior if isinstance(opened, ByPrior) else None
        kinds = {opened.config.degradation: copy.deepcopy(opened.process.degradation).cpu()}
    images = opened.sample(opened.labels(DRAWN)) if prior is None else prior.images
    found = estimate(pictures.cpu(), kinds, images.cpu())
    kind, t = found.best
    if kind == CLEAN:
        raise ThawError(f"{found}: there is nothing to undo; name the step by -t in place of --estimate")
    print(found)
    if any_kind:
        config = opened.config.model_copy(update={"degradation": kind})
        opened = prior.against(kinds[kind].to(opened.device), config)
    return opened, t


def _beside(items: list[Item], images: str, clean: list[Item], originals: str) -> list[Item]:
    """Return the clean images of degraded ones in their order: by the pictures' names, else by their place in the set.

    Raises:
        ThawError: for another number of them, names of which some agree and some do not, or originals of other classes.
    """
    if len(clean) != len(items):
        raise ThawError(f"{images} has {len(items)} images, {originals} {len(clean)}; give an original for each")
    names, others = ([item.file.stem for item in part if item.array is None] for part in (items, clean))
    if len({*names}) == len(items) and {*names} == {*others}:
        named = dict(zip(others, clean, strict=True))
        clean = [named[name] for name in names]
    elif names != others and (names and others):
        one, other = next((a, b) for a, b in zip(names, others, strict=False) if a != b)
        if {*names} & {*others}:
            raise ThawError(f"the original of {one} in {images} would be {other} of {originals}; name them alike")
        if len(items) > 1:
            print(f"No name is in both: the originals are taken in their order, {other} for {one} and so on")
    for index, pair in enumerate(zip(items, clean, strict=True)):
        one, other = (str(item.label) for item in pair)
        if one.isdecimal() and other.isdecimal() and int(one) != int(other):
            where = f"image {index} of {images} is of class {one}, its original in {originals} of {other}"
            raise ThawError(f"{where}; give the originals in the same order")
    return clean


def _score(
    opened: Model, told: list[str | int | None], restored: Tensor, degraded: Tensor, originals: Tensor, t: int,
    **settings: Any,
) -> None:  # fmt: skip
    """Print the scores of restorations, and what they lack."""
    from thaw.scoring import evaluate, load_judge, model_ceiling, row_of, score_restoration

    known: dict[str, Any] = {}
    try:
        if None in told:
            raise ThawError("nothing tells the classes of the originals (`labels` in an .npz, or a subfolder for each)")
        judge = load_judge(opened.config.data_name)
        judge.check_shape(opened.shape)
        known = {"judge": judge, "true": torch.tensor([judge.class_of(one) for one in told])}
        if settings["y"] is None:  # else the class was told
            known["ceiling"] = model_ceiling(opened, t)
    except ThawError as error:
        print(f"{'no ceiling' if known else 'no class agreement'}: {error}")
    scores = score_restoration(opened, restored, degraded, originals, t, **known, **settings)
    if known and len(restored) >= DISTANCE_FROM:
        scores["fid"] = evaluate(to_uint8(restored), judge, known["true"], seed=settings["seed"])["fid"]
    for name, one in scores.items():
        form, best = row_of(name).form, "exact" if one.reference == "originals" else "real images"
        beside = "" if one.floor is None else f" ({best} {number(one.floor, form)})"
        print(f"{name:14s}{number(one.value, form)}{beside}, n = {one.n}")
    if "ceiling" in known:
        print(known["ceiling"])
