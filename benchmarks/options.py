"""The options of the command line, in one frozen dataclass."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.suites import SUITES

AXES = ("gradients", "seconds", "steps")


@dataclass(frozen=True)
class Options:
    """What was asked for; the fields are the options of the command line."""

    suite: tuple[str, ...]
    problem: tuple[str, ...]
    optimizer: tuple[str, ...]
    seeds: tuple[int, ...]
    preset: str
    steps: int | None
    timeout: float
    jobs: int | None
    device: str | None
    data: str | None
    data_root: str | None
    download: bool
    results: Path
    imports: tuple[str, ...]
    axis: str
    list: bool
    dry_run: bool
    force: str | None
    retry: str | None


def seeds(text: str) -> tuple[int, ...]:
    """Seeds such as `0-4` or `0,3,5-7`.

    >>> seeds("0,3,5-7")
    (0, 3, 5, 6, 7)
    """
    out: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise argparse.ArgumentTypeError(f"{text!r} is no list of seeds: write 0-4 or 0,3,5-7")
        out += range(int(first), int(last if dash else first) + 1)
    if not out:
        raise argparse.ArgumentTypeError(f"{text!r} holds no seed: the first of a range comes before the last")
    return tuple(dict.fromkeys(out))


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def duration(text: str) -> float:
    """Seconds, more than 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line; exits with status 2 where they make no sense."""
    parser = argparse.ArgumentParser("benchmarks.run", description="Play game optimizers on benchmark problems.")
    add = parser.add_argument
    add("--suite", action="append", default=[], metavar="NAME", help=f"one of {', '.join(SUITES)} (repeatable)")
    add("-p", "--problem", action="append", default=[], metavar="GLOB", help="problems, in the suite if there is one")
    add("-o", "--optimizer", action="append", default=[], metavar="SPEC", help="say 'lookahead[inner=sga;lr=0.1,0.01]'")
    add("--seeds", type=seeds, default=(0, 1, 2), metavar="LIST", help="0-4 or 0,3,5-7; the same for all (0-2)")
    add("--preset", choices=("auto", "smoke", "cpu", "gpu"), default="auto", help="size (auto: gpu where CUDA is)")
    add("--steps", type=positive, metavar="N", help="budget: N gradients per player, in place of the preset's")
    add("--timeout", type=duration, default=math.inf, metavar="S", help="seconds for one cell")
    add("-j", "--jobs", type=positive, metavar="N", help="cells at a time (CPU: its cores, GPU: 1)")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, ... (cuda where there is one)")
    add("--data", metavar="NAME", help="data set for the problems that take one, or folder:PATH")
    add("--data-root", metavar="DIR", help="folder with real data sets, in torchvision's layout")
    add("--download", action="store_true", help="fetch data sets that are missing")
    add("--results", type=Path, default=Path("results"), metavar="DIR", help="where everything goes (results)")
    add("--import", dest="imports", action="append", default=[], metavar="FILE", help="a file of your own problems")
    add("--axis", choices=AXES, default="gradients", help="x-axis of curves")
    add("--list", action="store_true", help="print suites, problems and optimizers")
    add("-n", "--dry-run", action="store_true", help="print the plan, its size and an estimate")
    add("--force", metavar="GLOB", help="play cells whose run id matches again from the start")
    add("--retry", choices=("failed",), help="play cells again that ended in error, oom or timeout")
    values = vars(parser.parse_args(arguments))
    given: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in values.items()}
    return Options(**given)
