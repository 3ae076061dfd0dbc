"""Micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import validation
from minimax.errors import GameError
from minimax.game import Game
from minimax.transforms._averaged import averaged
from minimax.transforms.checks import checked_game


def accumulate(game: Game, parts: int, cut: Callable[[Any], Sequence[Any]] | None = None) -> Game:
    """The same game evaluated on `parts` micro-batches in turn: at most two micro-batches' graphs are alive at a time.

    The losses must be means over the batch; then everything equals its value on the whole batch, up to rounding (not
    with BatchNorm, whose statistics are the micro-batch's). Costs what the game costs; products with DF evaluate the
    field of the micro-batches again, as their graphs were not kept.

    Args:
        game: the losses.
        parts: how many micro-batches.
        cut: a batch in, its `parts` micro-batches out, each of which counts alike. By default batches are pytrees whose
            tensors are cut along their first dimension, one length for all. Constants go to every part whole if they
            are 0-dim tensors, numbers or lists of numbers; a tensor of as many constants as samples would be cut.

    Raises:
        TypeError: what is no game, or a cut that is no function.
        ValueError: parts that are no integer, or below 1.
        GameError: at an evaluation, no batch, tensors of several lengths, a length that is not a multiple of parts, or
            a cut that returns another number of micro-batches.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.zero_sum(lambda x, y, b: x * y * b.mean())
        >>> z, batch = (torch.tensor(1.0), torch.tensor(2.0)), torch.tensor([1.0, 2.0, 3.0, 4.0])
        >>> mm.transforms.accumulate(game, 2).field(z, batch)
        (tensor(5.), tensor(-2.5000))
    """
    checked_game("accumulate", game)
    validation.whole("parts", parts, at_least=1)
    if cut is not None:
        validation.function("cut", cut, "a function from a batch to its micro-batches")

    def split(batch: Any) -> Sequence[Any]:
        if cut is None:
            return _cut(batch, parts)
        micro = list(cut(batch))
        if len(micro) != parts:
            raise GameError(f"cut returned {len(micro)} micro-batches for parts={parts}: return as many as parts.")
        return micro

    return averaged(game, split, lambda values: values)


def _cut(batch: Any, parts: int) -> list[Any]:
    leaves, spec = pytree.tree_flatten_with_path(batch)
    lengths = {leaf.shape[0]: f"batch{pytree.keystr(path)}" for path, leaf in reversed(leaves) if _has_samples(leaf)}
    if not lengths:
        raise GameError(
            "there is no batch to cut into micro-batches: pass batches of tensors, or leave out accumulate."
        )
    if len(lengths) > 1:
        found = validation.listed([f"{size} ({name})" for size, name in lengths.items()])
        raise GameError(
            f"which tensors of the batch hold samples, those of length {found}? Pass constants as lists of numbers or "
            f"0-dim tensors, or say accumulate(game, {parts}, cut=...)."
        )
    (size,) = lengths
    if size % parts:
        raise GameError(f"a batch of size {size} cannot be cut into {parts} equal micro-batches.")
    cut = [leaf.chunk(parts) if _has_samples(leaf) else (leaf,) * parts for _, leaf in leaves]
    return [pytree.tree_unflatten(list(part), spec) for part in zip(*cut, strict=True)]


def _has_samples(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.dim() > 0
