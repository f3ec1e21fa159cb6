"""What a network tells: process, network and terminal together give x0_hat at any step, and where to begin."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from thaw.autoencoder import Coder
from thaw.base import ThawError
from thaw.flow_map import FlowMap
from thaw.process import Process
from thaw.sampling import Restore, Sampling, Step, check_interval, guided_at, reverse
from thaw.start import Start
from thaw.terminal import Terminal


@dataclass
class Denoiser:
    """What is needed to sample: no data set, no optimiser.

    Attributes:
        process: forward process, on the network's device.
        network: raw network in evaluation mode.
        terminal: where sampling starts (CPU).
        classes: number of classes K; label K is the null class.
        sampling: how it draws unless told otherwise.
        conditional: whether the network was trained to draw the class it is asked for.
        coder: what turns latents into images, for a flow in a latent; its process and network know only latents.
        config: the experiment that it comes from, for the record; nothing here reads it.
        epoch: training epochs behind the weights.
        info: provenance: file, sha256, training seconds and the like.
    """

    process: Process
    network: nn.Module
    terminal: Terminal
    classes: int
    sampling: Sampling = field(default_factory=Sampling)
    conditional: bool = True
    coder: Coder | None = None
    config: Any = None
    epoch: int = 0
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """The device of the process and the network."""
        return self.process.sigma.device

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the images it draws."""
        return self.process.shape if self.coder is None else self.coder.shape

    def decode(self, x: Tensor) -> Tensor:
        """Return the images of what the process ends with: the same, or those of latents.  (B, C, H, W)"""
        return x if self.coder is None else self.coder.decode(x)

    def check_pixels(self) -> None:
        """Raise a `ThawError` for a flow in a latent, which knows no degraded pictures."""
        if self.coder is not None:
            raise ThawError("this model draws in a latent; only models of pixels restore or fill in pictures")

    def to(self, device: torch.device | str) -> "Denoiser":
        """Move process and network to a device; returns self."""
        for part in (self.process, self.network, self.coder):
            if part is not None:
                part.to(device)
        return self

    def labels(self, n: int, digit: int | None = None) -> Tensor:
        """Return `n` labels: all of one class, or the classes in turn 0, 1, ..., K-1, 0, ...  (n,) int64

        Raises:
            ThawError: for fewer than one, or a digit that is none of the classes 0..K-1; the null class is no digit.
        """
        if n < 1:
            raise ThawError(f"at least one image is drawn, got n={n}")
        if digit is None:
            return torch.arange(n) % max(1, self.classes)
        if self.classes == 0:
            raise ThawError(f"this model knows no classes; leave the digit {digit} out")
        if digit not in range(self.classes):
            raise ThawError(f"digit must be between 0 and {self.classes - 1}, got {digit}")
        return torch.full((n,), digit)

    def check_labels(self, y: Tensor) -> None:
        """Raise a `ThawError` unless y (B,) holds classes 0..K-1, or K for the null class, as whole numbers, B > 0."""
        if y.ndim != 1 or not len(y) or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise ThawError(f"labels are whole numbers (B,), got {y.dtype} {tuple(y.shape)}")
        wrong = y[(y < 0) | (y > self.classes)]
        if len(wrong):
            known = f"0 to {self.classes - 1}, or {self.classes} for the null class" if self.classes else "0 only"
            raise ThawError(f"the labels of this model are {known}; got {int(wrong[0])}")

    def restorer(self, y: Tensor, sampling: Sampling, start: int | None = None, seen: Tensor | None = None) -> Restore:
        """Return `restore(x_t, t) -> x0_hat`, clipped as the process says, for labels y (B,).

        Guidance w gives u + w (c - u), with c the conditional and u the null-class prediction
        (Ho & Salimans 2022); w = 1 is off and costs one evaluation instead of two. It acts where t/T lies
        in the interval (Kynkäänniemi et al. 2024), the ends included; t must be alike in the batch. A flow map is told
        the weight, and where each step goes: to the next of those that are visited.

        Args:
            y: class labels.
            sampling: its temperature and guidance; of a flow map the visited steps too.
            start: the step that the walk begins at, T by default.
            seen: (B, C, H, W), the degraded pictures without noise, for a network that observes them.

        Raises:
            ThawError: for labels that the model does not know, or no interval; for a flow map, guidance that it was
                not trained for.
        """
        tau, guidance, interval = sampling.tau, sampling.guidance, sampling.guidance_interval
        after = dict(pairwise(sampling.visited(self.process, start)))
        check_interval(interval)
        if not 0 <= guidance < math.inf:
            raise ThawError(f"guidance must be 0 or more, got {guidance}")
        if isinstance(self.process, FlowMap):
            self.process.share(torch.tensor([guidance]))
            known = tuple(self.sampling.guidance_interval)
            if guidance != 1 and tuple(interval) != known:
                raise ThawError(f"these weights were trained for guidance_interval {known}, got {tuple(interval)}")
        self.check_labels(y)
        y = y.to(self.device)
        null = torch.full_like(y, self.classes)

        @torch.no_grad()
        def restore(x_t: Tensor, t: Tensor) -> Tensor:
            if self.process.flow_map:
                return self.process.clip(self.jump(x_t, t, after[int(t[0])], y, tau, guidance))
            conditional = self.denoise(x_t, t, y, tau, seen)
            if guidance != 1.0 and guided_at(int(t[0]), self.process.steps, interval):
                unconditional = self.denoise(x_t, t, null, tau, seen)
                conditional = unconditional + guidance * (conditional - unconditional)
            return self.process.clip(conditional)

        return restore

    def denoise(self, x_t: Tensor, t: Tensor, y: Tensor, tau: float = 1.0, seen: Tensor | None = None) -> Tensor:
        """Return the network's x0_hat for labels y (B,), not clipped; gradients flow.  (B, C, H, W)

        Raises:
            ThawError: for a flow map, which knows no x0_hat, only where it jumps to.
        """
        if self.process.flow_map:
            raise ThawError("fast weights only jump from step to step; take their teacher for this")
        temperature = torch.full((len(x_t),), float(tau), device=x_t.device)
        output = self.network(x_t, self.process.time(t), temperature, y, *([] if seen is None else [seen]))
        return self.process.predict(output, x_t, t, temperature)

    def jump(self, x_t: Tensor, t: Tensor, s: int, y: Tensor, tau: float, guidance: float) -> Tensor:
        """Return F of a flow map's jump to step s, in place of x0_hat; not clipped.  (B, C, H, W)"""
        temperature, weight = (torch.full((len(x_t),), float(value), device=x_t.device) for value in (tau, guidance))
        return self.process.evaluate(self.network, x_t, t, torch.full_like(t, s), temperature, y, weight)

    def posterior(self, x_T: Tensor) -> Tensor:
        """Return p(y | x_T) of fully degraded pictures without noise, from the numbers that survive in them.

        The terminal knows how these are distributed in each class: Bayes' rule, and no network.

        Args:
            x_T: D_T(x0; z), (B, C, H, W).

        Returns:
            (B, K) float64, on the CPU.

        Raises:
            ThawError: for a model that is not told the class.
        """
        if not self.conditional:
            raise ThawError("this model is not told the class, so that there is none to infer")
        coordinates = self.process.degradation.coordinates(x_T.to(self.device))
        return self.terminal.posterior(coordinates.cpu(), self.classes)

    def start(self, y: Tensor, draws: torch.Generator) -> Start:
        """Draw where the trajectories for labels y (B,) begin, on the model's device, as `check_labels` allows."""
        self.check_labels(y)
        z = self.process.degradation.draw_z(len(y), draws)
        coordinates = self.terminal.sample(y, draws)
        return Start(coordinates, torch.randn(len(y), *self.process.shape, generator=draws), z).to(self.device)

    def begin(self, start: Start, tau: float) -> Tensor:
        """Return x_T of a start at temperature tau.  (B, C, H, W)"""
        clean = self.process.degradation.from_coordinates(start.coordinates, start.z)
        return self.noisy(clean, self.process.steps, tau, start.noise, start.z)

    def noisy(self, x_t: Tensor, t: int, tau: float, noise: Tensor, z: Tensor | None = None) -> Tensor:
        """Return x_t + tau sigma_t noise, shaped as the process shapes it.  (B, C, H, W)"""
        here = torch.full((len(x_t),), t, device=self.device)
        return x_t + tau * float(self.process.sigma[t]) * self.process.shaped(noise, here, z)

    def walk(self, restore: Restore, x: Tensor, sampling: Sampling, **more: Any) -> Iterator[Step]:
        """Return `thaw.sampling.reverse` with these settings, and `more` of them."""
        if self.process.flow_map and sampling.order != 1:
            raise ThawError(f"fast weights jump without a corrector: order must be 1, got {sampling.order}")
        return reverse(self.process, restore, x, **sampling.walking(), **more)
