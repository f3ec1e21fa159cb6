"""The verbs that draw: sample, sample-blend, restore."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from thaw.base.errors import ThawError, pick
from thaw.cli.commands import device_of, model_inputs, open_chosen

if TYPE_CHECKING:
    from thaw.model import Model


def _opened(args: argparse.Namespace) -> "Model":
    """Return the model of the arguments on its device, after checking where the images will go."""
    import torch

    from thaw.data.output import check_out

    args.out = check_out(args.out, [*model_inputs(args.model), vars(args).get("images")])
    torch.set_num_threads(args.threads)
    return open_chosen(args).to(device_of(args.device))


def _class(model: "Model", digit: int | None) -> int | None:
    """Return the class that was asked for; a `ThawError` for a model that would not draw it."""
    if digit is not None and not model.conditional:
        raise ThawError(f"{model.config.label} is not told the class; leave --digit {digit} out")
    return digit


def sample(args: argparse.Namespace) -> None:
    """Draw images from released weights or a run."""
    from thaw.base.pixels import to_uint8
    from thaw.data.output import save_images

    columns = args.width or min(args.n, 10 if args.digit is None else 8)
    if args.height:
        args.n = args.height * columns
    model = _opened(args)
    y = model.labels(args.n, _class(model, args.digit))
    started = time.perf_counter()
    names = ("sampler", "tau", "eta", "steps", "guidance", "guidance_interval")
    settings = {name: getattr(args, name) for name in names}
    frames = []
    if Path(args.out).suffix == ".gif":
        frames = [step.x_t.cpu() for step in model.trajectory(y, seed=args.seed, **settings)]
        images = to_uint8(frames[-1])
    else:
        images = to_uint8(model.sample(y, seed=args.seed, **settings))
    seconds = time.perf_counter() - started
    save_images(args.out, images, columns=columns, frames=frames, labels=y, scale=args.scale)
    print(f"{args.n} images in {seconds:.1f} s: {args.out}")


def sample_blend(args: argparse.Namespace) -> None:
    """Draw rows of images between two classes, from the same noise."""
    from thaw.base.pixels import to_uint8
    from thaw.data.output import save_images
    from thaw.sampling import final

    model = _opened(args)
    settings = {name: getattr(args, name) for name in ("tau", "steps", "guidance", "seed")}
    digits = tuple(args.digits or next(iter(model.class_pairs()), (0, 0)))  # the latter is refused in words
    x0 = final(model.blend(digits, args.columns, args.n, **settings)).cpu()
    frames = list(x0.unflatten(0, (args.n, args.columns)).unbind(dim=1))  # an animation walks along the rows
    gif = Path(args.out).suffix == ".gif"
    save_images(args.out, to_uint8(x0), columns=min(args.n, 10) if gif else args.columns, frames=frames)
    print(f"{args.n} x {args.columns} images from {digits[0]} to {digits[1]}: {args.out}")


def restore(args: argparse.Namespace) -> None:
    """Restore degraded images; with --degrade, degrade clean ones first.

    A grid shows the degraded images above the restored ones.
    """
    import torch

    from thaw.base.pixels import to_pixels, to_uint8
    from thaw.base.seeding import generator
    from thaw.data.images import background_hint, background_of, open_set, read_items
    from thaw.data.output import save_images
    from thaw.sampling import SAMPLERS

    model = _opened(args)
    process, n = model.process, args.n
    t = process.steps if args.t is None else args.t
    if not 1 <= t <= process.steps:
        raise ThawError(f"-t must be between 1 and T={process.steps}, got {t}")
    items = open_set(args.images)
    total, items = len(items), items[:n]
    images = read_items(items, args.images, shape=model.shape, background=model.config.background)
    names = [
        f"{i:05d}.png" if item.array is not None else f"{i:05d}_{item.file.stem}.png" for i, item in enumerate(items)
    ]
    given, n = to_pixels(images).to(model.device), len(images)
    z = process.degradation.draw_z(n, generator(args.seed, "degrade"))
    z = None if z is None else z.to(model.device)
    if args.degrade:
        degraded = process.degradation(given, torch.full((n,), t, device=model.device), z)
    elif z is None:
        degraded = given
    else:
        raise ThawError(f"{model.config.degradation} cannot be undone without its z; use --degrade on clean images")
    if model.config.data != "folder":  # all have a black background
        black = torch.full_like(given[:1], -1)
        black = black if args.degrade else process.degradation(black, torch.full((1,), t, device=model.device))
        hint = background_hint(images, background_of(to_uint8(black)), f"those of {model.config.data_name}")
        print(hint, end="\n" if hint else "")
    cold = pick(args.sampler, SAMPLERS, "sampler").temperatures == "cold" or process.tau[0] == 0
    tau = args.tau if args.tau is not None else 0.0 if cold else model.sampling.tau
    y = None if args.digit is None else model.labels(n, _class(model, args.digit))
    settings = {"sampler": args.sampler, "tau": tau, "eta": args.eta, "steps": args.steps, "seed": args.seed}
    restored = model.restore(degraded, t, y=y, z=z, **{k: v for k, v in settings.items() if v is not None})
    shown = [given, degraded] if args.degrade else [degraded]
    save_images(
        args.out, to_uint8(restored), columns=n, names=names, frames=[*(x.cpu() for x in shown), restored],
        above=[to_uint8(x.cpu()) for x in shown],
    )  # fmt: skip
    rest = f" (the first of {total}; -n {total} takes all)" if n < total else ""
    print(f"{n} images{rest} restored from step {t} of {process.steps}: {args.out}")
