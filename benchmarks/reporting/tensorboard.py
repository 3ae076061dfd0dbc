"""Curves as TensorBoard events. Needs torch and the extra tensorboard."""

from __future__ import annotations

from pathlib import Path

from benchmarks.record import UsageError
from benchmarks.reporting import tables


def write(home: Path, logs: Path) -> None:
    """Write the curves of every run as TensorBoard events, a folder a run. Needs torch and the extra tensorboard.

    Raises:
        UsageError: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("--tensorboard needs tensorboard: pip install 'minimax-games[tensorboard]'.") from error
    for run, rows in tables.load(home).curves.groupby("run_id", observed=True):
        with SummaryWriter(str(logs / str(run))) as writer:
            for metric, step, value in rows[["metric", "step", "value"]].itertuples(index=False):
                writer.add_scalar(metric, value, step)
