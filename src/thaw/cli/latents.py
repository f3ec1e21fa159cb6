"""The verbs around a latent: encode-dataset, test, test-reconstruction."""

import argparse
import time
from typing import TYPE_CHECKING

from thaw.base.errors import ThawError
from thaw.base.files import check_target
from thaw.cli.commands import device_of, model_inputs, open_chosen

if TYPE_CHECKING:
    from thaw.data import ImageSet
    from thaw.model import Model


def encode_dataset(args: argparse.Namespace) -> None:
    """Encode both splits of an autoencoder's data set, once: a flow in its latent then trains without images."""
    import torch

    from thaw.autoencoder import statistics
    from thaw.store.inputs import check_autoencoder, latents_path, load_data
    from thaw.store.inputs import encode_dataset as encode

    torch.set_num_threads(args.threads)
    model = open_chosen(args, "autoencoder")
    check_autoencoder(model)
    for split in ("train", "test"):
        images = load_data(model.config, split)
        latents = encode(model.network, images, progress=True)
        mean, std = statistics(latents)
        print(f"{len(latents)} {split} latents {tuple(latents.shape[1:])}: {latents_path(model.network, images)}")
        print(f"  mean {float(mean.mean()):.3f}, standard deviation {float(std.min()):.3f} to {float(std.max()):.3f}")


def test(args: argparse.Namespace) -> None:
    """Classify images by Bayes' rule with a generator, and tell accuracy, calibration and bits per dimension."""
    import torch

    from thaw.base.files import write_json
    from thaw.likelihood import class_shares
    from thaw.scoring.bayes import classify

    if args.out is not None:
        args.out = check_target(args.out, ".json", inputs=model_inputs(args.model))
    torch.set_num_threads(args.threads)
    model = open_chosen(args).to(device_of(args.device))
    images = knowing(model, args.on)
    n = len(images) if args.n is None else args.n
    if not 1 <= n <= len(images):
        raise ThawError(f"-n must be between 1 and the {len(images)} images of {args.on}, got {n}")
    prior = class_shares(knowing(model, "train").labels, model.classes)
    started = time.perf_counter()
    names = ("route", "steps", "probes", "draws", "first", "seed")
    settings = {name: getattr(args, name) for name in names}
    found = classify(model, images.subset(n, args.seed), prior, progress=True, **settings)
    numbers = found.record() | {"split": args.on, "data": images.name, "seconds": time.perf_counter() - started}
    of = "dimension of the latent" if model.coder is not None else "pixel"
    print(f"accuracy           {100 * found.accuracy:.2f} % (+- {100 * found.accuracy_error:.2f}), n = {n}")
    print(f"calibration error  {100 * found.calibration_error:.2f} %")
    print(f"bits               {found.bits:.3f} per {of}, given the class ({found.route})")
    if args.out is not None:
        write_json(args.out, numbers | {"settings": settings, "confusion": found.confusion.tolist()})
        print(args.out)


def knowing(model: "Model", split: str) -> "ImageSet":
    """Return a split of the data set that a model was trained on, in the latent where it lives in one."""
    from thaw.store.inputs import load_data, load_latents

    if model.coder is None:
        return load_data(model.config, split)
    return load_latents(model.config, split, model.coder)


def test_reconstruction(args: argparse.Namespace) -> None:
    """Draw images of a split above their reconstructions, and tell the errors over all of it."""
    import torch

    from thaw.data.grids import save_grid
    from thaw.scoring.reconstruction import originals_above, score_reconstruction
    from thaw.store.inputs import check_autoencoder, load_data

    args.out = check_target(args.out, ".png", inputs=model_inputs(args.model))
    torch.set_num_threads(args.threads)
    model = open_chosen(args, "autoencoder").to(device_of(args.device))
    check_autoencoder(model)
    images = load_data(model.config, args.on)
    save_grid(args.out, *originals_above(model, images, args.height, args.width, args.seed), scale=args.scale)
    found = score_reconstruction(model, images)
    print(f"squared error      {found['mse']:.3f} an image (sum over pixels from 0 to 1), n = {len(images)}")
    print(f"absolute error     {found['l1']:.3f} an image")
    print(f"divergence         {found['kl']:.2f} nats an image (0: not variational)\n{args.out}")
