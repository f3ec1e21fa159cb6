"""A model: what draws, restores and fills in pictures, by what its network tells."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from thaw.base import ThawError, check_images, derive, generator
from thaw.consistency import fitted, with_known, with_measured
from thaw.denoiser import Denoiser
from thaw.sampling import SAMPLERS, Restore, Sampling, Step, final
from thaw.start import Start

PAIRS = ((3, 8), (4, 9))  # digits that look alike
RESTORING = Sampling(tau=0.0, eta=1.0)  # given pictures are restored cold, by all steps, unless told otherwise


class Model(Denoiser):
    """What draws: from the terminal, from a start of one's own, between classes, around known pixels, or back from D_t.

    Its parts are those of `thaw.denoiser.Denoiser`.
    """

    def columns(self, most: int = 10) -> int:
        """Return how many columns a grid of labels in turn takes: with at most `most` classes, each is of one class."""
        return most // self.classes * self.classes if 0 < self.classes <= most else most

    def shown(self, walk: Iterator[Step]) -> Iterator[Step]:
        """Return a trajectory with every state decoded, see `decode`."""
        return (Step(step.t, self.decode(step.x_t), self.decode(step.x0_hat)) for step in walk)

    def trajectory(
        self,
        y: Tensor,
        *,
        seed: int = 0,
        start: Start | None = None,
        known: tuple[Tensor, Tensor] | None = None,
        decoded: bool = True,
        **settings: Any,
    ) -> Iterator[Step]:
        """Return the generator of `Step`s that draws one image for each label; see `thaw.sampling.reverse`.

        It begins at `start`, drawn from `seed` by default. `known` = (pixels, mask) fixes a region, see `inpaint`.
        The states of a flow in a latent are images once `decoded`.
        `settings` replace parts of `self.sampling`, see `Sampling.replace`.
        """
        sampling = self.sampling.replace(**settings)
        draws = generator(seed, "sample")
        self.network.eval()
        drawn = self.start(y, draws)  # drawn in any case: fresh noise does not depend on where it began
        start = drawn if start is None else start
        restore = self.restorer(y, sampling)
        if known is not None:
            restore = with_known(restore, *(part.to(self.device) for part in known))
        walk = self.walk(restore, self.begin(start, sampling.tau), sampling, z=start.z, generator=draws)
        return self.shown(walk) if decoded else walk

    def restore(
        self, x_t: Tensor, t: int, *, y: Tensor | None = None, z: Tensor | None = None, seed: int = 0,
        infer: bool = False, consistent: bool = False, **settings: Any,
    ) -> Tensor:  # fmt: skip
        """Restore given degraded pictures; with tau > 0, different seeds give different restorations.

        Args:
            x_t: D_t(x0; z) without noise, (B, C, H, W) in [-1, 1].
            t: the step they stand at, 1..T.
            y: class labels (B,); the null class by default.
            z: the z they were degraded with; at T those of some degradations tell it, see `Degradation.z_from`.
            seed: of the noise.
            infer: at T, tell the network classes that `posterior` finds: drawn at tau > 0, else the likeliest; by one
                step, the mean over all of them.
            consistent: move every guess to where D_t makes x_t of it, see `thaw.consistency.fitted`.
            settings: of `Sampling`, in place of tau 0, eta 1, all steps, no guidance; noise tau sigma_t is added here.

        Returns:
            (B, C, H, W) in [-1, 1].

        Raises:
            ThawError: for a flow in a latent, which knows no degraded pictures, pictures of another shape, or classes
                that cannot be inferred or are not one a picture.
        """
        self.check_pixels()
        check_images(x_t, self.shape)
        if y is not None and len(y) != len(x_t):
            raise ThawError(f"{len(x_t)} pictures take as many labels, got {len(y)}")
        draws = generator(seed, "restore")
        sampling = RESTORING.replace(**settings)
        if infer:
            if y is not None or t != self.process.steps:
                given = f"t={t}" if y is None else "classes that were told"
                raise ThawError(f"classes that are not told are inferred at T={self.process.steps}; got {given}")
            p = self.posterior(x_t)
            y = torch.multinomial(p, 1, generator=draws)[:, 0] if sampling.tau else p.argmax(dim=1)
        y = torch.full((len(x_t),), self.classes) if y is None else y
        noise = torch.randn(x_t.shape, generator=draws).to(self.device)
        x_t, z = x_t.to(self.device), None if z is None else z.to(self.device)
        if z is None and t == self.process.steps:
            z = self.process.degradation.z_from(x_t)
        noisy = self.noisy(x_t, t, sampling.tau, noise, z)
        self.network.eval()
        how = sampling, t, x_t if self.process.observed else None
        restore = self.restorer(y, *how)
        if infer and not SAMPLERS[sampling.sampler].many:
            restore = self._expected([self.restorer(torch.full_like(y, k), *how) for k in range(self.classes)], p)
        if not consistent:
            return final(self.walk(restore, noisy, sampling, start=t, z=z, generator=draws)).cpu()
        measured = self.measured(x_t, t, z)
        restore = with_measured(restore, *measured, rounds=2, iterations=4)
        return fitted(final(self.walk(restore, noisy, sampling, start=t, z=z, generator=draws)), *measured).cpu()

    def measured(self, x_t: Tensor, t: int, z: Tensor | None) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """Return D_t(.; z), and what it made of the images that are sought, on the model's device, for `fitted`."""
        here, z = torch.full((len(x_t),), t, device=self.device), None if z is None else z.to(self.device)
        return partial(self.process.degradation, t=here, z=z), x_t.to(self.device)

    def _expected(self, restorers: list[Restore], p: Tensor) -> Restore:
        """Return the mean of a restorer for each class, weighted by p (B, K)."""
        shares = p.float().to(self.device).mT[..., None, None, None]  # (K, B, 1, 1, 1)
        return lambda x_t, t: sum(share * restore(x_t, t) for share, restore in zip(shares, restorers, strict=True))

    def interpolate(self, y: Tensor, weights: Tensor, *, seeds: tuple[int, int] = (0, 1), **settings: Any) -> Tensor:
        """Draw images from starts on the way from one to another.

        Args:
            y: class labels (N,).
            weights: (N,), 0 for the start of the first seed to 1 for that of the second.
            seeds: of the two starts.
            settings: as for `trajectory`; eta is 0 unless given, so that only the start differs.

        Returns:
            (N, C, H, W) in [-1, 1].

        Raises:
            ThawError: if there is not one weight in [0, 1] for each label.
        """
        if weights.shape != y.shape or not bool(((weights >= 0) & (weights <= 1)).all()):
            raise ThawError(f"interpolation needs one weight in [0, 1] for each of the {len(y)} labels, got {weights}")
        one, other = (self.start(y[:1], generator(seed, "sample")) for seed in seeds)
        start = one.expand(len(y)).towards(other.expand(len(y)), weights.to(self.device))
        sampling = self.sampling.replace(**{"eta": 0.0, **settings})
        if SAMPLERS[sampling.sampler].eta:  # fresh noise that cannot be switched off
            settings["sampler"] = "warm"
        return self.decode(final(self.trajectory(y, start=start, decoded=False, **{"eta": 0.0, **settings}))).cpu()

    def class_pairs(self) -> list[tuple[int, int]]:
        """Return two pairs of classes to blend; of few classes the first and the last; none where there are not two."""
        if not self.conditional or self.classes < 2:
            return []
        return [pair for pair in PAIRS if max(pair) < self.classes] or [(0, self.classes - 1)]

    def blend(
        self, digits: tuple[int, int], columns: int = 9, rows: int = 1, *, seed: int = 0, **settings: Any
    ) -> Iterator[Step]:
        """Draw pictures between two classes: x0_hat = (1 - w) f(x_t, t, a) + w f(x_t, t, b), w from 0 to 1 along a row.

        The start is mixed alike; all pictures of a row share their noise and their z. Sampling is
        deterministic (eta = 0, which is Algorithm 2 at tau = 0), or the pictures of a row would not belong together.

        Args:
            digits: the classes (a, b), each in 0..K-1.
            columns: how many shares w, the ends included; at least 2.
            rows: how many such rows.
            seed: every row draws its own start from it.
            settings: tau, steps, guidance and guidance_interval, as for `trajectory`.

        Yields:
            `Step`s of (rows * columns, C, H, W), row by row.

        Raises:
            ThawError: for a model that is not told the class, an unknown class, or fewer than two columns.
        """
        if not self.conditional:
            raise ThawError("this model is not told the class, so that there is nothing to blend")
        if columns < 2 or rows < 1:
            raise ThawError(f"a blend takes at least 2 columns and 1 row, got {columns} and {rows}")
        sampling = self.sampling.replace(**settings).replace(sampler="warm", eta=0.0, order=1)
        self.network.eval()

        def spread(x: Tensor) -> Tensor:
            return x.repeat_interleave(columns, dim=0)

        share = torch.linspace(0, 1, columns, device=self.device).repeat(rows)[:, None, None, None]
        ends = [self.labels(rows, digit) for digit in digits]
        starts = [self.start(y, generator(seed, "sample")) for y in ends]  # the same noise twice
        x_a, x_b = (self.begin(start, sampling.tau) for start in starts)
        f_a, f_b = (self.restorer(spread(y), sampling) for y in ends)

        def restore(x_t: Tensor, t: Tensor) -> Tensor:
            return torch.lerp(f_a(x_t, t), f_b(x_t, t), share)

        z = starts[0].z
        start = torch.lerp(spread(x_a), spread(x_b), share)
        return self.shown(self.walk(restore, start, sampling, z=None if z is None else spread(z)))

    def inpaint(self, pixels: Tensor, mask: Tensor, y: Tensor, **settings: Any) -> Tensor:
        """Fill in the unknown part of pictures: every restoration gets the known pixels in place of its own.

        Args:
            pixels: (B, C, H, W) in [-1, 1]; what it holds where the mask is False does not matter.
            mask: bool, True where pixels are known, broadcastable to (B, C, H, W).
            y: class labels (B,); K for the null class.
            settings: as for `trajectory`; different seeds fill in differently.

        Returns:
            (B, C, H, W) in [-1, 1], equal to `pixels` where they are known.

        Raises:
            ThawError: if the mask does not fit, or for a flow in a latent.
        """
        try:
            mask = mask.bool().expand(pixels.shape)
        except RuntimeError:
            raise ThawError(f"a mask of shape {tuple(mask.shape)} does not fit pixels {tuple(pixels.shape)}") from None
        self.check_pixels()
        check_images(pixels, self.process.shape)
        filled = final(self.trajectory(y, known=(pixels, mask), **settings)).cpu()
        return torch.where(mask, pixels, filled)  # Algorithm 2 carries its start's difference from them to the end

    def sample(self, y: Tensor, *, seed: int = 0, batch: int = 250, progress: bool = False, **settings: Any) -> Tensor:
        """Draw one image for each label, in batches.

        Args:
            y: (N,) int64 labels; K draws from the null class.
            seed: every batch derives its own stream from it.
            batch: images at once (part of what the seed means: change it and the images change).
            progress: show a progress bar.
            settings: as for `trajectory`.

        Returns:
            (N, C, H, W) float32 in [-1, 1] on the CPU.
        """
        parts = []
        for index, labels in enumerate(tqdm(y.split(batch), disable=not progress, desc="sampling", unit="batch")):
            stream = derive(seed, "batch", index) if index else seed  # the first batch equals `trajectory`
            parts.append(self.decode(final(self.trajectory(labels, seed=stream, decoded=False, **settings))).cpu())
        return torch.cat(parts)
