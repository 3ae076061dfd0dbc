"""What goes in and out of a game: players, batches, and what an optimizer remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

Players: TypeAlias = tuple[Any, ...] | Mapping[Any, Any]
"""All players, by place or by name. One player is a pytree of tensors or an `nn.Module`."""

P = TypeVar("P", bound=Players)
"""Players of one structure: what goes in comes out."""

Batch: TypeAlias = Any
"""What the losses take beside the players: any pytree of tensors, None where they take nothing."""

State: TypeAlias = dict[str, Any]
"""What an optimizer remembers: tensors in dicts and lists, that `torch.load(..., weights_only=True)` reads back.

`state["step"]` counts the steps, a 0-dim integer; `state["rules"]` holds the rules' memories, one per player;
`state["inner"]` is the state of the optimizer inside a wrapper. What else there is, each optimizer's docstring tells.
"""
