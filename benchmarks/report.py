"""Tables and figures of a results folder: `python -m benchmarks.report results/gans`. Needs no torch."""

from __future__ import annotations

import fcntl
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import AXES, Once, Parser, filled
from benchmarks.record import UsageError
from benchmarks.terminal import say, settle

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from benchmarks.table import Tables


def write(home: Path, axis: str = AXES[0]) -> list[Path]:
    """Write the tables and figures of a suite's folder; returns their paths.

    Args:
        home: results/<suite>.
        axis: the x-axis of curves: gradients, seconds or steps.

    Raises:
        UsageError: there is no such folder, it holds no cells, or another version has written them.
    """
    with alone(home):
        from benchmarks import plots, record, table  # only now: they take seconds

        record.sweep(home)
        tables = table.load(home)
        for note in tables.notes:
            print(f"note: {note}", file=sys.stderr)
        paths = table.write(home, tables)
        for name, figure in figures(tables, axis):
            paths += plots.save(figure, home / "figures" / re.sub(r"[^\w.+-]+", "-", name))
    return paths


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """Have a suite's folder to this process; waits for another one that writes its tables and figures.

    Raises:
        UsageError: there is no such folder.
    """
    try:
        handle = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(f"{home} cannot be read ({error.strerror}): name the folder of a suite's results.") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def figures(tables: Tables, axis: str) -> Iterator[tuple[str, Figure]]:
    """Every figure that the tables have something to show in, with its name."""
    from benchmarks import grids, plots, table

    yield "overview", plots.overview(table.summary(tables.runs))
    for title, runs in tables.runs.groupby("title"):
        rows, pictures = (frame[frame.title == title] for frame in (tables.curves, tables.pictures))
        floors = tables.floors[tables.floors.title == title]
        if rows.empty:
            continue
        if metrics := panels(list(rows.metric.unique()), str(runs.headline.iloc[0])):
            yield f"{title}-curves", plots.curves(rows, runs, floors, metrics, axis)
        if "value" in runs:
            yield f"{title}-tradeoff", plots.tradeoff(runs)
        if {"x", "y"} <= set(rows.metric):
            yield f"{title}-phase", plots.phase(rows, runs)
        for name, group in pictures.groupby("name"):
            yield f"{title}-{name}-training", grids.training_grid(group, runs)
            yield f"{title}-{name}-seeds", grids.seed_grid(group, runs)


def tensorboard(home: Path, logs: Path) -> None:
    """Write the curves of every run as TensorBoard events, a folder a run. Needs torch and the extra tensorboard.

    Raises:
        UsageError: tensorboard is not installed.
    """
    from benchmarks import table

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("--tensorboard needs tensorboard: pip install 'minimax-games[tensorboard]'.") from error
    for run, rows in table.load(home).curves.groupby("run_id", observed=True):
        with SummaryWriter(str(logs / str(run))) as writer:
            for metric, step, value in rows[["metric", "step", "value"]].itertuples(index=False):
                writer.add_scalar(metric, value, step)


def panels(metrics: Sequence[str], headline: str) -> list[str]:
    """The metrics that a problem's curves show: the headline, how much of the data is covered, the norm of F."""
    coverage = [name for name in metrics if name.partition("/")[0] in ("fair_modes", "recall") and name != headline]
    return [name for name in (headline, *coverage[:1], "field_norm") if name in metrics]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    settle()
    parser = Parser("benchmarks.report", description="Tables and figures of results, once more.")
    parser.add_argument("folder", type=filled, nargs="+", help="results/<suite>")
    parser.add_argument("--axis", action=Once, choices=AXES, default=AXES[0], help="x-axis of curves")
    parser.add_argument("--tensorboard", action=Once, type=filled, metavar="DIR", help="write TensorBoard events too")
    options = parser.read(arguments)
    logs = options["tensorboard"]
    try:
        if logs is not None and os.path.lexists(logs) and not os.path.isdir(logs):
            raise UsageError(f"--tensorboard {logs} is no folder: name one, or one that can be made.")
        for folder in map(Path, options["folder"]):
            for path in write(folder, options["axis"]):
                say(path)
            if logs is not None:
                tensorboard(folder, Path(logs) / folder.name)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}: mend that, then run the same command again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
