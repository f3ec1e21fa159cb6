"""What a flow map is trained on: trajectories of its teacher, drawn once and kept, in parts."""

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from thaw.autoencoder import weights_hash
from thaw.base import ThawError, check_target, derive, digest_of, generator
from thaw.data import ImageSet
from thaw.experiment import Config
from thaw.flow_map import GRID, Paths, grid_of
from thaw.model import Model
from thaw.sampling import Sampling
from thaw.store.tensors import load_tensors, save_tensors
from thaw.store.weights import load_model

TRAJECTORIES = Path("contents/trajectories")
COUNT, PART = 30_000, 250  # trajectories of a teacher, and of a file, which share temperature and guidance
# Settings of a teacher, beside its weights and how it walks, that its trajectories depend on.
PROCESS = ("degradation", "options", "steps", "soften", "schedule", "prediction", "tau", "noise_in")
NULL = 0.05  # share of those of the null class


@dataclass(frozen=True)
class Trajectories(ImageSet):
    """Trajectories of a teacher, for the training loop in place of images: they need no data set.

    The images are states from T down to 0, (N, G + 1, C, H, W) fp16; among the labels is K, the null class.
    """

    paths: Paths | None = None  # the same, with temperature, guidance weight and z of each
    teacher: Model | None = None  # what walked them
    drawn: dict[str, Any] | None = None  # what tells them, by which a run knows its data

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one state."""
        return tuple(self.images.shape[2:])

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The teacher's checksum and how it was walked."""
        return {"classes": self.classes, "names": [], "images": len(self), "digest": digest_of(self.drawn)}

    def pixels(self, index: Tensor | slice = slice(None)) -> Paths:
        """Return trajectories as they are.  (n,) indices -> n of them"""
        return self.paths[index]


def teacher_of(config: Config) -> Model:
    """Return the teacher of a flow map, its noise carried along and none added: the same jump has one end only.

    Raises:
        ThawError: for a model that nothing can be distilled from, or a configuration of another process or data set.
    """
    teacher = load_model(config.start_from)
    if teacher.process.flow_map or teacher.coder is not None or not teacher.conditional:
        raise ThawError(
            f"{config.start_from} is no teacher for fast weights: a network of pixels that is told the class, and not "
            "fast itself"
        )
    for name in (*PROCESS, "data_name"):
        ours, theirs = (getattr(one, name) for one in (config, teacher.config))
        if ours != theirs:
            text = f"{name} is {theirs!r} of {config.start_from} and {ours!r} here"
            raise ThawError(f"fast weights undo what their teacher undoes: {text}; leave it as it is")
    return teacher


def walking(teacher: Model) -> Sampling:
    """Return how a teacher walks: as it samples, with eta 0, in a multiple of the grid's steps near to its own."""
    T, own = teacher.process.steps, teacher.sampling
    wanted = GRID * max(1, round((own.steps or T) / GRID))
    return own.replace(sampler="warm", eta=0.0, steps=wanted if wanted <= T else T if T < GRID else GRID)


def load_trajectories(config: Config, folder: Path = TRAJECTORIES, progress: bool = True) -> Trajectories:
    """Return the trajectories that a configuration is trained on; what is not kept yet is drawn.

    Half of the parts are at the teacher's own temperature and guidance each, the others anywhere in the trained range.
    A run that ends within goes on with the part it was at.

    Args:
        config: of a flow map; `limit` trajectories, 30,000 by default.
        folder: of the cache; a file's name tells the teacher and how it was walked.
        progress: show a progress bar.

    Raises:
        ThawError: as `teacher_of`, or if they cannot be kept.
    """
    teacher, count = teacher_of(config), config.limit or COUNT
    sampling = walking(teacher)
    drawn = {"teacher": weights_hash(teacher.network.state_dict()), "flow_map": list(config.flow_map)}
    drawn |= {name: value for name, value in teacher.config.model_dump(mode="json").items() if name in PROCESS}
    drawn |= {"sampling": asdict(sampling), "seed": config.seed, "part": PART}
    kept = folder / digest_of(drawn)
    check_target(kept / "0000.pt", ".pt")
    numbers = range(-(-count // PART))
    parts = [_part(kept / f"{number:04d}.pt", number, teacher, sampling, config)
             for number in tqdm(numbers, disable=not progress, desc="trajectories", unit="part")]  # fmt: skip
    x, tau, guidance, z, y = (
        None if parts[0][name] is None else torch.cat([part[name] for part in parts])[:count]
        for name in ("x", "tau", "guidance", "z", "y")
    )
    more = {"paths": Paths(x, tau, guidance, z), "teacher": teacher, "drawn": drawn}
    return Trajectories(teacher.config.data_name, "train", x, y, teacher.classes, **more)


def _part(path: Path, number: int, teacher: Model, sampling: Sampling, config: Config) -> dict[str, Any]:
    """Return one part of the trajectories, read or drawn."""
    grid = set(grid_of(teacher.process.steps))
    with contextlib.suppress(ThawError, KeyError, AttributeError):  # not there, or damaged
        known = load_tensors(path)
        whole = [PART, len(grid), *teacher.process.shape]
        if [*known["x"].shape] == whole and all(len(known[name]) == PART for name in ("y", "tau", "guidance")):
            return {name: known[name] for name in ("x", "y", "z", "tau", "guidance")}
    draws, K = generator(config.seed, "trajectories", number), teacher.classes
    y = torch.randint(max(1, K), (PART,), generator=draws)
    y = torch.where(torch.rand(PART, generator=draws) < NULL, K, y)
    (low, high), (coldest, hottest) = config.flow_map, teacher.process.tau
    which, where, warmth = torch.rand(3, generator=draws).tolist()
    guidance = sampling.guidance if which < 0.5 else low + (high - low) * where
    ends = min(1.0, max(0.0, 1.5 * warmth - 0.25))  # as `Process.draw`
    tau = sampling.tau if which < 0.25 or which >= 0.75 else coldest + (hottest - coldest) * ends
    seed = derive(config.seed, "trajectory", number)
    tau, guidance = round(tau, 3), round(guidance, 3)
    own = {"sampler": "warm", "eta": 0.0, "steps": sampling.steps, "tau": tau, "guidance": guidance}
    x = torch.stack([step.x_t.half() for step in teacher.trajectory(y, seed=seed, **own) if step.t in grid], dim=1)
    z = teacher.start(y, generator(seed, "sample")).z
    part = {"x": x, "y": y, "z": z, "tau": torch.full((PART,), tau), "guidance": torch.full((PART,), guidance)}
    save_tensors(path, part)
    return part
