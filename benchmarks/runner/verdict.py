"""How a run ended and how it behaved, from its recorded series: what `status.json` says beyond the costs."""

from __future__ import annotations

import math
import resource
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from benchmarks import record
from benchmarks.problem import Problem
from benchmarks.quality import stability
from benchmarks.record import Row

Series: TypeAlias = dict[str, tuple[list[int], list[float]]]
NAN, INF = float("nan"), float("inf")
LOST = "not finite"  # what a run is called whose headline is


def series(rows: Iterable[Row], split: str, iterate: str = "last") -> Series:
    """Steps and values of every metric of a split, of one iterate."""
    out: Series = {}
    for row in rows:
        if (row["split"], row["iterate"]) == (split, iterate):
            steps, values = out.setdefault(row["metric"], ([], []))
            steps.append(row["step"])
            values.append(row["value"])
    return out


def describe(
    problem: Problem, rows: Sequence[Row], answer: str, path: stability.Path, diverged: bool
) -> dict[str, Any]:
    """Final metrics, what is wrong with them, and stability of a run.

    Args:
        problem: what was played.
        rows: all it recorded.
        answer: the iterate that the optimizer answers with.
        path: the players' path.
        diverged: a diverged run has no final metrics, whatever it scored before.
    """
    headline, evaluated, trained = problem.headline, series(rows, "eval", answer), series(rows, "train")
    _, values = evaluated.get(headline.name, ([], []))
    ritz = {name: series[1][-1] for name, series in trained.items() if name.startswith("ritz_")}
    lost = diverged or not values
    gap = INF if lost else stability.last_minus_best(values, headline.better == "higher")
    return {
        "iterate": answer,
        "value": NAN if lost else values[-1],
        "covered": NAN if lost else last(evaluated).get(covering(problem), NAN),
        "final": {} if lost else last(evaluated),
        "ema": {} if lost else last(series(rows, "eval", "ema")),
        **flagged(problem, evaluated),
        "stability": {"last_minus_best": gap, "gradient_ratio": gradient_ratio(trained), **path.read(), **ritz},
    }


def covering(problem: Problem) -> str:
    """The name of the metric that says how much of the data is covered; empty if none does."""
    return next((metric.name for metric in reversed(problem.metrics) if metric.coverage), "")


def last(evaluated: Series) -> dict[str, float]:
    """The last value of every metric."""
    return {name: values[-1] for name, (_, values) in evaluated.items()}


def outcome(problem: Problem, rows: Sequence[Row], answer: str) -> tuple[str, str]:
    """The status of a run that has spent its budget, and why."""
    evaluated = series(rows, "eval", answer)
    told = [f"is {flags}"] if (flags := flagged(problem, evaluated)["flags"]) else []
    told += [f"misses {missed}"] if (missed := misses(problem, last(evaluated))) else []
    if told:
        return "ok", "; ".join(told)
    aims = any(metric.target is not None for metric in problem.metrics)
    return ("target", "all targets met") if aims else ("ok", "the budget is spent")


def misses(problem: Problem, final: Mapping[str, float]) -> str:
    """Which targets the last evaluation misses, in words; empty if none."""
    wrong = []
    for metric in problem.metrics:
        value = final.get(metric.name, NAN)
        if metric.target is not None and not metric.met(value):
            wrong.append(f"{metric.name} {value:.3g}, not {metric.aim}")
    return "; ".join(wrong)


def gradient_ratio(recorded: Series) -> float:
    """Median ratio of the first player's gradient norm to the second's; nan without a second."""
    if not {"gradient_norm_0", "gradient_norm_1"} <= recorded.keys():
        return NAN
    return stability.gradient_ratio(recorded["gradient_norm_0"][1], recorded["gradient_norm_1"][1])


def flagged(problem: Problem, evaluated: Series) -> dict[str, Any]:
    """What a run is called that fails whatever its headline says, and the step from which on it does.

    It fails where a metric ends beyond its gate, where what is covered ends below half of its peak, and where the
    headline is nan.
    """
    found: dict[str, int] = {}
    for metric in problem.metrics:
        steps, values = evaluated.get(metric.name, ([], []))
        wrong = {metric.flag: [metric.fails(value) for value in values]}
        if metric.coverage:  # before training there is nothing to lose
            halved = [False, *stability.halved(values[1:])]
            wrong[metric.flag] = [one or other for one, other in zip(wrong[metric.flag], halved, strict=False)]
        if metric.headline:
            wrong[LOST] = [math.isnan(value) for value in values]
        for flag, series in wrong.items():
            if (at := stability.since(steps, series)) is not None:
                found[flag] = min(at, found.get(flag, at))
    return {"flags": ", ".join(sorted(found)), "flagged_at": min(found.values(), default=None)}


def failure(error: Exception) -> dict[str, Any]:
    """The status, reason and traceback of an exception."""
    text = f"{type(error).__name__}: {error}"
    memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
    if record.full_disk(error):
        text = f"the disk is full ({error}): make room, then run the same command with --retry failed"
    trace = "".join(traceback.format_exception(error))
    return {"status": "oom" if memory else "error", "reason": text, "traceback": trace}


def surroundings(device: str, commit: str | None) -> dict[str, Any]:
    """The most memory that this process took, and what it played on."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cuda = device.startswith("cuda")
    return {
        "peak_mib": peak / (2**20 if sys.platform == "darwin" else 2**10),  # bytes there, KiB elsewhere
        "peak_device_mib": torch.cuda.max_memory_allocated() / 2**20 if cuda else 0.0,
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "python": sys.version.split()[0],
        "commit": commit,
    }
