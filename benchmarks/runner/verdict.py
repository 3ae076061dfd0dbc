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

COVERAGE = ("modes", "fair_modes", "recall")
"""Metrics whose fall below half of their peak is a collapse."""

Series: TypeAlias = dict[str, tuple[list[int], list[float]]]
NAN, INF = float("nan"), float("inf")


def series(rows: Iterable[Row]) -> Series:
    """Steps and values of every metric."""
    out: Series = {}
    for row in rows:
        steps, values = out.setdefault(row["metric"], ([], []))
        steps.append(row["step"])
        values.append(row["value"])
    return out


def describe(problem: Problem, rows: Sequence[Row], path: stability.Path, diverged: bool) -> dict[str, Any]:
    """Final metrics, collapse and stability of a run.

    Args:
        problem: what was played.
        rows: all it recorded.
        path: the players' path.
        diverged: a diverged run has no final metrics, whatever it scored before.
    """
    recorded, evaluated = series(rows), series(row for row in rows if row["split"] == "eval")
    _, values = evaluated.get(problem.headline, ([], []))
    lost = diverged or not values
    gap = INF if lost else stability.last_minus_best(values, problem.higher_is_better)
    return {
        "value": NAN if lost else values[-1],
        "final": {} if lost else {name: found[-1] for name, (_, found) in evaluated.items()},
        **collapse(recorded),
        "stability": {"last_minus_best": gap, "gradient_ratio": gradient_ratio(recorded), **path.read()},
    }


def missed(problem: Problem, rows: Sequence[Row]) -> str:
    """Which targets the last evaluation misses, in words; empty if none."""
    recorded, wrong = series(rows), []
    for name, (sign, bound) in problem.targets.items():
        value = recorded[name][1][-1] if name in recorded else NAN
        if not (value >= bound if sign == ">=" else value <= bound):
            wrong.append(f"{name} {value:.3g}, not {sign} {bound:g}")
    return "; ".join(wrong)


def gradient_ratio(recorded: Series) -> float:
    """Median ratio of the first player's gradient norm to the second's; nan without a second."""
    if not {"gradient_norm_0", "gradient_norm_1"} <= recorded.keys():
        return NAN
    return stability.gradient_ratio(recorded["gradient_norm_0"][1], recorded["gradient_norm_1"][1])


def collapse(recorded: Series) -> dict[str, Any]:
    """Whether modes or recall ended below half of their peak, and the step at which they first fell there."""
    for name, (steps, values) in recorded.items():
        if name.partition("/")[0] not in COVERAGE:
            continue
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
