"""How a run ends: `Limits` decides when it has converged or diverged, `Status` says so in a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax import tree
from minimax.oracle import Players
from minimax.projections import Projection
from minimax.validation import real

if TYPE_CHECKING:
    from minimax.playing import Iterate


Kind: TypeAlias = Literal["converged", "budget", "diverged", "exhausted"]


@dataclass(frozen=True)
class Status:
    """How a run ended; printed, it is a sentence.

    Args:
        kind: converged, budget, diverged or exhausted (the batches ran out).
        step: how many steps had been taken when it ended.
        reason: what was found, in words.
    """

    kind: Kind
    step: int
    reason: str

    @property
    def ok(self) -> bool:
        """Whether the run came to its proper end."""
        return self.kind in ("converged", "budget")

    def __str__(self) -> str:
        return f"{self.kind} after {self.step} steps: {self.reason}."


@dataclass(frozen=True)
class Limits:
    """When a run has converged or diverged. The one place where either is decided.

    A run has diverged when a loss, a gradient or a player is not finite, or when |z| exceeds `growth` times its start:
    |z_0|, or where this is below 1 and so says nothing of the game's scale, the larger of 1 and |z_1|.

    Converged is judged by |F|, in a game with constraints by the natural residual |z - P(z - F)|, which is 0 exactly
    where no player can improve to first order. A game that `entropic` rules keep on simplices needs the constraints
    too, or |F| is judged, which does not vanish there. A step that draws players back, as `Lookahead`'s do, has to
    leave them where they are as well.

    Args:
        tolerance: converged when the residual falls to this (0: never).
        growth: how many times its start |z| may reach, at least 1; infinity lets it grow.

    Raises:
        ValueError: a tolerance or a growth that is no such number.

    Example:
        >>> Limits(tolerance=1e-6, growth=0.5)
        Traceback (most recent call last):
        ...
        ValueError: growth must be a number >= 1, got 0.5.
    """

    tolerance: float = 0.0
    growth: float = 1e3

    def __post_init__(self) -> None:
        real("tolerance", self.tolerance, at_least=0)
        real("growth", self.growth, at_least=1, finite=False)

    def judge(self, it: Iterate[Any], start: Tensor | float) -> Status | None:
        """The verdict after a step, or None to play on. Reads three numbers off the device.

        Args:
            it: where play stands.
            start: |z_0| (or, from the second step on, what `start_of` makes of it).
        """
        norm, size = float(it.info.unrest), float(magnitude(it.players))
        if not (bool(it.info.finite) and math.isfinite(size)):
            return Status("diverged", it.step, f"{not_finite(it)} is not finite")
        if size > self.growth * max(1.0, float(start)):
            return Status("diverged", it.step, self.too_large(size))
        if 0 < self.tolerance >= norm:
            return Status("converged", it.step, self.close(norm, it.info.constraints))
        return None

    def too_large(self, size: float) -> str:
        """Why a run has diverged whose players grew."""
        return f"|z| = {size:.3g} exceeds {self.growth:g} times its start"

    def close(self, norm: float, constraints: Sequence[Projection | None] | None) -> str:
        """Why a run has converged."""
        return f"{measure(constraints)} = {norm:.3g} <= {self.tolerance:g}"


def measure(constraints: Sequence[Projection | None] | None) -> str:
    """What is judged in a game with these constraints, as a formula."""
    constrained = any(constraint is not None for constraint in constraints or ())
    return "|z - P(z - F)|" if constrained else "|F|"


def magnitude(players: Players) -> Tensor:
    """|z|, the norm of all players together."""
    return tree.norm(pytree.tree_leaves(players))


def start_of(zero: Tensor, one: Tensor) -> Tensor:
    """The size that growth is measured against, from |z_0| and |z_1|: see `Limits`."""
    return torch.where(zero < 1, one.clamp(min=1), zero)


def missed(worst: float, bent: float = 0.0) -> str:
    """What a status adds if linear solves were far off their tolerance, or of systems not positive definite."""
    said = ""
    if worst > 0:
        said += f"; its linear solves left residuals of up to {worst:.2g}, far off: raise iterations, or use float64"
    if bent > 0:
        said += (
            f"; a system was not positive definite, as its curvature fell to -{bent:.2g} along a direction, and the "
            f"follower stood at no minimum: let it come closer first, or raise damping, above {bent:.2g} at least"
        )
    return said


def played_out(played: int, steps: int, each: int) -> Status:
    """The end of a run that nothing stopped: its budget is spent, or its batches have run out.

    Args:
        played: the steps taken.
        steps: the budget.
        each: how many batches a step takes.
    """
    if played == steps:
        return Status("budget", played, f"the budget of {steps} steps is spent")
    if played:
        return Status("exhausted", played, f"the batches ran out before {steps} steps; pass more, or a function")
    some = "a batch" if each == 1 else f"the {each} batches that a step takes"
    return Status("exhausted", 0, f"there was not {some}: is the DataLoader empty, or the iterator used up")


def not_finite(it: Iterate[Any]) -> str:
    """What holds the first NaN or infinity: a gradient, a player's tensor, or a loss, by name."""
    paths, leaves = zip(*pytree.tree_flatten_with_path(it.players)[0], strict=True)
    names = [f"players{pytree.keystr(path)}" for path in paths]
    found = {f"the gradient of {name}": g for name, g in zip(names, tree.join(it.info.gradients), strict=True)}
    found |= dict(zip(names, leaves, strict=True))
    keys = list(it.players) if isinstance(it.players, dict) else range(len(it.players))
    found |= {f"the loss of players[{key!r}]": loss for key, loss in zip(keys, it.info.losses, strict=True)}
    broken = (name for name, value in found.items() if not bool(torch.isfinite(value).all()))
    return next(broken, "a norm")  # of finite numbers whose squares overflow


# --------------------------------------------------------------------------------------------------- many runs at once

RUNNING, CONVERGED, NOT_FINITE, TOO_LARGE = range(4)


class Seen(NamedTuple):
    """What one step of an ensemble saw, per member.

    Args:
        losses: per player.
        norm: the residual.
        unrest: what convergence is judged by.
        missed: `Info.extra["missed"]` and `["bent"]` of an optimizer that solves linear systems.
    """

    losses: tuple[Tensor, ...]
    norm: Tensor
    unrest: Tensor
    missed: list[Tensor]


class Standing(NamedTuple):
    """How the members of an ensemble stand, tensors of shape (members,).

    Args:
        verdict: 0 running, 1 converged, 2 not finite, 3 too large.
        stopped: the steps played.
        decided: what was judged at the last of them, or |z| where that was too large.
    """

    verdict: Tensor
    stopped: Tensor
    decided: Tensor


def standing_of(like: Tensor) -> Standing:
    """Everybody plays; `like` has one number per member."""
    zeros = torch.zeros_like(like)
    return Standing(zeros.to(torch.int8), zeros.long(), zeros)


def judged(
    standing: Standing, limits: Limits, reach: Tensor, unrest: Tensor, size: Tensor, finite: Tensor
) -> tuple[Tensor, Standing]:
    """Who takes this step, and how all stand after it: `Limits.judge` on tensors, one number per member.

    Args:
        standing: before the step.
        limits: for all.
        reach: how large |z| may become.
        unrest: what convergence is judged by.
        size: |z| after the step.
        finite: the sum of all that must be finite.
    """
    running, large = standing.verdict == RUNNING, size > reach
    bad = torch.where(torch.isfinite(finite), torch.where(large, TOO_LARGE, RUNNING), NOT_FINITE)
    close = (unrest <= limits.tolerance) & (limits.tolerance > 0)
    code = torch.where((bad == RUNNING) & close, CONVERGED, bad)
    return running & (bad == RUNNING), Standing(
        verdict=torch.where(running, code, standing.verdict).to(torch.int8),
        stopped=standing.stopped + running,
        decided=torch.where(running, torch.where(large, size, unrest), standing.decided),
    )


def worst_missed(rows: Sequence[tuple[int, Seen, Tensor]], standing: Standing) -> list[tuple[float, ...]]:
    """Per member, the worst of what `missed` tells that was recorded while it played."""
    worst = [torch.zeros_like(standing.decided)] * 2
    for k, seen, _ in rows:
        for i, told in enumerate(seen.missed):
            worst[i] = torch.where(standing.stopped >= k, torch.maximum(worst[i], told.to(worst[i])), worst[i])
    return list(zip(*(values.tolist() for values in worst), strict=True))


def statuses(
    standing: Standing,
    limits: Limits,
    constraints: Sequence[Projection | None] | None,
    last: Status,
    missing: list[tuple[float, ...]],
) -> tuple[Status, ...]:
    """How each member's run ended, in words; `last` is the end of those that never stopped."""
    statuses = []
    columns = [column.tolist() for column in standing]
    for code, stopped, decided, worst in zip(*columns, missing, strict=True):
        ends: dict[int, tuple[Kind, str]] = {
            RUNNING: (last.kind, last.reason),
            CONVERGED: ("converged", limits.close(decided, constraints)),
            NOT_FINITE: ("diverged", "a loss, a gradient or a player is not finite"),
            TOO_LARGE: ("diverged", limits.too_large(decided)),
        }
        kind, reason = ends[code]
        statuses.append(Status(kind, stopped, reason + missed(*worst)))
    return tuple(statuses)
