"""Destroying and restoring: one picture, damaged to a step t, and what each sampler makes of it."""

from collections.abc import Callable, Iterator

import torch
from PIL import Image
from torch import Tensor

from thaw.base import ThawError, check_images, generator, to_uint8
from thaw.model import Model
from thaw.play.pictures import Tile, as_picture, shown
from thaw.play.real import example_for
from thaw.prior import Prior
from thaw.process import Process
from thaw.sampling import SAMPLERS

WARM = 5  # restorations with a seed of their own
UNTRAINED = 3  # those of a hot prior
SPREAD = "spread of the\nwarm ones"


def ways(process: Process) -> dict[str, dict[str, object]]:
    """Return the restorations that suit a process: title -> settings of `Model.restore`."""
    named = {"direct": "direct"} | {f"Algorithm {n}": f"algorithm{n}" for n in (1, 2)}
    found = {title: {"sampler": name, "tau": SAMPLERS[name].restores_at(*process.tau)} for title, name in named.items()}
    if (tau := SAMPLERS["warm"].restores_at(*process.tau)) > 0:  # without noise it is Algorithm 2 once more
        found |= {f"warm, seed {seed}": {"sampler": "warm", "tau": tau, "seed": seed} for seed in range(WARM)}
    return {title: settings for title, settings in found.items() if settings["tau"] is not None}


def spread_of(images: Tensor) -> Tile:
    """Return the standard deviation of restorations (M, C, H, W) uint8 of one picture, pixel by pixel, as a heat map.

    From black, where all agree, to yellow, where they differ most; its text tells how much that is, of [-1, 1].
    """
    from matplotlib import colormaps

    spread = (images.double() / 127.5).std(dim=0).mean(dim=0)  # (H, W)
    most = float(spread.max())
    colours = colormaps["inferno"]((spread / max(most, 1e-6)).numpy(), bytes=True)[..., :3]
    return Tile(torch.from_numpy(colours.copy()).permute(2, 0, 1), SPREAD, f"0 to {most:.2f}")


def rows_of(tiles: list[Tile]) -> list[list[Tile]]:
    """Return tiles in rows: the original and the cold ones; the warm ones with their spread; those of a hot prior."""
    rows: list[list[Tile]] = [[], [], []]
    for tile in tiles:
        warm = tile.title.startswith("warm") or tile.title == SPREAD
        rows[2 if tile.title.startswith("hot prior") else warm].append(tile)
    return [row for row in rows if row]


def restorations(
    model: Model, picture: Tensor, t: int, label: int | None = None, seed: int = 0, true: bool = False,
    prior: Callable[[], Prior] | None = None,
) -> Iterator[tuple[list[Tile], int]]:  # fmt: skip
    """Destroy a picture and restore it every way that suits the model.

    Args:
        model: of pixels; see `ways`.
        picture: (1, C, H, W) in [-1, 1].
        t: how far, 1..T.
        label: the class, if the network is to be told.
        seed: of the damage; restorations have their own.
        true: whether they are to be `consistent`, and at T of a class that the damaged picture tells, if none is told.
        prior: gives a hot model of the same images as the prior, which was not trained on the damage.

    Yields:
        The tiles so far (original, damaged, one a way; last of all with SSIM and PSNR, and where there are warm ones
        with their spread), and how many ways there are.

    Raises:
        ThawError: for a t that is none, or anything but one picture.
    """
    check_images(picture, model.process.shape, 1)
    degradation = model.process.degradation
    if not 1 <= t <= degradation.steps:
        raise ThawError(f"t must be between 1 and T={degradation.steps}, got {t}")
    z = degradation.draw_z(1, generator(seed, "destroy"))
    x_t = degradation(picture, torch.tensor([t]), z)
    y = None if label is None else model.labels(1, label)
    untrained = range(0 if prior is None else UNTRAINED)
    original, found = to_uint8(picture), ways(model.process)
    tiles = [Tile(original[0], "original"), Tile(shown(x_t)[0], f"destroyed,\nt = {t} of {degradation.steps}")]
    total = len(found) + len(untrained)
    yield list(tiles), total
    steps = model.config.sample_steps if model.process.steps > 100 else None
    more = {"consistent": true, "infer": true and y is None and model.conditional and t == degradation.steps}
    for title, settings in found.items():
        restored = to_uint8(model.restore(x_t, t, y=y, z=z, eta=model.config.eta, steps=steps, **more, **settings))
        tiles.append(Tile(restored[0], title))
        yield list(tiles), total
    for k in untrained:
        restored = to_uint8(prior().restore(x_t, degradation, t, y=y, z=z, seed=k))
        tiles.append(Tile(restored[0], f"hot prior, seed {k}"))
        yield list(tiles), total
    from thaw.scoring import restoration  # torchmetrics takes seconds to import: the pictures come first

    for index, tile in enumerate(tiles[1:], start=1):
        scores = restoration(tile.image[None], original)
        similar = f"SSIM {scores['ssim'].value:.2f}\n" if "ssim" in scores else ""  # images smaller than its window
        tiles[index] = tile._replace(text=f"{similar}PSNR {scores['psnr'].value:.1f} dB")
    warm = [tile.image for tile in tiles if tile.title.startswith("warm")]
    if warm:
        tiles.append(spread_of(torch.stack(warm)))
    yield tiles, total


def restore(
    model: Model, picture: Tensor | None = None, t: int | None = None, label: int | None = None, seed: int = 0
) -> Image.Image:
    """Destroy a picture and return one figure of every restoration, with SSIM and PSNR.

    Args:
        model: of pixels; see `open_model`.
        picture: (1, C, H, W) in [-1, 1]; a real one of the model's data set by default.
        t: how far, 1..T; two thirds of the way by default.
        label: the class, if the network is to be told.
        seed: of the damage.
    """
    model.check_pixels()
    picture = example_for(model) if picture is None else picture
    t = max(1, round(2 * model.process.steps / 3)) if t is None else t
    *_, (tiles, _) = restorations(model, picture, t, label, seed)
    return as_picture(rows_of(tiles))
