"""Curves for trackers of experiments: anything that has `log(metrics, step)`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from benchmarks.record import UsageError
from benchmarks.reporting import tables


class Sink(Protocol):
    """Where the curves of one run go, such as a run of trackio or wandb."""

    def log(self, metrics: dict[str, float], step: int) -> object:
        """Take the metrics of one step."""


def send(home: Path, opened: Callable[[str, dict[str, Any]], AbstractContextManager[Sink]]) -> None:
    """Send the curves of every run, a step at a time.

    Args:
        home: results/<suite>.
        opened: makes the sink of a run, from its name and from what it was.
    """
    found = tables.load(home)
    about = found.runs.set_index("run_id")[["title", "label", "seed", "status"]].to_dict("index")
    for run, rows in found.curves.groupby("run_id", observed=True):
        with opened(str(run), {str(name): value for name, value in about[run].items()}) as sink:
            for step, some in rows.groupby("step"):
                sink.log(_named(some), int(str(step)))


def _named(rows: Any) -> dict[str, float]:
    """The values of one step by their metrics; those of an average of the players beside those of the last."""
    return {
        row.metric if row.iterate in ("last", "average") else f"{row.iterate}/{row.metric}": row.value
        for row in rows.itertuples()
    }


def tensorboard(logs: Path) -> Callable[[str, dict[str, Any]], AbstractContextManager[Sink]]:
    """Sinks that write TensorBoard events, a folder a run. Needs torch and the extra tensorboard.

    Raises:
        UsageError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("--tensorboard needs tensorboard: pip install 'minimax-games[tensorboard]'.") from error

    class Events:
        def __init__(self, writer: SummaryWriter) -> None:
            self.writer = writer

        def log(self, metrics: dict[str, float], step: int) -> None:
            for metric, value in metrics.items():
                self.writer.add_scalar(metric, value, step)

    @contextmanager
    def opened(name: str, about: dict[str, Any]) -> Iterator[Sink]:
        with SummaryWriter(str(logs / name)) as writer:
            yield Events(writer)

    return opened


def trackio(project: str) -> Callable[[str, dict[str, Any]], AbstractContextManager[Sink]]:
    """Sinks of a trackio project, which lies on this machine, unless trackio's own TRACKIO_SPACE_ID says else.

    Raises:
        UsageError: trackio is not installed.
    """
    try:
        import trackio as tracker
    except ImportError as error:
        raise UsageError("--trackio needs trackio: pip install trackio.") from error

    @contextmanager
    def opened(name: str, about: dict[str, Any]) -> Iterator[Sink]:
        run = tracker.init(project=project, name=name, config=about)
        try:
            yield run
        finally:
            run.finish()

    return opened
