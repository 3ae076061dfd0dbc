"""Players who pay for squared gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.game import Game
from minimax.linearization import Linearization
from minimax.oracle import Oracle
from minimax.rules import Hyperparameter
from minimax.rules.rule import zero
from minimax.transforms.around import Payoff
from minimax.transforms.checks import checked_game
from minimax.tree import Point, Vector
from minimax.validation import hyperparameter, shown

Weights: TypeAlias = Sequence[Sequence[Hyperparameter]]


def gradient_norms(game: Game, weights: Weights) -> Game:
    """The game L_i + ½ Σ_j Γ_ij |∂_j L_j|²: player i pays for the gradients that the players j are left with.

    The field becomes ξ_i + Σ_j Γ_ij (∂_i ξ_j)ᵀ ξ_j. Plain play on it is one of the methods that have a name (see
    `consensus`, `jare`, `nagarajan_kolter`), and so every other optimizer can play it: alternating, with extragradient,
    with two sets of steps. Costs, for one player's gradient, one gradient per player and one Hessian-vector product if
    its row of Γ is not zero; for the field, one product per such row, or one in all if the rows are equal.

    On micro-batches or ranks, wrap last (`accumulate(gradient_norms(game, Γ), 4)`) to penalise every part's gradients;
    first (`gradient_norms(accumulate(game, 4), Γ)`) to penalise the whole batch's.

    Args:
        game: the losses.
        weights: Γ, one row per player, numbers >= 0, 0-dim tensors or schedules step -> number.

    Raises:
        ValueError: a weight that is negative or no number.
        GameError: when the game is played, weights that are not square or not as many as the players; a schedule when
            the game is looked at outside of an optimizer's step.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.transforms.gradient_norms(mm.zero_sum(lambda x, y: x * y), [[0, 0.5], [0, 0]])
        >>> game.losses((torch.tensor(1.0), torch.tensor(2.0)))  # the first pays ½ 0.5 x²
        (tensor(2.2500), tensor(-2.))
    """
    try:
        rows = tuple(map(tuple, weights))
    except TypeError as error:
        raise ValueError(f"weights must hold a row of numbers per player, got {shown(weights)}.") from error
    for i, row in enumerate(rows):
        for j, weight in enumerate(row):
            checked_weight(f"weights[{i}][{j}]", weight)
    return penalised(game, lambda players: rows)


def penalised(game: Game, weights: Callable[[int], Weights]) -> Game:
    """The game with the weights Γ that are made once the number of players is known."""
    checked_game("game", game)
    return game.through(lambda inner: _Penalised(inner, weights(inner.players)))


class _Penalised(Payoff):
    """Adds ½ Σ_j Γ_ij |ξ_j|² to the losses of another oracle, and the products it takes to its gradients."""

    def __init__(self, inner: Oracle, weights: Weights) -> None:
        super().__init__(inner)
        self.Γ = weights
        if [len(row) for row in self.Γ] != [self.players] * self.players:
            raise GameError(f"weights must hold {self.players} rows of {self.players} numbers, one per player.")
        self.alike = len(set(self.Γ)) == 1 and bool(self._pays(0))  # then one product serves all players

    def _pays(self, i: int) -> list[int]:
        return [j for j, weight in enumerate(self.Γ[i]) if not zero(weight)]

    def _value(self, L_i: Tensor, ξ: Point, i: int) -> Tensor:
        return tree.total([L_i, *(self.weighed(self.Γ[i][j], tree.dot(ξ[j], ξ[j]) / 2) for j in self._pays(i))])

    def _pull(self, local: Linearization, i: int, of: int) -> Vector:
        """½ ∂_i Σ_j Γ_of,j |ξ_j|²."""
        row, paid = self.Γ[of], self._pays(of)
        if len(paid) == 1:
            return local.vjp_block(paid[0], i, tree.scale(self.at(row[paid[0]]), local.field[paid[0]]))
        return self._pulls(local, row)[i]

    def _pulls(self, local: Linearization, row: Sequence[Any]) -> Point:
        return local.vjp(tuple(tree.scale(self.at(weight), ξ_j) for weight, ξ_j in zip(row, local.field, strict=True)))

    def price(self, i: int) -> tuple[int, int]:
        return 0, int(i == 0 if self.alike else bool(self._pays(i)))  # the losses hold the gradients

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        return self.losses(z, batch)[i]

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        ξ, values = self.inner.slopes(z, batch)
        return tuple(self._value(L_i, ξ, i) for i, L_i in enumerate(values))

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        k = i if of is None else of
        if not self._pays(k):
            return self.inner.gradient(z, i, batch, of)
        local = self.inner.linearize(z, batch)
        g, L = (local.field[i], local.losses[i]) if k == i else self.inner.gradient(z, i, batch, of)
        return tree.add(g, self._pull(local, i, k)), self._value(L, local.field, k)

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        local = self.inner.linearize(z, batch)
        ξ = local.field
        if self.alike:
            field = tuple(tree.add(g, pull) for g, pull in zip(ξ, self._pulls(local, self.Γ[0]), strict=True))
        else:
            field = tuple(tree.add(g, self._pull(local, i, i)) if self._pays(i) else g for i, g in enumerate(ξ))
        return field, tuple(self._value(L_i, ξ, i) for i, L_i in enumerate(local.losses))


def checked_weight(name: str, weight: Any) -> None:
    """Refuse what is no weight of a penalty."""
    hyperparameter(name, weight, at_least=0)
    if isinstance(weight, Tensor) and weight.dim():
        raise ValueError(f"{name} must be one number, got {shown(weight)}: an ensemble has one game for all members.")
