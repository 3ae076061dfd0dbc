"""The command line: plan, run, tables, figures.

python -m benchmarks.run --suite gans
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from benchmarks import record
from benchmarks.command import say, settle
from benchmarks.record import UsageError
from benchmarks.runner.engines import processes
from benchmarks.runner.options import Options, parse
from benchmarks.suites import SUITES

if TYPE_CHECKING:
    from benchmarks.runner.session import Session


def main(arguments: Sequence[str] | None = None) -> int:
    """The whole command; returns its exit status."""
    settle()
    options = parse(arguments)
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM checkpoints, as Ctrl-C does
    try:
        return catalogue(options) if options.list else play(options)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        how = "the same command" if options.force is None else "the same command, without --force,"
        print(f"interrupted: {how} goes on from here", file=sys.stderr)
        return 130
    except OSError as error:
        what = f"the disk is full ({error}): make room" if record.full_disk(error) else f"{error}: mend that"
        print(f"error: {what}, then run the same command again", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)


def play(options: Options) -> int:
    """Plan all suites, then play and report one after the other."""
    for name in options.suite:
        if name not in SUITES:
            near = get_close_matches(name, SUITES, 1)
            hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(SUITES)}."
            raise UsageError(f"--suite {name!r} is no suite: {hint}")
    if not (options.suite or options.problem or options.imports):
        raise UsageError(f"nothing to play: name a suite ({', '.join(SUITES)}) or a problem (-p), or see --list.")
    if not options.dry_run and options.engine == "processes":
        processes.warm_up()
    from benchmarks.runner import session  # only now: it imports torch, while the server of the workers does

    sessions = session.plan_all(options)
    if not sessions:
        say("--shard {}/{}: the plan has fewer cells, nothing to do".format(*options.shard))
    if options.dry_run:
        for one in sessions:
            one.preview()
        return 0
    return max([conclude(one, options) for one in sessions], default=0)


def conclude(session: Session, options: Options) -> int:
    """Play one suite, then write its tables and figures; returns the exit status."""
    if not session.play():
        return 1
    from benchmarks.reporting import suite  # only now: it takes seconds

    written = suite.write(session.home, options.axis)
    say(f"{len(written)} tables and figures in {session.home}")
    return int(session.lacking)


def catalogue(options: Options) -> int:
    """Print what there is."""
    from benchmarks.runner import catalogue  # only now: it imports torch

    for line in catalogue.lines(options.imports):
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
