"""Tables, figures and a page of a results folder: `python -m benchmarks.report results/gans`. Needs no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command import AXES, Once, Parser, filled, say, settle, status
from benchmarks.record import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    settle()
    parser = Parser("benchmarks.report", description="Tables, figures and a page of results, once more.")
    parser.add_argument("folder", type=filled, nargs="+", help="results/<suite>")
    parser.add_argument("--axis", action=Once, choices=AXES, default=AXES[0], help="x-axis of curves")
    parser.add_argument("--tensorboard", action=Once, type=filled, metavar="DIR", help="write TensorBoard events too")
    parser.add_argument("--trackio", action=Once, type=filled, metavar="PROJECT", help="write curves for trackio too")
    parser.add_argument("--paper", action="store_true", help="write PDF figures and a LaTeX table too")
    options = parser.read(arguments)
    return status(lambda: write(options))


def write(options: Mapping[str, Any]) -> int:
    """Write all that was asked for."""
    logs = options["tensorboard"]
    if logs is not None and os.path.lexists(logs) and not os.path.isdir(logs):
        raise UsageError(f"--tensorboard {logs} is no folder: name one, or one that can be made.")
    from benchmarks.reporting import suite, tracking  # only now: they take seconds

    for folder in map(Path, options["folder"]):
        for path in suite.write(folder, options["axis"], options["paper"]):
            say(path)
        if logs is not None:
            tracking.send(folder, tracking.tensorboard(Path(logs) / folder.name))
        if options["trackio"] is not None:
            tracking.send(folder, tracking.trackio(options["trackio"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
