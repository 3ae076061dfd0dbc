"""Equal tuning of every optimizer: `python -m benchmarks.tune --suite gans`, then `run --suite gans --tuned FILE`.

Every optimizer is tried at the same points of one space, in terms of the recipe: the players' rates, the ratio of the
last player's to the others', and one parameter of its own (see `benchmarks.runner.tuning`). Trials are played on seeds
and images that no table reports; all on the first seed, the best of them and the recipe on the others too.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.command import Once, Parser, say, settle, status
from benchmarks.record import UsageError
from benchmarks.runner.engines import processes
from benchmarks.runner.options import add, read, whole

SEEDS = (1000, 1001, 1002, 1003)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    settle()
    parser = Parser("benchmarks.tune", description="Try every optimizer at the same settings.", allow_abbrev=False)
    add(parser)
    parser.add_argument(
        "--trials", action=Once, type=whole(1000), default=12, metavar="N", help="settings of each (12)"
    )
    parser.add_argument("--keep", action=Once, type=whole(1000), default=4, metavar="N", help="go on to all seeds (4)")
    parser.set_defaults(seeds=SEEDS)
    values = parser.read(arguments)
    trials, keep = values.pop("trials"), values.pop("keep")
    try:
        return status(lambda: tune(values, trials, keep))
    except KeyboardInterrupt:
        say("interrupted: the same command goes on from here", sys.stderr)
        return 130


def tune(values: dict[str, Any], trials: int, keep: int) -> int:
    """Search as was asked for."""
    options = read(values)
    if not options.suite:
        raise UsageError("nothing to tune on: name a suite, as in --suite gans.")
    if options.shard != (1, 1):
        raise UsageError("--shard: the best go on to all seeds, so a search is one plan; use -j, or a suite a machine.")
    processes.warm_up()
    from benchmarks.runner import search  # only now: it imports torch, while the server of the workers does

    return search.search(options, trials, keep)


if __name__ == "__main__":
    sys.exit(main())
