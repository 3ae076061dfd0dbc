"""Loss scaling, so that gradients of half precision neither vanish nor overflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.errors import GameError
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, State, Wrapper
from minimax.optimizers.extragradient import ExtraGradient
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import real, whole


@dataclass(frozen=True)
class LossScaled(Wrapper):
    r"""The inner optimizer on losses times s, whose gradients are divided by s before anything sees them.

    What `torch.amp.GradScaler` does, for a game: every gradient of every evaluation is scaled and unscaled where it is
    taken, so that there is nothing to unscale twice however often a step evaluates. If one is not finite, of any
    player, nothing moves but s, which shrinks; after `interval` steps in a row that moved, s grows. Under
    `bind(transforms.autocast(game, torch.float16), modules, LossScaled(optimizer))`; bfloat16 needs none.

    Cost per step: that of the inner optimizer, and one pass over gradients, players and memory. Products with DF are
    not scaled beyond the graph of the gradients they differentiate.
    State: `scale` s; `moved`, the steps since s last changed; `inner`. The step counts those that moved.
    Info: losses and gradients are the unscaled ones; `extra["skipped"]` says whether the step was passed over, which
    then counts as finite (`Trainer.skipped` counts it); a member of an ensemble that passes over one has diverged.

    Args:
        inner: the optimizer that plays; goes inside of averages, which would count the steps that did not move.
        scale: s at the start, best a power of two, as dividing by these is exact.
        growth: s is multiplied by this, >= 1.
        backoff: and by this if a gradient is not finite, in (0, 1).
        interval: how many steps in a row have to move before s grows.
        least: s does not fall below it; a step that is not finite even there is the game's own, and passes as it is.

    Raises:
        ValueError: a number out of its range.
        GameError: players of half precision, whose gradients cannot hold what was scaled: keep them in float32 under
            `transforms.autocast`; a rule that makes its memory at its first move (`from_torch`); a game through
            `transforms.generated`.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(1.0))
        >>> solution = mm.solve(game, z, LossScaled(mm.ExtraGradient(mm.sgd(0.5)), interval=2), steps=3)
        >>> solution.state["scale"]
        tensor(131072.)

    Source: Micikevicius et al., Mixed Precision Training, 2018.
    """

    scale: float = 2.0**16
    growth: float = 2.0
    backoff: float = 0.5
    interval: int = 2000
    least: float = 1.0

    name: ClassVar[str] = "loss-scaled"
    usual = ExtraGradient

    def __post_init__(self) -> None:
        super().__post_init__()
        real("least", self.least, above=0)
        real("scale", self.scale, at_least=self.least)
        real("growth", self.growth, at_least=1)
        real("backoff", self.backoff, above=0, below=1)
        whole("interval", self.interval, at_least=1)

    def start(self, z: Point, device: torch.device) -> State:
        if half := [leaf.dtype for leaf in tree.join(z) if torch.finfo(leaf.dtype).bits < 32]:
            raise GameError(
                f"LossScaled got players of {half[0]}, in which a gradient is lost again once it is unscaled: keep "
                "them in float32, and cast in the losses (transforms.autocast)."
            )
        moved = torch.zeros((), dtype=torch.int64, device=device)
        return {"scale": torch.tensor(self.scale, dtype=torch.float32, device=device), "moved": moved}

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        shared, s = game.shared, state["scale"]
        held = {} if game.modules is None else game.modules.read(game.modules.buffers)
        before = held | shared.buffers
        shared.scale, shared.overflowed = s, False
        new, inner, info = self.inner.update(game, z, state["inner"], batches)
        shared.scale = None
        sums = [leaf.sum() for leaf in tree.join((*new, *info.gradients))]
        finite = torch.isfinite(torch.stack([x.to(torch.float64) for x in sums])).all() & ~torch.as_tensor(
            shared.overflowed, device=s.device
        )
        taken = finite | (s <= self.least)
        z = tuple(tree.where(taken, new_i, z_i) for new_i, z_i in zip(new, z, strict=True))
        shared.buffers = {name: torch.where(taken, left, before[name]) for name, left in shared.buffers.items()}
        moved = torch.where(finite, state["moved"] + 1, 0)
        grown = torch.where(moved == self.interval, s * self.growth, s)
        left = {
            "inner": _chosen(taken, inner, state["inner"]),
            "scale": torch.where(finite, grown, (s * self.backoff).clamp(min=self.least)),
            "moved": torch.where(moved == self.interval, 0, moved),
            "step": state["step"] + taken,
        }
        info.extra["skipped"] = ~taken
        return z, state | left, info

    def linearised(self, at: Expansion, inner: LinearMap) -> LinearMap | str:
        return inner


def _chosen(taken: Tensor, new: State, old: State) -> State:
    """The new state if the step was taken, else the old one."""
    leaves, spec = pytree.tree_flatten(new)
    before, kind = pytree.tree_flatten(old)
    if kind != spec:
        raise GameError("LossScaled wants rules whose memory is there from the start: use native ones, not from_torch.")
    chosen: State = pytree.tree_unflatten(tree.where(taken, leaves, before), spec)
    return chosen
