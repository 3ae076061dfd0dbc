"""What a worker is told, and what it says: a cell to play, events, and whether to stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from benchmarks import record
from benchmarks.record import Folder
from benchmarks.runner.plan import Cell

BUSY = "busy"
"""The kind of an event that says: another process plays this cell, and nothing was touched."""


@dataclass(frozen=True)
class Task:
    """A cell and what changes none of its numbers.

    Args:
        cell: what to play.
        folder: where to record it.
        device: where to compute.
        timeout: seconds for this attempt.
        pause: seconds between checkpoints, at least.
        commit: the revision of this code, if known.
        anew: start from nothing, whatever there is.
        final: the statuses that leave nothing to play.
        imports: a user's own files, for their optimizers.
        ritz: how many products with the game's Jacobian an evaluation spends on its Ritz values.
        pictures: whether to take some at every evaluation.
        others: the tasks to play with it, as one ensemble.
    """

    cell: Cell
    folder: Folder
    device: str = "cpu"
    timeout: float = float("inf")
    pause: float = 5.0
    commit: str | None = None
    anew: bool = False
    final: frozenset[str] = record.PLAYED
    imports: tuple[str, ...] = ()
    ritz: int = 0
    pictures: bool = True
    others: tuple[Task, ...] = ()

    @property
    def each(self) -> tuple[Task, ...]:
        """The tasks that are played together, each by itself."""
        return (replace(self, others=()), *self.others)

    @property
    def limit(self) -> float:
        """Seconds for all of them."""
        return self.timeout * (1 + len(self.others))


class Event(NamedTuple):
    """What the terminal hears of a cell.

    Its kind is start, note, progress, evaluation, or at the end the status, or `busy`.
    """

    run_id: str
    kind: str
    text: str = ""
    step: int = 0
    steps: int = 0
    value: float = float("nan")
    covered: float = float("nan")
    flags: str = ""
    trace: str = ""


Tell = Callable[[Event], None]


class Stop:
    """Whether to stop: a signal came, or the parent is gone."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, *_: Any) -> None:
        """Stop after this step."""
        self.asked = True

    def __bool__(self) -> bool:
        return self.asked
