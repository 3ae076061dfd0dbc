"""Two results folders side by side, what changed and whether it is noise. Needs no torch.

python -m benchmarks.compare results/gans runs/gans
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import Parser, filled, say, settle
from benchmarks.record import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status, 0 whatever has changed."""
    settle()
    parser = Parser("benchmarks.compare", description="What changed between two folders, and whether it is noise.")
    for name in ("first", "second"):
        parser.add_argument(name, type=filled, help="results/<suite>, with cells or its runs.csv alone")
    options = parser.read(arguments)
    try:
        from benchmarks.reporting import changes  # only now: it takes seconds

        first, second = (changes.read(Path(options[name])) for name in ("first", "second"))
        for line in changes.lines(changes.between(first, second)):
            say(line)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}: mend that, then run the same command again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
