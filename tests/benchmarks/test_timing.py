"""Times: what the clock counts, the order of the calls, and the whole training step that is timed."""

import time

import pytest
import speed  # noqa: E402
import torch
import training  # noqa: E402
from cases import ROOT
from timing import interleaved, matrix_peak, median_ratio, median_seconds, training_step

from thaw import degradations
from thaw.base.machine import machine, machines_of, tell_apart, timed
from thaw.degradations.lines import line_order
from thaw.experiment.build import build_network
from thaw.experiment.config import load_config, make_config
from thaw.networks import count_multiply_adds


def test_calls_are_timed_in_turn_and_the_first_round_does_not_count():
    order = []
    times = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeats=3)
    assert order == ["a", "b"] * 4
    assert {name: len(found) for name, found in times.items()} == {"a": 3, "b": 3}


def test_waiting_costs_time_on_the_wall_but_no_cpu_time():
    wait = lambda: time.sleep(0.05)  # noqa: E731
    assert median_seconds(wait, repeats=3) < 0.02 < 0.05 <= median_seconds(wait, repeats=3, clock=time.perf_counter)


def test_the_ratio_is_the_median_over_the_rounds():
    assert median_ratio({"a": [2.0, 4.0, 90.0], "b": [1.0, 1.0, 30.0]}, of="a", to="b") == 3.0


def test_the_peak_is_some_billions_of_multiply_adds_a_second():
    assert 1e8 < matrix_peak(repeats=3) < 1e14


def test_the_timed_step_is_a_step_of_training():
    """It moves the weights and their average, and the loss falls as in training."""
    config = make_config({"data": "digits", "widths": (8, 16), "batch_size": 32, "steps": 20, "warmup": 0.0})
    step, trainer = training_step(config)
    before = [p.detach().clone() for p in trainer.bare.parameters()]
    losses = torch.stack([step().loss for _ in range(40)])
    assert losses[-10:].mean() < losses[:10].mean()
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.bare.parameters(), strict=True))
    assert int(trainer.ema.n_averaged) == 40


@pytest.mark.parametrize("way", [training.diffusers_way, training.lucidrains_way])
def test_the_libraries_networks_have_our_multiply_adds(way):
    config = load_config(ROOT / training.CONFIG)
    ours = count_multiply_adds(build_network(config, (1, 28, 28), 10), (1, 28, 28))
    assert way(lambda: torch.zeros(2, 1, 28, 28)).adds == pytest.approx(ours, rel=0.02)


def test_the_benchmarks_print_their_tables(monkeypatch, capsys, tiny):
    """`make speed`, once, on batches of four and tiny models; its third part, compilers, takes minutes."""
    monkeypatch.chdir(ROOT)
    small = {"batch_size": 4, "data": "digits"}
    for benchmark in (speed, training):
        monkeypatch.setattr(benchmark, "load_config", lambda path: load_config(path, **small))
    monkeypatch.setattr(speed, "BATCH", 4)
    monkeypatch.setattr(speed, "untrained", lambda _: tiny(steps=20))
    speed.main(repeats=1)
    said = capsys.readouterr().out
    assert all(f"forward {name} " in said for name in degradations.names()) and "times faster" in said
    training.main(repeats=1)
    said = capsys.readouterr().out
    assert all(f"\n{name} " in said for name in ("thaw", "diffusers", "lucidrains", "earlier"))


def test_the_loop_over_images_and_rows_averages_what_the_degradation_does():
    x0, t = torch.rand(29, 1, 28, 28) * 2 - 1, torch.arange(29)
    found = training.average_one_by_one(x0, t, line_order(28, "random", 0))
    assert (found - degradations.build("row", (1, 28, 28))(x0, t)).abs().max() < 2**-12  # the grid of its means


def test_a_time_names_its_machine_and_its_run():
    told = timed()
    assert told == timed() and set(told) == {"machine", "measured"} and told["machine"] == machine()
    torch.set_num_threads(2)
    assert machine() != told["machine"] and machine().endswith("threads 2")
    epochs = [{"epoch": 0}, {"machine": "A"}, {"machine": "B"}, {"machine": "A"}]
    assert machines_of(epochs) == "A and B" and machines_of(epochs[:1]) == ""


def test_rows_of_one_machine_are_not_marked_and_those_of_several_are():
    assert tell_apart({}) == ({}, "") and tell_apart({"x": "A", "y": "A"}) == ({"x": "", "y": ""}, "")
    marks, told = tell_apart({"x": "B", "y": "A", "z": "B", "old": ""})
    assert marks == {"x": "c", "y": "b", "z": "c", "old": "a"}
    assert told == "Times compare only within one letter (a: a machine that was not recorded; b: A; c: B)."
