"""Two results folders side by side, what changed and whether it is noise. Needs no torch.

python -m benchmarks.compare results/gans runs/gans
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import Parser, filled, say, settle, status


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status, 0 whatever has changed."""
    settle()
    parser = Parser("benchmarks.compare", description="What changed between two folders, and whether it is noise.")
    for name in ("first", "second"):
        parser.add_argument(name, type=filled, help="results/<suite>, with cells or its runs.csv alone")
    options = parser.read(arguments)
    return status(lambda: compare(Path(options["first"]), Path(options["second"])))


def compare(first: Path, second: Path) -> int:
    """Say what changed."""
    from benchmarks.reporting import changes  # only now: it takes seconds

    for line in changes.lines(changes.between(changes.read(first), changes.read(second))):
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
