"""Alternating gradient descent-ascent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from minimax import tree
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import Info, Ruled, State, counted
from minimax.optimizers._turns import check, listed, scheduled
from minimax.oracle import Oracle
from minimax.tree import Point
from minimax.validation import flag


@dataclass(frozen=True)
class AlternatingGDA(Ruled):
    r"""Alternating gradient play: players move in turn, each seeing the moves before its own.

    x⁺ = x - h_x ∂_x L_1(x, y),  y⁺ = y - h_y ∂_y L_2(x⁺, y). On a bilinear game it circles (modulus 1) as long as
    h_x h_y σ² < 4, where simultaneous play diverges; with negative momentum, `sgd(h, momentum=-0.5)`, it converges.
    With `steps=(1, 5), order=(1, 0)` it is the k-critic-steps loop of WGAN.

    Cost per step: one gradient per player's move, Σ steps in all.
    State: the rules' memories alone.
    Differs from the paper: in Goodfellow et al. the critic moves first; here `order` says who does.

    Args:
        rule: one rule for all players, or a tuple with one each.
        steps: how many moves each player makes per step; one number for all, or a tuple with one each.
        order: a permutation of the players' indices in a tuple; None for first to last.
        fresh: draw a batch of its own for every move (Σ steps draws). By default the j-th moves of all players share
            the j-th batch (max steps draws), and a player's last move coincides with the last batch.

    Raises:
        ValueError: steps that are not positive integers, or an order that is no permutation.
        GameError: steps or order that do not match the number of players.

    Example:
        >>> import torch, minimax as mm
        >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(1.0))
        >>> opt = mm.AlternatingGDA(mm.sgd(0.5))
        >>> opt.step(game, z, opt.init(game, z))[0]
        (tensor(0.5000), tensor(1.2500))

    Source: Goodfellow et al., Generative Adversarial Nets, 2014; Bailey, Gidel & Piliouras, 2020 for its dynamics;
    Gidel et al., Negative Momentum for Improved Game Dynamics, 2019.
    """

    steps: int | tuple[int, ...] = 1
    order: tuple[int, ...] | None = None
    fresh: bool = False

    name: ClassVar[str] = "alternating"

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.steps, self.order)
        flag("fresh", self.fresh)
        if self.fresh and isinstance(self.steps, int):
            raise ValueError(f"fresh needs steps as a tuple with one entry per player, got steps={self.steps}.")

    @property
    def draws(self) -> int:
        return sum(listed(self.steps)) if self.fresh else max(listed(self.steps))

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        steps, order = scheduled(self.steps, self.order, len(z))
        rules, used = self.rules(len(z)), 0
        new, memories = list(z), list(state["rules"])
        gradients, losses, point = list(z), [z[0][0]] * len(z), list(z)
        for i in order:
            mine = batches[used : used + steps[i]] if self.fresh else batches[self.draws - steps[i] :]
            used += steps[i]
            for batch in mine:
                point[i] = new[i]
                gradients[i], losses[i] = game.gradient(tuple(new), i, batch)
                d, memories[i] = rules[i].move(new[i], gradients[i], memories[i], state["step"])
                new[i] = game.project(i, tree.add(new[i], d))
        info = Info(tuple(losses), tuple(gradients), at="each player's last move", point=tuple(point))
        return tuple(new), counted(state | {"rules": memories}), info

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        steps, order = scheduled(self.steps, self.order, len(at.blocks))
        return LinearMap(at.in_turn([at.blocks[i] for i in order for _ in range(steps[i])], D))
