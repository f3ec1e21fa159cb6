"""A model's network as an ONNX file: for ONNX Runtime, or wherever PyTorch is not."""

import contextlib
import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from thaw.base import ThawError, need, replacing
from thaw.model import Model
from thaw.process import Process

INPUTS, OUTPUT = ("x_t", "t", "tau", "y"), "x0_hat"


class Restorer(nn.Module):
    """What every sampler sees of a model, guidance left out: (x_t, t, tau, y) -> x0_hat, as `Model.denoise` clipped.

    x_t is (B, C, H, W) float32, t (B,) int64 in 1..T, tau (B,) float32 temperatures, y (B,) int64 labels, K the
    null class; x0_hat is (B, C, H, W), in [-1, 1] where the process is bounded, as pixels are and latents are not.
    """

    def __init__(self, process: Process, network: nn.Module) -> None:
        super().__init__()
        self.process, self.network = process, network

    def forward(self, x_t: Tensor, t: Tensor, tau: Tensor, y: Tensor) -> Tensor:
        raw = self.network(x_t, self.process.time(t), tau, y)
        return self.process.clip(self.process.predict(raw, x_t, t, tau))

    def example(self, n: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return inputs for n images: noise, steps from T down, temperature 1, and class 0."""
        t = self.process.steps - torch.arange(n) % self.process.steps
        return torch.randn(n, *self.process.shape), t, torch.ones(n), torch.zeros(n, dtype=torch.long)


def export_onnx(model: Model, path: str | Path) -> Path:
    """Write a model's `Restorer` as ONNX, for any number of images; the configuration is in the file's metadata.

    Raises:
        ThawError: for fast weights, or if the packages are missing, or the file cannot be written.
    """
    need("onnx", "onnx", "onnxscript")
    if model.process.flow_map:
        raise ThawError("fast weights have no x0_hat that ONNX Runtime could take steps by; export their teacher")
    path, restorer = Path(path), Restorer(model.process, model.network).cpu().eval()
    batch = torch.export.Dim("B", min=1)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # of its own renaming of the batch dimension
        program = torch.onnx.export(
            restorer, restorer.example(2), input_names=INPUTS, output_names=[OUTPUT], dynamo=True, verbose=False,
            dynamic_shapes={name: {0: batch} for name in INPUTS},
        )  # fmt: skip
    about = {"config": model.config.model_dump(mode="json"), "epoch": model.epoch, "classes": model.classes}
    about |= {"steps": model.process.steps}
    program.model.metadata_props["thaw"] = json.dumps(about)
    with replacing(path) as temporary:
        program.save(temporary)
    return path
