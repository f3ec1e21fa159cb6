"""Does it pay to export the sampler's network?  PyTorch as it is, compiled, exported, and in ONNX Runtime.

    make speed            (or: python benchmarks/export.py --repeats 40)

The default network on one batch of 64, one thread, CPU seconds, all in turn; speed-ups are medians over the rounds.
What it takes to get there (CPU seconds, the compiler's included) is told beside it.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import torch._inductor.config
from timing import interleaved, median_ratio
from torch import Tensor, nn

from thaw.base.machine import machine, timed
from thaw.cli import options as o
from thaw.experiment.build import build_model, build_network, build_process
from thaw.experiment.config import load_config
from thaw.report.recorder import Recorder
from thaw.store.onnx import INPUTS, Restorer, export_onnx
from thaw.terminal import Terminal

CONFIG, SHAPE, CLASSES, BATCH = "configs/ddpm/default.yaml", (1, 28, 28), 10, 64
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
Call = Callable[[], Tensor]


def compiled(restorer: Restorer, batch: Batch, folder: Path) -> Call:
    """Return the network under torch.compile."""
    fast = torch.compile(restorer)
    return lambda: fast(*batch)


def exported(restorer: Restorer, batch: Batch, folder: Path) -> Call:
    """Return the network exported by torch.export and compiled ahead of time."""
    program = torch.export.export(restorer, batch)
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(folder / "network.pt2"))
    package = torch._inductor.aoti_load_package(path)
    return lambda: package(*batch)


def in_onnx_runtime(restorer: Restorer, batch: Batch, folder: Path) -> Call:
    """Return the network exported to ONNX, in ONNX Runtime."""
    import onnxruntime

    model = build_model(
        load_config(CONFIG), restorer.process, restorer.network, Terminal.point(torch.zeros(0)), CLASSES
    )
    path, options = export_onnx(model, folder / "network.onnx"), onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {name: part.numpy() for name, part in zip(INPUTS, batch, strict=True)}
    return lambda: torch.from_numpy(session.run(None, feed)[0])


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those it has waited for, compilers for instance."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def main(*, repeats: o.Repeats = 40, record: o.Record = False) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = load_config(CONFIG)
    restorer = Restorer(build_process(config, SHAPE), build_network(config, SHAPE, CLASSES)).eval()
    for parameter in restorer.parameters():  # a new network's last layers are zero: nothing to compare outputs by
        nn.init.normal_(parameter, std=0.05)
    batch = restorer.example(BATCH)
    ways = {"compile": compiled, "export": exported, "onnx": in_onnx_runtime}
    torch._inductor.config.compile_threads = 1  # in this process, so that its time is seen
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # nothing compiled before is found
        calls: dict[str, Call] = {"eager": lambda: restorer(*batch)}
        prepared, errors = {}, {}
        for name, way in ways.items():
            before = cpu_seconds()
            calls[name] = way(restorer, batch, Path(folder))
            errors[name] = float((calls[name]() - calls["eager"]()).abs().max())
            prepared[name] = cpu_seconds() - before
        times = interleaved(calls, repeats)
    eager = statistics.median(times["eager"])
    print(f"torch {torch.__version__}, one thread, batch {BATCH}, CPU seconds, medians of {repeats} rounds")
    print(f"{machine()}\n")
    print(f"eager    {1e3 * eager:6.1f} ms")
    values: dict[str, tuple[float, str]] = {"batch": (BATCH, "d"), "eager.ms": (1e3 * eager, ".0f")}
    for name in ways:
        seconds, gain = statistics.median(times[name]), median_ratio(times, "eager", name)
        saved = eager - seconds
        needed = prepared[name] / saved * BATCH if saved > 0 else float("inf")  # images once through the network
        print(f"{name:8s} {1e3 * seconds:6.1f} ms, {gain:.2f} times as fast, after {prepared[name]:3.0f} s", end=" ")
        print(f"(saved after {needed:,.0f} evaluations of an image), largest difference {errors[name]:.0e}")
        values |= {f"{name}.ms": (1e3 * seconds, ".0f"), f"{name}.gain": (gain, ".2f")}
        values |= {f"{name}.prepare_seconds": (prepared[name], ".0f")}
    if record:
        made_by = {"benchmark": "benchmarks/export.py", "config": CONFIG, "torch": torch.__version__}
        Recorder("speed.export", made_by).record(values, **timed())


if __name__ == "__main__":
    sys.exit(o.run(main))
