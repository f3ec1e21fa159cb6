"""From a configuration to what it describes: process, network, model."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from thaw import degradations, networks
from thaw.autoencoder import Coder, Reconstruction
from thaw.experiment.config import Config, override
from thaw.experiment.variants import SAMPLING
from thaw.flow_map import FlowMap
from thaw.model import Model
from thaw.process import Process
from thaw.schedules import noise_schedule
from thaw.terminal import Terminal


def build_process(config: Config, shape: tuple[int, int, int]) -> Process:
    """Build the forward process of a configuration for images (or latents) of a shape."""
    if config.study == "autoencoder":
        return Reconstruction(shape, config.network_options(), config.alpha)
    options = dict(config.options)
    if config.degradation == "scale":
        options["schedule"] = config.schedule
    degradation = degradations.build(config.degradation, shape, config.steps, **options)
    if config.soften > 1:
        degradation = degradations.Softened(degradation, config.soften)
    sigma = noise_schedule(config.schedule, degradation.steps)[1]
    settings = (config.prediction, config.tau, config.loss_weight, config.noise_in)
    if config.flow_map:
        return FlowMap(degradation, sigma, *settings, flow_map=config.flow_map)
    return Process(degradation, sigma, *settings, bounded=config.study != "latent", observed=config.observed)


def build_network(config: Config, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network of a configuration (weights drawn from torch's global generator)."""
    network = networks.build(config.network, shape, classes, **config.network_options())
    return network.to(memory_format=torch.channels_last)


def build_model(
    config: Config,
    process: Process,
    network: nn.Module,
    terminal: Terminal,
    classes: int,
    epoch: int = 0,
    info: dict[str, Any] | None = None,
    coder: Coder | None = None,
) -> Model:
    """Put a model together, with the configuration's way of sampling; the arguments are those of `Model`."""
    conditional = classes > 0 and network.conditional and config.label_dropout < 1
    sampling = config.sampling(process.steps)
    return Model(process, network, terminal, classes, sampling, conditional, coder, config, epoch, info or {})


def sampled_as(model: Model, config: Config) -> Model:
    """Return a model that draws as another configuration says."""
    config = override(model.config, {name: getattr(config, name) for name in SAMPLING})
    return replace(model, config=config, sampling=config.sampling(model.process.steps))
