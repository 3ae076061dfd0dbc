"""What every command line here has in common: how it reads options, refuses, and prints."""

from __future__ import annotations

import argparse
import codecs
import io
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Never, TextIO

from benchmarks.record import UsageError

AXES = ("gradients", "seconds", "steps")
GIVEN = " given"  # what an option's own name cannot be
LOOKALIKES = str.maketrans("★●◐✗‖▶·–—’‘“”…×", "*ocx=>.--''\"\".x")
"""What stands for a character where the output has none of its kind; the marks stay apart."""


class Parser(argparse.ArgumentParser):
    """A parser that refuses in one line, as everything here does."""

    def read(self, arguments: Sequence[str] | None) -> dict[str, Any]:
        """The options by name."""
        found, unknown = self.parse_known_args(arguments)
        if unknown:
            near = get_close_matches(unknown[0].partition("=")[0], self._option_string_actions, 1)
            hint = f"did you mean {near[0]}?" if near else "options begin with a dash, and values follow theirs"
            self.error(f"{short(unknown[0])} is no option: {hint}")
        return {name: value for name, value in vars(found).items() if name != GIVEN}

    def error(self, message: str) -> Never:
        """Say what is wrong and leave with status 2."""
        self.exit(2, f"error: {' '.join(message.split())} (see python -m {self.prog} --help)\n")


class Once(argparse.Action):
    """An option with one value, which a second one would silently replace."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        """Take the value, the first time."""
        given = vars(namespace).setdefault(GIVEN, set())
        if self.dest in given:
            raise argparse.ArgumentError(self, f"is given twice, the second time with {values!r}: give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def filled(text: str) -> str:
    """A text that says something."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} says nothing: give it a value, or leave the option out")
    return text


def status(play: Callable[[], int]) -> int:
    """The exit status of a command that may refuse, and say so in one line.

    Args:
        play: the command.

    Returns:
        What it returns; 2 where it was asked for what makes no sense, 1 where a file cannot be read or written.
    """
    try:
        return play()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}: mend that, then run the same command again", file=sys.stderr)
        return 1


def short(text: str) -> str:
    """A value in quotes, cut where it is too long to read."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def settle() -> None:
    """Make standard output and error take whatever is written: closed ones nothing, ASCII ones what looks alike."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # one of the three was closed
        os.set_inheritable(number, True)
    os.close(number)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="lookalike")


def lookalike(error: UnicodeError) -> tuple[str, int]:
    """What to write for characters that an encoding does not have."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end].translate(LOOKALIKES)
    return text.encode("ascii", "replace").decode(), error.end


codecs.register_error("lookalike", lookalike)


def say(text: object, out: TextIO | None = None) -> None:
    """Print a line; where nobody reads any longer (`| head`), nowhere."""
    out = sys.stdout if out is None else out
    try:
        print(text, file=out, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
