"""What the terminal shows: problems as blocks, optimizers as rows, a mark a seed; without a TTY, one line an event."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from benchmarks.command import say
from benchmarks.record import FAILED, PLAYED, STATUSES
from benchmarks.statistics import interval, number, ranged

if TYPE_CHECKING:
    from rich.console import RenderableType

    from benchmarks.runner.plan import Cell
    from benchmarks.runner.task import Event

MARKS = {"ok": "●", "target": "★", "diverged": "✗", "running": "▶", "interrupted": "‖", "skipped": "–", "new": "·"}
COLOURS = {"●": "green", "★": "bold green", "✗": "red", "▶": "cyan", "◐": "yellow", "!": "bold red", "‖": "magenta"}
LEGEND = "★ targets met  ● done  ◐ flagged  ✗ diverged  ! failed  – skipped  ‖ interrupted  ▶ running  · to do"
TRACE = 6  # lines of a traceback


@dataclass
class State:
    """How one cell stands."""

    status: str = "new"
    step: int = 0
    steps: int = 0
    value: float = math.nan
    covered: float = math.nan
    flags: str = ""

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to play."""
        return self.status in PLAYED | FAILED | {"skipped"}

    @property
    def mark(self) -> str:
        """One character."""
        if self.status in FAILED:
            return "!"
        return "◐" if self.flags and self.status in PLAYED else MARKS.get(self.status, "·")

    @property
    def fraction(self) -> float:
        """How much of it is done."""
        if self.ended:
            return 1.0
        return self.step / self.steps if self.steps else 0.0


class Headline(NamedTuple):
    """What rows show of a problem.

    Args:
        name: of its headline metric.
        beside: of that of coverage, if it has one beside it.
        worst: what a run counts as that diverged or is flagged.
    """

    name: str = ""
    beside: str = ""
    worst: float = math.inf


@dataclass
class Board:
    """How all cells stand.

    Args:
        cells: the plan.
        headlines: problem -> what its rows show, as far as it is known.
        states: run id -> how it stands already.
    """

    cells: Sequence[Cell]
    headlines: dict[str, Headline]
    states: dict[str, State]
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._at_start = self.fraction

    def hear(self, event: Event) -> None:
        """Take an event in."""
        state = self.states[event.run_id]
        if event.kind == "note":
            return
        state.status = event.kind if event.kind in STATUSES else "running"
        state.step, state.steps = event.step or state.step, event.steps or state.steps
        if not math.isnan(event.value) or event.kind in STATUSES:
            state.value, state.covered, state.flags = event.value, event.covered, event.flags

    @property
    def fraction(self) -> float:
        """How much of the plan is done."""
        return sum(state.fraction for state in self.states.values()) / max(1, len(self.states))

    @property
    def finished(self) -> int:
        """How many cells have ended."""
        return sum(state.ended for state in self.states.values())

    @property
    def gone(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds to go, if the rest goes like what was done since the start; nan before there is any."""
        done = self.fraction - self._at_start
        return self.gone * (1 - self.fraction) / done if done > 0 else math.nan

    def rows(self) -> Iterator[tuple[str, str, str, str]]:
        """Title, optimizer, marks and a summary, optimizer by optimizer within each problem."""
        groups: dict[str, dict[str, list[Cell]]] = {}
        for cell in self.cells:
            groups.setdefault(cell.title, {}).setdefault(cell.shown, []).append(cell)
        for title, specs in groups.items():
            for name, cells in specs.items():
                states = [self.states[cell.run_id] for cell in cells]
                summary = self._summary(self.headlines.get(cells[0].problem, Headline()), states)
                yield title, name, "".join(state.mark for state in states), summary

    def _summary(self, headline: Headline, states: Sequence[State]) -> str:
        played = [s for s in states if s.status in PLAYED]
        fell = [headline.worst if s.status == "diverged" or s.flags else s.value for s in played]
        covered = [s.covered for s in played if s.covered == s.covered]
        parts = [f"{headline.name} {told(fell)}"]
        parts += [f"{headline.beside} {median(covered):.3g}"] if headline.beside and covered else []
        running = [f"step {s.step}/{s.steps}" for s in states if s.status == "running" and s.steps]
        lost = [str(s.step) for s in states if s.status == "diverged"]
        parts += running[:1]
        parts += [f"{len(lost)} diverged @ {', '.join(lost)}"] if lost else []
        flags = Counter(flag for s in states if s.status in PLAYED and s.flags for flag in s.flags.split(", "))
        parts += [f"{count} {flag}" for flag, count in sorted(flags.items())]
        for status in ("timeout", "oom", "error", "interrupted", "skipped"):
            if count := sum(s.status == status for s in states):
                parts.append(f"{count} {status}")
        return "  ".join(parts)


def told(values: Sequence[float]) -> str:
    """The median and its interval, as tables tell them.

    >>> told([0.1, 0.3, 0.2]), told([0.1]), told([])
    ('0.2 (0.1 to 0.3)', '0.1', '–')
    """
    found = interval(values)
    return ranged(*found) if len(values) > 1 else number(found.value)


def clock(seconds: float) -> str:
    """Minutes and seconds.

    >>> clock(95), clock(3700), clock(math.nan)
    ('1:35', '1:01:40', '?')
    """
    if math.isnan(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Plain:
    """One line an event, for logs and pipes.

    Args:
        board: how the cells stand.
        again: a cell -> the command that plays it alone.
        out: where lines go.
    """

    pause = 60.0  # seconds of silence after which a line says how far it is

    def __init__(self, board: Board, again: Callable[[Cell], str], out: TextIO | None = None) -> None:
        self.board, self.again, self.out = board, again, out if out is not None else sys.stdout
        self._said = time.monotonic()
        self._cells = {cell.run_id: cell for cell in board.cells}

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *_: object) -> None:
        for title, spec, marks, summary in self.board.rows():
            self.say(f"{title:24} {spec:24} {marks:6} {summary}")

    def say(self, text: str) -> None:
        """Print a line."""
        self._said = time.monotonic()
        say(text, self.out)

    def hear(self, event: Event) -> None:
        """Take an event in, and print what it means to people."""
        self.board.hear(event)
        if event.kind == "note":
            self.say(f"{event.run_id}: {event.text}")
        elif event.kind in STATUSES:
            headline = self.board.headlines.get(self._cells[event.run_id].problem, Headline())
            value = "" if math.isnan(event.value) else f"  {headline.name} {event.value:.4g}"
            count = f"[{self.board.finished}/{len(self.board.cells)}]"
            self.say(f"{count} {event.run_id}: {event.kind} at step {event.step}{value}  ({event.text})")
        elif time.monotonic() - self._said > self.pause:
            board = self.board
            self.say(f"{100 * board.fraction:.0f} % done, {clock(board.gone)} gone, about {clock(board.left)} left")
        if event.kind in FAILED or (event.kind == "interrupted" and event.trace):
            self.explain(event)

    def explain(self, event: Event) -> None:
        """Print the beginning of a traceback and the command that plays the cell alone."""
        for line in event.trace.splitlines()[:TRACE]:
            self.say(f"    {line}")
        self.say(f"    again: {self.again(self._cells[event.run_id])}")


class Live(Plain):
    """A table that redraws itself, for a TTY."""

    def __enter__(self) -> Live:
        from rich.console import Console
        from rich.live import Live as Display

        self._console, self._ended = Console(file=self.out), False
        self._display = Display(console=self._console, get_renderable=self.render, refresh_per_second=4, transient=True)
        self._display.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.stop()
        self._ended = True
        self._console.print(self.render())

    def say(self, text: str) -> None:
        """Print a line above the table."""
        self._console.print(text, markup=False, highlight=False)

    def hear(self, event: Event) -> None:
        """Take an event in; only what needs a reader is printed above the table."""
        self.board.hear(event)
        if event.kind == "note":
            self.say(f"{event.run_id}: {event.text}")
        if event.kind in FAILED:
            self.say(f"{event.run_id}: {event.kind} ({event.text})")
            self.explain(event)

    def render(self) -> RenderableType:
        """The table, a bar, and what the marks mean."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        before = None
        for title, spec, marks, summary in self._visible():
            if title != before:
                table.add_row(Text(title, style="bold"))
                before = title
            coloured = Text.assemble(*((mark, COLOURS.get(mark, "dim")) for mark in marks))
            table.add_row(Text(f"  {spec}"), coloured, Text(summary))
        board, elapsed = self.board, clock(self.board.gone)
        bar = Table.grid(padding=(0, 1))
        count = f"{board.finished}/{len(board.cells)}"
        bar.add_row(count, ProgressBar(1.0, board.fraction, width=40), f"{elapsed} gone, {clock(board.left)} left")
        return Group(table, bar, Text(LEGEND, style="dim"))

    def _visible(self) -> list[tuple[str, str, str, str]]:
        """The rows that fit the screen: those under way and what is next to them."""
        rows = list(self.board.rows())
        room = max(5, self._console.height - 4 - len({row[0] for row in rows}))
        if self._ended or len(rows) <= room:
            return rows
        running = next((i for i, row in enumerate(rows) if MARKS["running"] in row[2]), 0)
        start = max(0, min(running - room // 2, len(rows) - room))
        return rows[start : start + room]


def screen(board: Board, again: Callable[[Cell], str], **options: Any) -> Plain:
    """The screen that fits standard output."""
    able = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return (Live if able else Plain)(board, again, **options)
