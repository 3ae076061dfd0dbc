"""The library's one exception."""

import inspect
import re
from collections.abc import Callable
from typing import Any


class GameError(ValueError):
    """A game, its players or its batches cannot be played; the message says which and the way out."""


class Reentrant(GameError):
    """Derivatives through a reentrant checkpoint that it does not have."""

    def __init__(self) -> None:
        super().__init__(
            "a loss holds a checkpoint with use_reentrant=True, through which nothing has second derivatives: pass "
            "use_reentrant=False to torch.utils.checkpoint.checkpoint, or play an optimizer without second derivatives."
        )


class Hooked(GameError):
    """Derivatives by `torch.func` through a checkpoint."""

    def __init__(self) -> None:
        super().__init__(
            "a loss holds an activation checkpoint (torch.utils.checkpoint), which torch.func does not go through: "
            "leave the checkpoint out (a compiled step decides itself what to compute again), or play without compile "
            "and outside of ensemble."
        )


MISSING = re.compile(
    r"derivative for '?(?:aten::)?(\w+)'? is not implemented"
    r"|(batch_norm) does not support 3rd"
)
CURES = {
    "scaled_dot_product": "call it within torch.nn.attention.sdpa_kernel(SDPBackend.MATH)",
    "batch_norm": "take nn.GroupNorm",
}


def refused(error: RuntimeError) -> BaseException:
    """What to raise for an error of autograd: a sentence for a derivative that torch does not have, else the error."""
    if "use_reentrant" in str(error):
        return Reentrant()
    if "saved tensor hooks" in str(error):
        return Hooked()
    found = MISSING.search(str(error))
    if found is None:
        return error
    op = next(filter(None, found.groups())).strip("_").removesuffix("_backward")
    cures = (cure for part, cure in CURES.items() if part in op)
    cure = next(cures, "write it in other operations, or play an optimizer that takes fewer derivatives")
    return GameError(f"torch has no derivative of that order for {op}, which a loss goes through: {cure}.")


def unforwarded(error: RuntimeError) -> str:
    """The operation that has no forward-mode derivative in torch, if the error says so; else nothing."""
    if "jvp function for custom autograd.Function" in str(error):
        return "a torch.autograd.Function"
    found = re.search(r"forward AD with (?:aten::)?(\w+) that does not support it", str(error))
    return "" if found is None else found[1].strip("_")


def misfit(loss: Callable[..., Any], players: int, batch: Any) -> GameError | None:
    """What is wrong with how a loss is called, if it is that and no error of its own."""
    try:
        signature = inspect.signature(loss)
        signature.bind(*range(players + (batch is not None)))
    except ValueError:  # it has no signature
        return None
    except TypeError:
        given = "no batch: are batches missing" if batch is None else "a batch: does it leave that out"
        return GameError(
            f"the loss {getattr(loss, '__name__', loss)}{signature} is called with {players} players and {given}?"
        )
    return None
