"""How a run ended and how it behaved, from its recorded series: what `status.json` says beyond the costs."""

from __future__ import annotations

import resource
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import torch

from benchmarks import record
from benchmarks.problem import Problem
from benchmarks.quality import stability
from benchmarks.record import Row

Series: TypeAlias = dict[str, tuple[list[int], list[float]]]
NAN, INF = float("nan"), float("inf")


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
    """Final metrics, collapse and stability of a run.

    Args:
        problem: what was played.
        rows: all it recorded.
        answer: the iterate that the optimizer answers with.
        path: the players' path.
        diverged: a diverged run has no final metrics, whatever it scored before.
    """
    headline, evaluated, trained = problem.headline, series(rows, "eval", answer), series(rows, "train")
    _, values = evaluated.get(headline.name, ([], []))
    lost = diverged or not values
    gap = INF if lost else stability.last_minus_best(values, headline.better == "higher")
    return {
        "iterate": answer,
        "value": NAN if lost else values[-1],
        "final": {} if lost else last(evaluated),
        "ema": {} if lost else last(series(rows, "eval", "ema")),
        **collapse(problem, evaluated),
        "stability": {"last_minus_best": gap, "gradient_ratio": gradient_ratio(trained), **path.read()},
    }


def last(evaluated: Series) -> dict[str, float]:
    """The last value of every metric."""
    return {name: values[-1] for name, (_, values) in evaluated.items()}


def missed(problem: Problem, rows: Sequence[Row], answer: str) -> str:
    """Which targets the last evaluation misses, in words; empty if none."""
    final = last(series(rows, "eval", answer))
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


def collapse(problem: Problem, evaluated: Series) -> dict[str, Any]:
    """Whether a metric of coverage ended below half of its peak, and the step at which it first fell there."""
    for metric in problem.metrics:
        if not metric.coverage or metric.name not in evaluated:
            continue
        steps, values = evaluated[metric.name]
        trained = [(s, v) for s, v in zip(steps, values, strict=True) if s > 0]  # before that there is nothing to lose
        at = stability.collapsed_at([s for s, _ in trained], [v for _, v in trained])
        peak = max((v for _, v in trained if v == v), default=0.0)
        if at is not None and not values[-1] >= 0.5 * peak:
            return {"collapsed": True, "collapsed_at": at}
    return {"collapsed": False, "collapsed_at": None}


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
