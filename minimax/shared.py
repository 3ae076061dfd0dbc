"""What the oracles of one step share, however many of them lie around each other: modules, buffers, costs, seats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from minimax import tree
from minimax.graph import Fault
from minimax.swap import Modules
from minimax.tree import Point, Spec, Vector

Seats: TypeAlias = Callable[[int], Sequence[int | None]]


class Found:
    """What is found out about the losses while they are played, and holds as long as they are the same.

    Args:
        reentrant: whether a loss holds reentrant checkpoints.
        faults: of second derivatives, by how many transforms lie between the losses and the oracle that looked, and by
            how many losses it looked at.
        hidden: whether what a player generates hides it in such checkpoints, by how many transforms lie inside of the
            one that generates.
    """

    def __init__(self) -> None:
        self.reentrant = False
        self.faults: dict[tuple[int, int], tuple[Fault, ...]] = {}
        self.hidden: dict[int, bool] = {}

    def faults_within(self, depth: int) -> list[Fault]:
        """The faults of an oracle at this depth: its own, and those of the oracles inside of it."""
        return [fault for (k, _), faults in self.faults.items() if k <= depth for fault in faults]


class Shared:
    """What all oracles of one step write to.

    Args:
        modules: those among the players, or None.
        buffers: theirs, as the last evaluation left them; empty before the first one.
        found: see `Found`.
        step: counts the optimizer's steps, for schedules; None outside of one.

    Attributes:
        scale: what losses are multiplied by while they are differentiated, or None (see `LossScaled`).
        overflowed: whether a gradient was not finite then; False if none was, or none could be looked at.
    """

    def __init__(
        self, modules: Modules | None, buffers: dict[str, Tensor], found: Found, step: Tensor | None = None
    ) -> None:
        self.modules, self.buffers, self.found = modules, buffers, found
        self.step = step
        self.inside: Mapping[int, Vector] | None = None  # what stands in the modules now, by their places
        self.scale: Tensor | None = None
        self.overflowed: Tensor | bool = False
        self.gradients = 0
        self.hvps = 0

    def silent(self) -> Shared:
        """A copy whose counts and buffers are its own."""
        new = Shared(self.modules, self.buffers, self.found, self.step)
        new.inside, new.scale = self.inside, self.scale
        return new

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss as it is differentiated."""
        return loss if self.scale is None else loss * self.scale

    def unscaled(self, gradient: Sequence[Any]) -> Sequence[Any]:
        """The gradient of a loss, from that of the scaled one."""
        scale = self.scale
        if scale is None:
            return gradient
        g = [None if part is None else part / scale for part in gradient]
        if not tree.transformed():  # from inside of a transform nothing may be kept
            for part in g:
                if part is not None:
                    self.overflowed = self.overflowed | ~torch.isfinite(part.detach().sum())
        return g


class Hole:
    """The structure of a player that an oracle answers for itself: known once it has answered."""

    spec: Spec = None


class Seating:
    """Who plays: the structure of every player, their names if they came in a dict, and where they sit outermost."""

    def __init__(self, specs: tuple[Any, ...], names: tuple[str, ...] | None, places: tuple[int | None, ...]) -> None:
        self.specs, self.names, self.places = specs, names, places

    def seated(self, seats: Sequence[int | None]) -> Seating:
        """The players as an inner oracle numbers them: its player k sits at seats[k] here, or nowhere."""
        specs = tuple([Hole() if seat is None else self.specs[seat] for seat in seats])
        places = tuple([None if seat is None else self.places[seat] for seat in seats])
        if self.names is None:
            return Seating(specs, None, places)
        return Seating(specs, tuple(["answer" if seat is None else self.names[seat] for seat in seats]), places)

    def spec(self, i: int) -> Spec:
        """The structure of player i."""
        spec: Any = self.specs[i]
        return spec.spec if isinstance(spec, Hole) else spec


class Holding:
    """Keeps a point in the modules (see `Oracle.holding`). A class, as `torch.compile` follows no generator's."""

    def __init__(self, shared: Shared, seating: Seating, z: Point) -> None:
        self.shared, self.outer = shared, shared.inside
        places = seating.places
        self.placed = {place: z[i] for i, place in enumerate(places) if place is not None}

    def __enter__(self) -> None:
        shared, modules = self.shared, self.shared.modules
        assert modules is not None
        # Within another point's evaluation the buffers in the modules are this oracle's already.
        self.held = (shared.buffers or modules.read(modules.buffers)) if self.outer is None else {}
        self.saved = modules.put(self.placed, self.held)
        shared.inside = self.placed

    def __exit__(self, *error: object) -> None:
        shared, modules = self.shared, self.shared.modules
        assert modules is not None
        left = modules.back(self.saved, self.held)
        shared.buffers, shared.inside = left or shared.buffers, self.outer
