"""The options of the command line, in one frozen dataclass."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import AXES, Once, Parser, filled, short
from benchmarks.record import UsageError
from benchmarks.suites import SEEDS, SUITES

MOST_SEEDS = 1000  # in one command
ENGINES = ("processes", "ray")
PRESETS = ("auto", "smoke", "screen", "cpu", "gpu")


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
    threads: int
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
    ritz: int
    shard: tuple[int, int]
    engine: str = "processes"
    address: str | None = None
    tuned: str | None = None
    together: int = 1


def seeds(text: str) -> tuple[int, ...]:
    """Seeds such as `0-4` or `0,3,5-7`.

    >>> seeds("0,3,5-7")
    (0, 3, 5, 6, 7)
    """
    out: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})(?:-([0-9]{1,9}))?\s*", part)
        if match is None:
            wanted = "write 0-4 or 0,3,5-7, each from 0 to 999999999"
            raise argparse.ArgumentTypeError(f"{short(text)} is no list of seeds: {wanted}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise argparse.ArgumentTypeError(
                f"{short(text)} runs backwards: the first of a range comes before the last"
            )
        if len(out) + last - first >= MOST_SEEDS:
            raise argparse.ArgumentTypeError(
                f"{short(text)} are more than {MOST_SEEDS} seeds: split them over commands"
            )
        out |= dict.fromkeys(range(first, last + 1))
    return tuple(out)


def shard(text: str) -> tuple[int, int]:
    """A part of a plan, such as `2/8`: the second of eight.

    >>> shard("2/8")
    (2, 8)
    """
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{short(text)} is no part of a plan: write 2/8 for the second of eight")
    return int(match[1]), int(match[2])


def whole(most: int) -> Callable[[str], int]:
    """Reads a whole number of at least 1, and at most so many."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{short(text)} is no whole number from 1 to {most}")
        return int(text)

    return read


def duration(text: str) -> float:
    """Seconds, more than 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{short(text)} is no number of seconds above 0")
    return value


def parse(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line; exits with status 2 where they make no sense."""
    parser = Parser("benchmarks.run", description="Play game optimizers on benchmark problems.", allow_abbrev=False)
    add(parser)
    parser.add_argument(
        "--tuned", action=Once, type=filled, metavar="FILE", help="play what benchmarks.tune chose, too"
    )
    try:
        return read(parser.read(arguments))
    except UsageError as error:
        parser.error(str(error))


def read(values: dict[str, Any]) -> Options:
    """The options that a parser has read which `add` has told of them.

    Raises:
        UsageError: some of them do not go together.
    """
    if values["address"] is not None and values["engine"] != "ray":
        raise UsageError(f"--address {values['address']} is of a Ray cluster: add --engine ray, or leave it out.")
    lists = {name: tuple(dict.fromkeys(value)) for name, value in values.items() if isinstance(value, list)}
    values |= {**lists, "results": Path(values["results"]), "threads": values["threads"] or _threads(values["jobs"])}
    return Options(**values)


def add(parser: Parser) -> None:
    """Tell a parser of the options."""

    def one(*names: str, **how: Any) -> None:
        parser.add_argument(*names, action=Once, **{"type": filled, **how})

    def several(*names: str, **how: Any) -> None:
        parser.add_argument(*names, action="append", default=[], type=filled, **how)

    def flag(*names: str, **how: Any) -> None:
        parser.add_argument(*names, action="store_true", **how)

    several("--suite", metavar="NAME", help=f"one of {', '.join(SUITES)} (repeatable)")
    several("-p", "--problem", metavar="GLOB", help="problems, in the suite if there is one")
    several("-o", "--optimizer", metavar="SPEC", help="say 'lookahead[inner=sga;lr=0.1,0.01]'")
    one("--seeds", type=seeds, default=SEEDS, metavar="LIST", help="0-4 or 0,3,5-7; the same for all (0,1)")
    one("--preset", choices=PRESETS, default="auto", help="size (auto: gpu where CUDA is)")
    one("--steps", type=whole(10**9), metavar="N", help="budget: N gradients per player, in place of the preset's")
    one("--timeout", type=duration, default=math.inf, metavar="S", help="seconds for one cell")
    one("-j", "--jobs", type=whole(1000), metavar="N", help="cells at a time (CPU: as its cores allow, GPU: 1)")
    one(
        "--together",
        type=whole(1000),
        default=1,
        metavar="N",
        help="as many cells, at most, as one ensemble (1)",
    )
    one("--engine", choices=ENGINES, default=ENGINES[0], help="who plays: this machine's processes, or Ray")
    one("--address", metavar="HOST:PORT", help="of a Ray cluster, or auto (a new one, here)")
    one("--shard", type=shard, default=(1, 1), metavar="I/N", help="every N-th cell from the I-th on (1/1: all)")
    one("--threads", type=whole(1000), metavar="N", help="threads of one cell (1; with -j 1, OMP_NUM_THREADS)")
    one("--device", metavar="NAME", help="cpu, cuda, cuda:1, ... (cuda where there is one)")
    one("--data", metavar="NAME", help="data set for the problems that take one, or folder:PATH")
    one("--data-root", metavar="DIR", help="folder with real data sets, in torchvision's layout")
    flag("--download", help="fetch data sets that are missing")
    one("--results", default="runs", metavar="DIR", help="where everything goes (runs)")
    several("--import", dest="imports", metavar="FILE", help="a file of your own problems and optimizers")
    one("--axis", choices=AXES, default="gradients", help="x-axis of curves")
    flag("--list", help="print suites, problems and optimizers")
    flag("-n", "--dry-run", help="print the plan, its size and an estimate")
    one("--force", metavar="GLOB", help="play cells whose run id matches again from the start")
    one("--ritz", type=whole(1000), default=0, metavar="N", help="Ritz values of the game, N products an evaluation")
    one("--retry", choices=("failed",), help="play cells again that ended in error, oom or timeout")


def _threads(jobs: int | None) -> int:
    """How many threads a cell has where `--threads` does not say: one, or what the environment says for a lone one."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if jobs == 1 and re.fullmatch("[1-9][0-9]{0,2}", asked) else 1
