"""The checks of what is passed in, shared by all: refused when made, with the argument, the value and the way out.

They belong in `__post_init__` and at the top of functions, never in a step. Under `vmap` and `torch.compile`, where a
configuration is made again from tensors that cannot be read, tensors pass: they were read when they were first given.
"""

from __future__ import annotations

import operator
import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor

from minimax import tree

_RELATIONS = {">=": operator.ge, ">": operator.gt, "<=": operator.le, "<": operator.lt}


def real(
    name: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    finite: bool = True,
    tensor: bool = False,
    schedule: bool = False,
) -> None:
    """Refuse what is no real number, or lies outside its range.

    Args:
        name: the argument, as the caller wrote it.
        value: an int or a float (a boolean is neither).
        at_least: the smallest value allowed.
        above: what values must exceed.
        at_most: the largest value allowed.
        below: what values must stay under.
        finite: False lets infinity pass.
        tensor: lets a tensor pass whose numbers are all in the range: 0-dim, or one per member of an ensemble.
        schedule: lets a function of the step count pass.

    Raises:
        ValueError: with what was expected and what was given.

    Example:
        >>> real("alpha", 0.5, at_least=0, below=1)
        >>> real("alpha", 1.5, at_least=0, below=1)
        Traceback (most recent call last):
        ...
        ValueError: alpha must be a finite number >= 0 and < 1, got 1.5.
        >>> real("lr", "fast", at_least=0, tensor=True, schedule=True)
        Traceback (most recent call last):
        ...
        ValueError: lr must be a finite number >= 0, a tensor of such or a schedule step -> number, got 'fast'.
    """
    if schedule and callable(value) and not isinstance(value, type):
        return
    if tensor and isinstance(value, Tensor) and tree.transformed():
        return
    given = {">=": at_least, ">": above, "<=": at_most, "<": below}
    bounds = {symbol: bound for symbol, bound in given.items() if bound is not None}

    def inside(x: Any) -> bool:
        number = isinstance(x, int | float) and not isinstance(x, bool)
        exists = number and (abs(x) <= sys.float_info.max if finite else x == x)
        return exists and all(_RELATIONS[symbol](x, bound) for symbol, bound in bounds.items())

    entries = _entries(value) if tensor and isinstance(value, Tensor) else [value]
    wrong = [x for x in entries if not inside(x)]
    if entries and not wrong:
        return
    limits = " and ".join(f"{symbol} {bound:.6g}" for symbol, bound in bounds.items())
    kinds = [f"a {'finite ' if finite else ''}number {limits}".rstrip()]
    if not isinstance(value, int | float) or isinstance(value, bool):
        kinds += ["a tensor of such"] * tensor + ["a schedule step -> number"] * schedule
    got = f"{wrong[0]} in a tensor" if isinstance(value, Tensor) and entries else shown(value)
    raise ValueError(f"{name} must be {listed(kinds)}, got {got}.")


hyperparameter = partial(real, tensor=True, schedule=True)
"""`real` for a hyperparameter: a number, a tensor (one value per member of an ensemble) or a schedule."""


def whole(name: str, value: Any, *, at_least: int, at_most: int | None = None) -> None:
    """Refuse what is no integer (a boolean is none), or lies outside its range.

    Raises:
        ValueError: with what was expected and what was given.

    Example:
        >>> whole("steps", 2.5, at_least=1)
        Traceback (most recent call last):
        ...
        ValueError: steps must be an integer >= 1, got 2.5.
    """
    integer = isinstance(value, int) and not isinstance(value, bool)
    if not (integer and value >= at_least and (at_most is None or value <= at_most)):
        limit = "" if at_most is None else f" and <= {at_most}"
        raise ValueError(f"{name} must be an integer >= {at_least}{limit}, got {shown(value)}.")


def flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False, as the string "False", which counts as true.

    Raises:
        ValueError: with what was given.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {shown(value)}.")


def function(name: str, value: Any, purpose: str, *, classes: bool = False) -> None:
    """Refuse what cannot be called, and classes, of which an instance was meant.

    Args:
        name: the argument, as the caller wrote it.
        value: what was given.
        purpose: what it must be: "a function of the players", say.
        classes: True lets a class pass, where something is to be made.

    Raises:
        TypeError: with what was expected and what was given.

    Example:
        >>> import minimax as mm
        >>> function("constraints[0]", mm.projections.simplex, "a function of a tensor")
        Traceback (most recent call last):
        ...
        TypeError: constraints[0] must be a function of a tensor, got the class simplex: pass simplex(...).
    """
    if isinstance(value, type) and not classes:
        raise TypeError(f"{name} must be {purpose}, got the class {value.__name__}: pass {value.__name__}(...).")
    if not callable(value):
        raise TypeError(f"{name} must be {purpose}, got {shown(value)}.")


def matrix(name: str, value: Any) -> None:
    """Refuse what is no matrix of finite floating point numbers.

    Raises:
        ValueError: with what was given.
    """
    real_matrix = isinstance(value, Tensor) and value.dim() == 2 and value.is_floating_point()
    if not (real_matrix and value.numel() and bool(torch.isfinite(value).all())):
        raise ValueError(f"{name} must be a matrix of finite floating point numbers, got {shown(value)}.")


def listed(kinds: list[str]) -> str:
    """The alternatives as a phrase: "a, b or c"."""
    return " or ".join([", ".join(kinds[:-1])] * (len(kinds) > 1) + kinds[-1:])


def shown(value: Any, length: int = 60) -> str:
    """A value in a message: its repr, or its type where that is long."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    text = repr(value)
    return text if len(text) <= length and "\n" not in text else f"a value of type {type(value).__name__}"


def _entries(value: Tensor) -> list[Any]:
    """The numbers of a rate; none where it holds none that can be read, or more dimensions than members."""
    if value.is_meta or value.is_sparse or value.dim() > 1:
        return []
    entries: list[Any] = value.reshape(-1).tolist()
    return entries
