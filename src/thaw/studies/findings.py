"""From what the stages found to numbers with a key each, and to what they bear: better, worse, or not told apart."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats

from thaw.base.machine import machine
from thaw.sampling import SAMPLERS
from thaw.scoring.metrics import MEASURES
from thaw.store import TITLES
from thaw.studies.plan import Plan
from thaw.studies.restoring import COLD, PLAIN
from thaw.studies.sizing import SEEDS
from thaw.studies.stages import equal_budget, point_of

LEVEL = 0.05  # of Welch's test, below which two means are told apart
Values = dict[str, tuple[Any, str]]


def told_apart(one: Sequence[float], other: Sequence[float], better: str = "lower") -> str:
    """Return whether the mean of a few values is "better" or "worse" than that of others, or "same": not told apart.

    By Welch's test at `LEVEL`: the spread of either decides, whatever the means.

    Args:
        one, other: a value a seed; two or more.
        better: "lower" or "higher".

    >>> told_apart([1.0, 1.1, 0.9], [2.0, 2.1, 1.9]), told_apart([1.0, 3.0, 2.0], [2.0, 2.1, 1.9])
    ('better', 'same')
    """
    moments = [float(f(values)) for values in (one, other) for f in (np.mean, spread, len)]  # its own warns
    mean, deviation, _, mean_, deviation_, _ = moments
    if deviation + deviation_ <= 1e-9 * max(abs(mean), abs(mean_)):  # no spread at all
        p = float(math.isclose(mean, mean_))
    else:
        p = float(scipy.stats.ttest_ind_from_stats(*moments, equal_var=False).pvalue)
    if not p < LEVEL:
        return "same"
    return "better" if (mean < mean_) == (better == "lower") else "worse"


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation of a few values, as a sample's; 0 of one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


class Findings:
    """Numbers and verdicts of a study.

    Attributes:
        values: key -> (value, format), as `thaw.report.results.record` takes them.
        verdicts: name -> "better", "worse" or "same"; "" for what is not measured.
        facts: other plain values that sentences choose by: names, lists, what was left out.
    """

    def __init__(self, plan: Plan, found: dict[str, Any], minutes: float) -> None:
        self.plan, self.found = plan, found
        self.values: Values = {}
        self.verdicts: dict[str, str] = {}
        self.facts: dict[str, Any] = {"paired": plan.config().paired}
        self._plan(minutes)
        self._ceiling()
        if not self.facts["paired"]:
            self._drawn()
            self._budget()
            self._curve()
            self._equal()
        self._restored()

    def of(self, what: str) -> list[dict[str, Any]]:
        """Return what a stage found for each seed."""
        return [self.found[f"{what}_{seed}"] for seed in range(SEEDS)]

    def _plan(self, minutes: float) -> None:
        plan, trained, size = self.plan, self.of("train"), self.plan.size
        per_image = [one["images"] / plan.images["images"] for one in trained]
        planned = size.epochs * plan.used // plan.config().batch_size * plan.config().batch_size
        seconds = [one["seconds"] for one in trained]
        picture, restored = self.found["picture"], min(plan.restored, self.found["picture"]["tests"])
        there = min(plan.images["images"], plan.settings.get("limit") or plan.images["images"])
        early = min(one["images"] for one in trained) < 0.9 * planned
        self.values |= {
            "plan.minutes": (plan.minutes, "g"), "plan.took": (minutes, ".0f"), "plan.workers": (plan.workers, "d"),
            "plan.seeds": (SEEDS, "d"), "plan.epochs": (size.epochs, "d"), "plan.share": (100 * size.share, ".0f"),
            "plan.restored": (restored, ",d"), "plan.images": (there, ",d"), "plan.temperatures": (len(size.taus), "d"),
            "plan.steps": (plan.config().sample_steps, "d"),
            "plan.level": (LEVEL, "g"), "plan.machine": (machine(), ""),
            "total": (picture["T"], "d"), "softened": (picture["softened"], "d"), "rank": (picture["rank"], "d"),
            "softened_total": (picture["T"] * picture["softened"], "d"),
            "train.passes": (float(np.mean(per_image)), ".2g"), "train.minutes": (float(np.mean(seconds)) / 60, ".1f"),
            "train.minutes_all": (sum(seconds) / 60, ".0f"), "train.parameters": (trained[0]["parameters"], ",d"),
            "train.loss": (float(np.mean([one["loss"] for one in trained])), ".4f"),
            "train.loss_spread": (spread([one["loss"] for one in trained]), ".4f"),
            "train.evaluations": (trained[0]["evaluations"], "d"),
        }  # fmt: skip
        self.facts |= {"scaled": plan.scaled, "ended": early, "smoke": plan.smoke,
                       "whole": size.share == 1, "start": bool(plan.settings.get("start_from")),
                       "many_epochs": size.epochs > 1, "over": minutes > 1.05 * plan.minutes}  # fmt: skip

    def _ceiling(self) -> None:
        told = self.found["ceiling"]
        if "left_out" in told:
            self.facts["no_ceiling"] = told["left_out"]
        else:
            self.values |= {f"ceiling.{name}": (100 * told[name], ".1f") for name in ("best_guess", "posterior")}
            self.values |= {"ceiling.error": (100 * told["error"], ".1f"), "ceiling.n": (told["n"], ",d")}

    def _drawn(self) -> None:
        drawn = self.found["gallery"]
        self.values["plan.n"] = (self.plan.size.n, ",d")  # by it the report knows a degradation that was drawn from
        self.values |= {"failed": (100 * drawn["failed"], ".1f"), "gallery.tau": (drawn["tau"], "g")}
        if "nearest" in drawn:
            self.values["nearest"] = (drawn["nearest"], ".2f")

    def _budget(self) -> None:
        found = self.found["budget"]
        parts = {name: found[name] for name in ("steps", "jumps", "temperature", "start")}
        self.values |= {f"budget.{name}": (100 * share, ".1f") for name, share in parts.items() if share is not None}
        for name in ("total", "ours", "warmest", "advised"):
            self.values[f"budget.{name}.lost"] = (100 * found[name]["distance"], ".1f")
            self.values[f"budget.{name}.kept"] = (100 * found[name]["kept"], ".0f")
        soften, tau, schedule, steps = found["advice"]
        self.values |= {"advice.soften": (soften, "d"), "advice.tau": (tau, "g"), "advice.steps": (steps, "d"),
                        "budget.bare_steps": (found["bare_steps"], "d")}  # fmt: skip
        largest = max(("steps", "jumps", "temperature"), key=lambda name: parts[name])
        taken = {"soften": soften == self.found["picture"]["softened"], "schedule": schedule == "flow",
                 "steps": steps == self.values["plan.steps"][0], "tau": tau in self.plan.size.taus}  # fmt: skip
        self.facts |= {"affine": found["affine"], "largest": largest, "schedule": schedule, "taken": taken}

    def _curve(self) -> None:
        curves, size = self.of("curve"), self.plan.size
        points = {tau: point_of(tau) for tau in size.taus}
        for point in curves[0]:
            for what in curves[0][point]:
                self._mean(f"curve.{point}.{what}", what, [one[point][what][0] for one in curves])
                floor = curves[0][point][what][1]
                if floor is not None and what != "copies":
                    self.values.setdefault(f"real.{what}", MEASURES[what].reported(floor))
        fid = {point: [one[point]["fid"][0] for one in curves] for point in curves[0]}
        best = min(size.taus, key=lambda tau: np.mean(fid[points[tau]]))
        alike = [tau for tau in size.taus if tau != best and told_apart(fid[points[tau]], fid[points[best]]) == "same"]
        self.values |= {f"curve.alike_{k}": (tau, "g") for k, tau in enumerate(alike)}
        coldest = min(COLD, key=lambda name: np.mean(fid[name]))
        warmest = min((tau for tau in size.taus if tau), key=lambda tau: np.mean(fid[points[tau]]))
        self.verdicts["noise"] = told_apart(fid[points[warmest]], fid[coldest])
        self.verdicts["hotter"] = told_apart(fid[points[2.0]], fid[points[1.0]])
        self.verdicts["algorithms"] = told_apart(fid["algorithm2"], fid["algorithm1"])
        recall = [[one[point]["recall"][0] for one in curves] for point in (points[warmest], coldest)]
        self.verdicts["recall"] = told_apart(*recall, better="higher")
        ratio = np.mean(fid[coldest]) / np.mean(fid[points[warmest]])
        self.values |= {"curve.best_tau": (best, "g"), "curve.gain": (float(max(ratio, 1 / ratio)), ".2g")}
        for name, point in (("best", points[best]), ("coldest", coldest), ("warmest", points[warmest])):
            for what in (f"{what}{end}" for what in curves[0][point] for end in ("", "_spread")):
                self.values[f"curve.{name}.{what}"] = self.values[f"curve.{point}.{what}"]
        floor = curves[0]["tau_1_00"]["fid"][1]
        if floor:
            self.values["curve.times"] = (float(np.mean(fid[points[best]])) / floor, ".1f")
        self.facts |= {"alike": len(alike), "coldest": coldest, "floor": floor}

    def _mean(self, key: str, what: str, values: list[float]) -> None:
        row = MEASURES[what]
        factor, form = row.factor, row.reported(0.0)[1]
        self.values[key] = (factor * float(np.mean(values)), form)
        self.values[f"{key}_spread"] = (factor * spread(values), form)

    def _restored(self) -> None:
        found = self.of("restored")
        ways = {how: [one[how] for one in found] for how in found[0]}
        if without := self.found.get("untrained"):
            ways["untrained"] = without["seeds"]
            self.values["plan.untrained"] = (without["n"], ",d")
        for how, each in ways.items():
            for what, (_, exact) in each[0].items():
                self._mean(f"restored.{how}.{what}", what, [one[what][0] for one in each])
                if exact is not None and what != "agreement":
                    self.values[f"exact.{what}"] = MEASURES[what].reported(exact)
        told = "agreement" if "agreement" in ways["warm"][0] else "psnr"  # of pairs without classes
        agree = {how: [one[told][0] for one in each] for how, each in ways.items()}
        best, config = max(COLD, key=lambda how: np.mean(agree[how])), self.plan.config()
        pairs = {"restore_cold": (best, "warm"), "held": ("warm", PLAIN), "untrained": ("untrained", "warm")}
        for verdict, (how, other) in pairs.items():
            known = how in agree and other in agree
            self.verdicts[verdict] = told_apart(agree[how], agree[other], better="higher") if known else ""
        warmest = SAMPLERS["warm"].restores_at(*config.tau)
        self.values |= {"restored.tau": (warmest, "g"), "restored.plain_tau": (config.sample_tau, "g")}
        self.facts |= {"restores_best": best, "restorers": list(ways)}
        if "ceiling.posterior" in self.values:
            for name, how, limit in (("cold_share", best, "best_guess"), ("warm_share", "warm", "posterior")):
                share = 100 * float(np.mean(agree[how])) / (self.values[f"ceiling.{limit}"][0] / 100)
                self.values[f"restored.{name}"] = (share, ".0f")
        self.verdicts["ratio"] = ""
        if ratio := [one["error_ratio"][0] for one in ways["warm"] if "error_ratio" in one]:
            off = float(np.mean(ratio)) - 2
            exact = abs(off) <= 2 * spread(ratio) / math.sqrt(len(ratio))
            self.verdicts["ratio"] = "same" if exact else "above" if off > 0 else "below"

    def _equal(self) -> None:
        """Set the study's scores beside those of the eleven, after the same epochs, or the nearest there are."""
        cache, plan, curves = equal_budget(self.plan), self.plan, self.of("curve")
        self.facts["equal"] = None
        if cache is None:
            return
        names = [name for name in TITLES if name not in ("hot", "latent")]
        rows: dict[tuple[int, float], dict[str, list[dict[str, Any]]]] = {}
        for row in cache["rows"]:
            alike = rows.setdefault((row["epochs"], float(row["tau"])), {})
            alike.setdefault(row["degradation"], []).append(row)
        whole = {k for k, by in rows.items() if all(len(by.get(name, ())) == len(cache["seeds"]) for name in names)}
        ours = plan.size.epochs * plan.size.share
        epochs = min(sorted(e for e, tau in whole if tau == 1), key=lambda e: abs(e - ours), default=0)
        if not epochs:
            return
        kind, scored = "tau" if cache["n"] == plan.size.n else "equal", ("fid", "recall", "coverage", "accuracy")
        taus = sorted(tau for e, tau in whole if e == epochs and point_of(tau, kind) in curves[0])
        fid: dict[str, list[float]] = {}
        for name in (*names, "ours"):
            for tau, what in itertools.product(taus, scored):
                own = [one[point_of(tau, kind)][what][0] for one in curves]
                values = own if name == "ours" else [row[what] for row in rows[epochs, tau][name]]
                self._mean(f"equal.{name}.{point_of(tau)}.{what}", what, values)
                if (tau, what) == (1, "fid"):
                    fid[name] = values
        order = sorted(fid, key=lambda name: np.mean(fid[name]))
        lines = [{"slug": name, "title": TITLES.get(name, f"**{plan.name}**")} for name in order]
        verdicts = [told_apart(fid[name], fid["ours"]) for name in names]
        counts = {verdict: verdicts.count(verdict) for verdict in ("better", "same", "worse")}
        self.values |= {f"equal.{verdict}": (count, "d") for verdict, count in counts.items()}
        self.values |= {"equal.n": (cache["n"], ",d"), "equal.seeds": (len(cache["seeds"]), "d"),
                        "equal.epochs": (epochs, "d"), "equal.of": (len(names) + 1, "d"),
                        "equal.place": (order.index("ours") + 1, "d"),
                        "equal.times": (max(ours / epochs, epochs / ours), ".2g")}  # fmt: skip
        self.facts["equal"] = {"lines": lines, "taus": [(tau, point_of(tau)) for tau in taus],
                               "same_epochs": epochs == ours, "more": ours > epochs}  # fmt: skip
