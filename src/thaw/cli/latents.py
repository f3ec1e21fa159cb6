"""The verbs around a latent: encode-dataset, test, test-reconstruction."""

import time

import torch

from thaw.base import ThawError, check_target, write_json
from thaw.cli import options as o
from thaw.cli.naming import BY_NAME, HERE, Computing, Named, model_inputs, open_chosen
from thaw.data import save_grid
from thaw.store import inputs


def encode_dataset(
    model: o.ModelName = None, /, *, epoch: o.Epoch = None, named: Named = BY_NAME, threads: o.Threads = 1
) -> None:
    """Encode both splits of an autoencoder's data set, once: a flow in its latent then trains without images."""
    from thaw.autoencoder import statistics

    torch.set_num_threads(threads)
    coder = open_chosen(model, epoch, named, "autoencoder")
    inputs.check_autoencoder(coder)
    for split in ("train", "test"):
        images = inputs.load_data(coder.config, split)
        latents = inputs.encode_dataset(coder.network, images, progress=True)
        mean, std = statistics(latents)
        path = inputs.latents_path(coder.network, images)
        print(f"{len(latents)} {split} latents {tuple(latents.shape[1:])}: {path}")
        print(f"  mean {float(mean.mean()):.3f}, standard deviation {float(std.min()):.3f} to {float(std.max()):.3f}")


def test(
    model: o.ModelName = None, /, *, epoch: o.Epoch = None, named: Named = BY_NAME, computing: Computing = HERE,
    on: o.OneOf = "test", n: o.Classified = None, route: o.Route = None, steps: o.Solver = 10, probes: o.Probes = None,
    draws: o.Draws = 50, first: o.First = None, out: o.Numbers = None,
) -> None:  # fmt: skip
    """Classify images by Bayes' rule with a generator, and tell accuracy, calibration and bits per dimension."""
    from thaw.likelihood import class_shares
    from thaw.scoring import classify

    target = None if out is None else check_target(out, ".json", inputs=model_inputs(model))
    opened = computing.open(model, epoch, named)
    images, train = (inputs.load_data(opened.config, split, coder=opened.coder) for split in (on, "train"))
    n = len(images) if n is None else n
    if not 1 <= n <= len(images):
        raise ThawError(f"-n must be between 1 and the {len(images)} images of {on}, got {n}")
    prior = class_shares(train.labels, opened.classes)
    settings = {"route": route, "steps": steps, "probes": probes, "draws": draws, "first": first}
    settings |= {"seed": computing.seed}
    started = time.perf_counter()
    found = classify(opened, images.subset(n, computing.seed), prior, progress=True, **settings)
    numbers = found.record() | {"split": on, "data": images.name, "seconds": time.perf_counter() - started}
    of = "dimension of the latent" if opened.coder is not None else "pixel"
    print(f"accuracy           {100 * found.accuracy:.2f} % (+- {100 * found.accuracy_error:.2f}), n = {n}")
    print(f"calibration error  {100 * found.calibration_error:.2f} %")
    print(f"bits               {found.bits:.3f} per {of}, given the class ({found.route})")
    if target is not None:
        write_json(target, numbers | {"settings": settings, "confusion": found.confusion.tolist()})
        print(target)


def test_reconstruction(
    model: o.ModelName = None, /, *, epoch: o.Epoch = None, named: Named = BY_NAME, computing: Computing = HERE,
    on: o.OneOf = "test", height: o.Height = 8, width: o.Width = 8, scale: o.Scale = 3,
    out: o.Out = "contents/reconstruction.png",
) -> None:  # fmt: skip
    """Draw images of a split above their reconstructions, and tell the errors over all of it."""
    from thaw.scoring import originals_above, score_reconstruction

    target = check_target(out, ".png", inputs=model_inputs(model))
    coder = computing.open(model, epoch, named, "autoencoder")
    inputs.check_autoencoder(coder)
    images = inputs.load_data(coder.config, on)
    save_grid(target, *originals_above(coder, images, height, width, computing.seed), scale=scale)
    found = score_reconstruction(coder, images)
    print(f"squared error      {found['mse']:.3f} an image (sum over pixels from 0 to 1), n = {len(images)}")
    print(f"absolute error     {found['l1']:.3f} an image")
    print(f"divergence         {found['kl']:.2f} nats an image (0: not variational)\n{target}")
