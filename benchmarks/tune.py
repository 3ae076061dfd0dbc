"""Equal tuning of every optimizer: `python -m benchmarks.tune --suite gans`, then `run --suite gans --tuned FILE`.

Every optimizer is tried at the same points of one space, in terms of the recipe: the players' rates, the ratio of the
last player's to the others', and one parameter of its own (see `benchmarks.runner.tuning`). Trials are played on seeds
and images that no table reports; all on the first seed, the best of them and the recipe on the others too.

`python -m benchmarks.tune --screen` does this for ten methods on twelve problems, plays what was chosen, and reports.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import run
from benchmarks.command import Once, Parser, say, settle, status
from benchmarks.record import UsageError
from benchmarks.runner.engines import processes
from benchmarks.runner.options import Options, add, read, whole
from benchmarks.suites import METHODS

SEEDS = (1000, 1001, 1002, 1003)
REPORTED = tuple(range(10))
"""The seeds on which `--screen` plays what it has chosen."""
TOGETHER = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    settle()
    parser = Parser("benchmarks.tune", description="Try every optimizer at the same settings.", allow_abbrev=False)
    add(parser)
    parser.add_argument(
        "--trials", action=Once, type=whole(1000), default=12, metavar="N", help="settings of each (12)"
    )
    parser.add_argument("--keep", action=Once, type=whole(1000), default=4, metavar="N", help="go on to all seeds (4)")
    parser.add_argument("--screen", action="store_true", help="ten methods on twelve problems: search, runs, report")
    parser.set_defaults(seeds=SEEDS)
    values = parser.read(arguments)
    trials, keep = values.pop("trials"), values.pop("keep")
    play = screen if values.pop("screen") else searched
    try:
        return status(lambda: play(read(values), trials, keep))
    except KeyboardInterrupt:
        say("interrupted: the same command goes on from here", sys.stderr)
        return 130


def screen(options: Options, trials: int, keep: int) -> int:
    """The comparison of `benchmarks.suites.SCREEN`: search, play what was chosen on other seeds, report."""
    options = replace(
        options,
        suite=options.suite or ("screen", "screen-held-out"),
        optimizer=options.optimizer or METHODS,
        preset="screen" if options.preset == "auto" else options.preset,
        together=max(options.together, TOGETHER),
    )
    say(f"a search, then three settings of each on {len(REPORTED)} seeds, which takes about as long again")
    tables = tune(options, trials, keep)
    shown = [replace(options, suite=(suite,), tuned=str(path), seeds=REPORTED) for suite, path in tables.items()]
    return max(map(run.play, shown), default=0)


def searched(options: Options, trials: int, keep: int) -> int:
    """The search alone; returns its exit status."""
    tune(options, trials, keep)
    return 0


def tune(options: Options, trials: int, keep: int) -> dict[str, Path]:
    """Search as was asked for; returns the tables by suite."""
    if not options.suite:
        raise UsageError("nothing to tune on: name a suite, as in --suite gans.")
    if options.shard != (1, 1):
        raise UsageError("--shard: the best go on to all seeds, so a search is one plan; use -j, or a suite a machine.")
    processes.warm_up()
    from benchmarks.runner import search  # only now: it imports torch, while the server of the workers does

    return search.search(options, trials, keep)


if __name__ == "__main__":
    sys.exit(main())
