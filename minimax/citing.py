"""What to cite for the methods that were used."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from minimax.errors import GameError

LIBRARY = "minimax-games contributors, minimax: game optimizers for PyTorch, 2026."


def citation(*methods: Any) -> str:
    """The papers behind the methods, as their docstrings name them, each once, and at last this library.

    Args:
        methods: optimizers, rules, penalties, transforms or games: objects, their classes, or functions. An optimizer
            brings its rules, a wrapper the optimizer inside.

    Returns:
        A line for each.

    Raises:
        GameError: something whose docstring names no source, if nothing that it brings does either.

    Example:
        >>> import minimax as mm
        >>> print(mm.citation(mm.ConsensusOptimization(mm.rmsprop(1e-3)), mm.penalties.r1))
        Mescheder, Nowozin & Geiger, The Numerics of GANs, 2017.
        Tieleman & Hinton, Lecture 6.5: RMSprop, Neural Networks for Machine Learning, 2012.
        Mescheder, Geiger & Nowozin, Which Training Methods for GANs do actually Converge?, 2018.
        minimax-games contributors, minimax: game optimizers for PyTorch, 2026.
    """
    lines = []
    for method in methods:
        found = [source for part in brought(method) if (source := named(part))]
        if not found:
            name = getattr(method, "__name__", type(method).__name__)
            raise GameError(
                f"{name} names no source: ask for a method of minimax that has one, such as mm.ConsensusOptimization."
            )
        lines += found
    return "\n".join(dict.fromkeys([*lines, LIBRARY]))


def brought(method: Any) -> Iterator[Any]:
    """A method and all methods that it holds."""
    yield method
    if is_dataclass(method) and not isinstance(method, type):
        for field in fields(method):
            value = getattr(method, field.name)
            for part in value if isinstance(value, tuple) else (value,):
                if is_dataclass(part):
                    yield from brought(part)


def named(method: Any) -> str:
    """The source that a docstring ends with, on one line, empty without one."""
    kind = method if isinstance(method, type) or inspect.isroutine(method) else type(method)
    _, _, source = (inspect.cleandoc(kind.__doc__ or "")).partition("Source: ")
    return " ".join(source.partition("\n\n")[0].split())
