"""The verbs on what was trained: info, export."""

from typing import Any

import yaml

from thaw.base import ThawError, advice, check_target
from thaw.cli import options as o
from thaw.cli.naming import device_of, find_run, model_inputs, open_named
from thaw.experiment import load_config
from thaw.networks import count_multiply_adds, count_parameters
from thaw.store import RUNS, pretrained, read_manifest


def info(model: o.ModelName = None, /, *, epoch: o.Epoch = None) -> None:
    """Tell what a weights file or run is; without a name, the most recently active run, and what is shipped."""
    given = model is not None or epoch is not None or (RUNS / ".latest").exists()
    if given:
        opened = open_named(model, epoch)
        facts: dict[str, Any] = {"epoch": opened.epoch, "classes": opened.classes, "shape": list(opened.process.shape)}
        facts |= {"parameters": count_parameters(opened.network), "terminal_rank": opened.terminal.rank}
        if opened.coder is not None:
            facts |= {"autoencoder_parameters": count_parameters(opened.coder.network), "images": list(opened.shape)}
        facts["multiply_adds"] = count_multiply_adds(opened.network, opened.process.shape)
        facts |= {k: v for k, v in opened.info.items() if isinstance(v, str | int | float)}
        print(yaml.safe_dump(facts | {"config": opened.config.model_dump(mode="json")}, sort_keys=False), end="")
    if model is None:
        shipped = read_manifest()
        if not (shipped or given):
            raise ThawError(f"no weights are listed in {pretrained()}; {advice(pretrained(), 'export some')}")
        for name, entry in shipped.items():
            score = f"FID {entry['fid']['value']:.2f}" if "fid" in entry else ""
            score = f"squared error {entry['mse']:.2f}" if "mse" in entry else score
            print(f"{name:52s} {entry.get('bytes', 0) / 1e6:5.1f} MB  {score}")


def export(
    run: o.Run = None, /, *, out: o.Released = "pretrained", n: o.Samples = 2000, epochs: o.Only = None,
    sampling: o.Sampling = None, seed: o.Seed = 0, device: o.Device = "cpu", replace: o.Replace = False,
    onnx: o.Onnx = None,
) -> None:  # fmt: skip
    """Write the kept checkpoints of a run to released weights, with a score for each; or a model's network as ONNX."""
    if onnx is not None:
        from thaw.store.onnx import export_onnx

        if epochs and len(epochs) > 1:
            raise ThawError(f"an ONNX file holds one network; name one epoch, not {epochs}")
        target = check_target(onnx, ".onnx", inputs=model_inputs(run))
        print(export_onnx(open_named(run, epochs[0] if epochs else None), target))
        return
    from thaw.training.release import export_run

    path = find_run(run)
    if not path.is_dir():
        known = f"{RUNS} has {', '.join(sorted(path.name for path in RUNS.glob('[!.]*'))) or 'none'}"
        raise ThawError(f"{run} is no run directory ({known}); export ships runs, and other weights by --onnx")
    folder = check_target(out, folder="filled", inputs=[path])
    read_manifest(folder)  # a file that is no manifest is told before the work
    given = load_config(sampling) if sampling else None
    settings = {"n": n, "epochs": epochs, "sampling": given, "seed": seed, "replace": replace}
    for written in export_run(path.resolve(), folder, device=device_of(device), **settings):
        print(written)
