"""What the recipe search tries and the package does not keep: preconditioning, network variants, optimisers."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.networks import build
from thaw.networks.blocks import ACTIVATIONS, Condition, SelfAttention
from thaw.process import Process
from thaw.training.optimisers import timm_muon


class Denoiser(nn.Module):
    """A network behind a preconditioning: x0_hat = A x_t + B F(c x_t), for x_t = alpha x0 + s eps.

    x0: A = 0, B = 1.  eps: A = 1 / alpha, B = -s / alpha.  v (alpha eps - s x0) and velocity (eps - x0):
    the same algebra.  edm: Karras et al. 2022 with data of standard deviation `std`.
    """

    def __init__(self, network: nn.Module, process: Process, prediction: str, std: float) -> None:
        super().__init__()
        self.network, self.prediction, self.std = network, prediction, std
        self.register_buffer("sigma", process.sigma.float(), persistent=False)
        scale = process.degradation.alpha(torch.arange(process.steps + 1)).float()
        self.register_buffer("alpha", scale, persistent=False)

    def factors(self, t: Tensor, tau: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return A, B and c for each image, (B,)."""
        a, s = self.alpha[t], tau * self.sigma[t]
        one = torch.ones_like(s)
        if self.prediction == "eps":
            a = a.clamp(min=1e-2)
            return 1 / a, -s / a, one
        if self.prediction == "v":
            return a / (a**2 + s**2), -s / (a**2 + s**2), one
        if self.prediction == "velocity":
            return 1 / (a + s), -s / (a + s), one
        if self.prediction == "edm":
            total = (a * self.std) ** 2 + s**2
            return a * self.std**2 / total, -s * self.std / total.sqrt(), 1 / total.sqrt()
        return torch.zeros_like(s), one, one

    def forward(self, x_t: Tensor, time: Tensor, tau: Tensor, y: Tensor) -> Tensor:
        t = (time * (len(self.sigma) - 1)).round().long()
        A, B, c = (part[:, None, None, None] for part in self.factors(t, tau))
        return A * x_t + B * self.network(c * x_t, time, tau, y)

    def weight(self, t: Tensor, tau: Tensor, kind: str) -> Tensor:
        """Return the weight of the squared error of x0_hat: `uniform` in the network's output, ..."""
        a, s = self.alpha[t], tau * self.sigma[t]
        if kind == "uniform":
            return self.factors(t, tau)[1].square().clamp(min=1e-8).reciprocal()
        if kind == "min_snr":
            return (a / s).square().clamp(max=5.0)
        if kind == "velocity":
            return ((a + s) / s.clamp(min=0.05)).square()
        if kind == "x0":
            return torch.ones_like(s)
        raise ValueError(kind)


class ChannelNorm(nn.Module):
    """Root-mean-square norm over the channels of every pixel, with a learned scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, h: Tensor) -> Tensor:
        return h * self.scale * (h.square().mean(dim=1, keepdim=True) + 1e-5).rsqrt()


class Separable(nn.Sequential):
    """A depthwise 5 x 5 convolution and a 1 x 1."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(nn.Conv2d(c_in, c_in, 5, padding=2, groups=c_in), nn.Conv2d(c_in, c_out, 1))

    @property
    def weight(self) -> Tensor:
        return self[1].weight


def _replace(network: nn.Module, kind: type[nn.Module], make: Any) -> None:
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if type(child) is kind and (new := make(child)) is not None:
                setattr(module, name, new)


class Attentive(nn.Module):
    """A residual block with self-attention after it."""

    def __init__(self, block: nn.Module, channels: int) -> None:
        super().__init__()
        self.block, self.after = block, SelfAttention(channels)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        return self.after(self.block(h, condition))


class Block(nn.Module):
    """A transformer block with adaptive layer norm (Peebles & Xie 2023)."""

    def __init__(self, dim: int, condition: int, head: int = 32) -> None:
        super().__init__()
        self.heads = max(1, dim // head)
        self.norm1, self.norm2 = (nn.LayerNorm(dim, elementwise_affine=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.modulation = nn.Linear(condition, 6 * dim)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        B, N, C = h.shape
        a1, b1, g1, a2, b2, g2 = self.modulation(condition)[:, None].chunk(6, dim=2)
        qkv = self.qkv(self.norm1(h) * (1 + a1) + b1).reshape(B, N, 3, self.heads, C // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(B, N, C)
        h = h + g1 * self.out(mixed)
        return h + g2 * self.down(F.gelu(self.up(self.norm2(h) * (1 + a2) + b2)))


class Transformer(nn.Module):
    """A small diffusion transformer over `patch` x `patch` tokens."""

    def __init__(self, shape: tuple[int, int, int], classes: int, dim: int, depth: int, patch: int) -> None:
        super().__init__()
        C, H, W = shape
        self.patch, self.grid = patch, (H // patch, W // patch)
        self.condition = Condition(2 * dim, classes)
        self.stem, self.head = nn.Linear(C * patch**2, dim), nn.Linear(dim, C * patch**2)
        self.place = nn.Parameter(0.02 * torch.randn(1, self.grid[0] * self.grid[1], dim))
        self.blocks = nn.ModuleList(Block(dim, 2 * dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor, time: Tensor, tau: Tensor, y: Tensor) -> Tensor:
        condition = self.condition(time, tau, y)
        h = self.stem(F.pixel_unshuffle(x, self.patch).flatten(2).transpose(1, 2)) + self.place
        for block in self.blocks:
            h = block(h, condition)
        h = self.head(self.norm(h)).transpose(1, 2).reshape(len(x), -1, *self.grid)
        return F.pixel_shuffle(h, self.patch)


class Diffusers(nn.Module):
    """diffusers' UNet2DModel (of its training tutorial, or smaller), on images padded to 32 x 32."""

    def __init__(self, classes: int, **options: Any) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        self.classes = classes
        self.unet = UNet2DModel(sample_size=32, in_channels=1, out_channels=1, num_class_embeds=classes + 1, **options)

    def forward(self, x: Tensor, time: Tensor, tau: Tensor, y: Tensor) -> Tensor:
        padded = F.pad(x, (2, 2, 2, 2), value=0.0)
        return self.unet(padded, time * 1000, class_labels=y).sample[..., 2:-2, 2:-2]


class Lucidrains(nn.Module):
    """denoising-diffusion-pytorch's class-conditional Unet, on images padded to 32 x 32."""

    def __init__(self, classes: int, **options: Any) -> None:
        super().__init__()
        from denoising_diffusion_pytorch.classifier_free_guidance import Unet

        self.classes = classes
        self.unet = Unet(num_classes=classes, channels=1, cond_drop_prob=0.0, **options)

    def forward(self, x: Tensor, time: Tensor, tau: Tensor, y: Tensor) -> Tensor:
        padded = F.pad(x, (2, 2, 2, 2), value=0.0)
        unet, known = self.unet, y < self.classes
        table = torch.cat([unet.classes_emb.weight, unet.null_classes_emb[None]])
        original = unet.classes_emb.forward
        unet.classes_emb.forward = lambda labels: F.embedding(torch.where(known, labels, self.classes), table)
        try:
            return unet(padded, time * 1000, y.clamp(max=self.classes - 1), cond_drop_prob=0.0)[..., 2:-2, 2:-2]
        finally:
            unet.classes_emb.forward = original


def make_network(settings: dict[str, Any], shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network of a trial."""
    options = dict(settings["network"])
    kind = options.pop("kind", "unet")
    if kind == "transformer":
        return Transformer(shape, classes, **options)
    if kind == "diffusers":
        return Diffusers(classes, **options)
    if kind == "lucidrains":
        return Lucidrains(classes, **options)
    norm, attention, separable = (options.pop(k, None) for k in ("norm", "attention", "separable"))
    activation = options.pop("activation", "gelu")
    ACTIVATIONS.setdefault("relu", nn.ReLU)
    network = build(kind, shape, classes, **options, activation=activation)
    if attention is False:
        _replace(network, SelfAttention, lambda child: nn.Identity())
    elif attention == "more":  # after every block at the lowest resolution
        width = options["widths"]
        network.middle = nn.ModuleList(Attentive(block, width[-1]) for block in network.middle)
        network.attention = nn.Identity()
    if norm == "channel":
        _replace(network, nn.GroupNorm, lambda child: ChannelNorm(child.num_channels))
    if separable:

        def make(child: nn.Conv2d) -> nn.Module | None:
            full = child.kernel_size == (3, 3) and child.stride == (1, 1) and child.in_channels >= 16
            new = Separable(child.in_channels, child.out_channels) if full and child.out_channels >= 16 else None
            if new is not None and not child.weight.any():
                nn.init.zeros_(new[1].weight)
            return new

        _replace(network, nn.Conv2d, make)
    return network


def make_optimiser(network: nn.Module, settings: dict[str, Any]) -> list[torch.optim.Optimizer]:
    """Build the optimiser of a trial; every group keeps its peak rate under `peak`."""
    kind, rate, decay = settings["optimiser"], settings["lr"], settings["weight_decay"]
    parameters = list(network.parameters())
    if kind.startswith("muon"):
        spared = ("label", "place") if kind == "muon_all" else ("stem", "head", "label", "place", "condition")
        inner, rest = [], []
        for name, parameter in network.named_parameters():
            matrix = parameter.ndim in (2, 4) and not any(part in name for part in spared)
            (inner if matrix else rest).append(parameter)
        optimisers = [
            timm_muon("cpu")(inner, lr=rate, weight_decay=decay, momentum=settings.get("momentum", 0.95), nesterov=True,
                 adjust_lr_fn=settings.get("adjust", "match_rms_adamw")),
            torch.optim.AdamW(rest, lr=settings["lr_rest"], weight_decay=decay, betas=tuple(settings["betas"]),
                              fused=True),
        ]  # fmt: skip
    else:
        how = {"fused": True} if kind == "adamw" else {"foreach": kind == "adamw_foreach"}
        optimisers = [torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, betas=tuple(settings["betas"]), **how)]
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return optimisers


__all__ = ["Denoiser", "Transformer", "make_network", "make_optimiser"]
