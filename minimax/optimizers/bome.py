"""BOME: bilevel optimization made easy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from minimax import admission, tree
from minimax.linear import reciprocal
from minimax.optimizer import Hyperparameter, Info, Ruled, State, counted, moved
from minimax.optimizers._implicit import two
from minimax.optimizers._unrolling import Unrolling, inside
from minimax.optimizers._value import slopes
from minimax.oracle import Oracle
from minimax.rules import Rule
from minimax.tree import Point
from minimax.validation import hyperparameter, whole


@dataclass(frozen=True)
class BOME(Ruled):
    r"""BOME: leader and follower move along ∇L_1 + λ∇q, q = L_2(x, y) - L_2(x, y_K), λ such that q falls fast enough.

    y_K is the follower K moves ahead, held still in ∇q = (∂_x L_2(x, y) - ∂_x L_2(x, y_K), ∂_y L_2(x, y)). λ is the
    least number >= 0 with ⟨∇L_1 + λ∇q, ∇q⟩ >= η|∇q|²: max(0, η - ⟨∇L_1, ∇q⟩/|∇q|²). So the penalty's weight finds
    itself. Where q = 0 the game is left to L_1 alone, until q grows again.

    Cost per step: 5 + K gradients, no second derivatives. q and λ are in `Info.extra`.
    State: the rules' memories alone; steps ahead are forgotten.
    Differs from the paper: moves by rules.

    Args:
        rule: one rule for both players, or a tuple with one each.
        eta: η > 0; a float, tensor, or schedule.
        steps: K >= 1.
        inner: the rule of the follower's moves ahead, starting afresh; None for its own rule, from its memory.

    Raises:
        ValueError: an eta that is not positive, or steps below 1.
        GameError: not two players.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.bilevel(lambda x, y: (y - 1) ** 2, lambda x, y: (y - 2 * x) ** 2)
        >>> z, rule = (torch.tensor(0.0), torch.tensor(0.0)), mm.sgd(0.05)
        >>> found = mm.solve(game, z, mm.BOME(rule, inner=mm.sgd(0.3)), steps=500).players
        >>> [round(player.item(), 2) for player in found]
        [0.5, 1.0]

    Source: Ye, Liu, Wright, Stone & Liu, BOME! Bilevel Optimization Made Easy: A Simple First-Order Approach, 2022.
    """

    eta: Hyperparameter = 0.5
    steps: int = 10
    inner: Rule | None = None

    name: ClassVar[str] = "bome"
    anticipates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        hyperparameter("eta", self.eta, above=0)
        whole("steps", self.steps, at_least=1)
        if self.inner is not None:
            admission.rule("inner of BOME", self.inner)

    @property
    def adaptive(self) -> bool:
        return True

    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        two(self.name, z)
        rules, memories = inside(game, z, self.rules(2), state["rules"], self.inner)
        following, ahead = Unrolling(game, rules, state["step"], batches[0]), z
        for _ in range(self.steps):
            ahead, memories = following.ahead(ahead, memories)
        (f, q, gap, losses), η = slopes(game, z, ahead[1], batches[0]), self.at(self.eta, state)
        along, size = (sum(tree.dot(v, q_i) for v, q_i in zip(by, q, strict=True)) for by in (f, q))
        λ = (η - along * reciprocal(size)).clamp(min=0)
        ξ = tuple(tree.axpy(λ, q_i, f_i) for q_i, f_i in zip(q, f, strict=True))
        d, state = self.directions(z, ξ, state)
        info = Info(losses, ξ, "start of the step, both losses'", extra={"gap": gap, "weight": λ})
        return moved(game, z, d), counted(state), info
