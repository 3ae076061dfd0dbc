"""Penalties as transforms Game -> Game: a term on one player's loss, or the players' squared gradients on anyone's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.errors import GameError
from minimax.game import Game
from minimax.linearization import Linearization
from minimax.oracle import Around, Loss, Oracle, listed
from minimax.tree import Point, Vector
from minimax.validation import function, real, shown, whole

Weights = Sequence[Sequence[float | Tensor]]


def add(game: Game, term: Loss, player: int) -> Game:
    """The game with `term(*players, batch)` added to one player's loss; a zero-sum game becomes a general-sum one.

    Args:
        game: the losses.
        term: a scalar, of the losses' arguments; one of `minimax.penalties` with its weight, say.
        player: the index of the player who pays it.

    Raises:
        TypeError: a game that is none, or a term that is no function.
        ValueError: a player that is no index.
        GameError: a player that there is not (at the first evaluation, if only that tells how many there are).

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.add(mm.zero_sum(lambda x, y: x * y), lambda x, y: 0.3 / 2 * y**2, player=1)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.), tensor(-0.4000))
    """
    _game(game)
    function("term", term, "a function of the players (and the batch)")
    whole("player", player, at_least=0)
    losses, signs = list(game._losses), game._signs
    if signs is not None:
        _check_player(player, len(signs))
    if len(losses) > 1:
        _check_player(player, len(losses))
        own = losses[player]
        losses[player] = lambda *args: own(*args) + term(*args)
        return game._copy(_losses=tuple(losses))

    def joint(*args: Any) -> tuple[Tensor, ...]:
        out = losses[0](*args)
        values = list(listed(out) if signs is None else (sign * out for sign in signs))
        _check_player(player, len(values))
        values[player] = values[player] + term(*args)
        return tuple(values)

    return game._copy(_losses=(joint,), _signs=None)


# ------------------------------------------------------------------------------------------------ squared gradients


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
        weights: Γ, one row per player, numbers >= 0 or 0-dim tensors.

    Raises:
        ValueError: a weight that is negative or no number.
        GameError: when the game is played, weights that are not square or not as many as the players.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.gradient_norms(mm.zero_sum(lambda x, y: x * y), [[0, 0.5], [0, 0]])
        >>> game.losses((torch.tensor(1.0), torch.tensor(2.0)))  # the first pays ½ 0.5 x²
        (tensor(2.2500), tensor(-2.))
    """
    try:
        rows = tuple(map(tuple, weights))
    except TypeError as error:
        raise ValueError(f"weights must hold a row of numbers per player, got {shown(weights)}.") from error
    for i, row in enumerate(rows):
        for j, weight in enumerate(row):
            _weight(f"weights[{i}][{j}]", weight)
    return _penalised(game, lambda players: rows)


def consensus(game: Game, gamma: float | Tensor = 0.1) -> Game:
    """The game L_i + γ/2 |F|²: all players pay for the gradients of all, and plain play is consensus optimization.

    Args:
        game: the losses.
        gamma: γ >= 0.

    Raises:
        ValueError: a gamma that is negative or no number.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.consensus(mm.zero_sum(lambda x, y: x * y), gamma=0.5)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.5000), tensor(0.))

    Source: Mescheder, Nowozin & Geiger, The Numerics of GANs, 2017.
    """
    _weight("gamma", gamma)
    return _penalised(game, lambda players: ((gamma,) * players,) * players)


def jare(game: Game, gamma: float | Tensor = 0.1) -> Game:
    """The game L_i + γ/2 Σ_{j≠i} |∂_j L_j|²: every player pays for the others' gradients.

    Args:
        game: the losses.
        gamma: γ >= 0.

    Raises:
        ValueError: a gamma that is negative or no number.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.jare(mm.zero_sum(lambda x, y: x * y), gamma=0.5)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.5000), tensor(0.))

    Source: Nie & Patel, Towards a Better Understanding and Regularization of GAN Training Dynamics, 2020.
    """
    _weight("gamma", gamma)
    return _penalised(game, lambda n: tuple(tuple(0.0 if i == j else gamma for j in range(n)) for i in range(n)))


def nagarajan_kolter(game: Game, eta: float | Tensor = 0.1, generator: int = 0) -> Game:
    """The game in which the generator alone pays η |∂_j L_j|² for every other player j (no factor ½).

    Args:
        game: the losses.
        eta: η >= 0.
        generator: the index of the player who pays.

    Raises:
        ValueError: an eta that is negative or no number, or a generator that is no index.
        GameError: when the game is played, a generator that is no player.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.nagarajan_kolter(mm.zero_sum(lambda x, y: x * y), eta=0.25)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.5000), tensor(-1.))

    Source: Nagarajan & Kolter, Gradient descent GAN optimization is locally stable, 2017.
    """
    _weight("eta", eta)
    whole("generator", generator, at_least=0)

    def rows(n: int) -> Weights:
        _check_player(generator, n)
        return tuple(tuple(2 * eta if i == generator != j else 0.0 for j in range(n)) for i in range(n))

    return _penalised(game, rows)


class _Penalised(Around):
    """Adds ½ Σ_j Γ_ij |ξ_j|² to the losses of another oracle, and the products it takes to its gradients."""

    def __init__(self, inner: Oracle, weights: Callable[[int], Weights]) -> None:
        super().__init__(inner)
        self.signs = None  # a term that one player alone pays ends zero-sum play
        self.weights, self.Γ = weights, weights(inner.players)
        if [len(row) for row in self.Γ] != [self.players] * self.players:
            raise GameError(f"weights must hold {self.players} rows of {self.players} numbers, one per player.")
        self.shared = len(set(self.Γ)) == 1 and bool(self._pays(0))  # then one product serves all players

    def around(self, inner: Oracle) -> Oracle:
        return _Penalised(inner, self.weights)

    def _pays(self, i: int) -> list[int]:
        return [j for j, weight in enumerate(self.Γ[i]) if isinstance(weight, Tensor) or weight]

    def _value(self, L_i: Tensor, ξ: Point, i: int) -> Tensor:
        return tree.total([L_i, *(self.Γ[i][j] / 2 * tree.dot(ξ[j], ξ[j]) for j in self._pays(i))])

    def _pull(self, local: Linearization, i: int, of: int) -> Vector:
        """½ ∂_i Σ_j Γ_of,j |ξ_j|²."""
        row, paid = self.Γ[of], self._pays(of)
        self.hvps += 1
        if len(paid) == 1:
            return local.vjp_block(paid[0], i, tree.scale(row[paid[0]], local.field[paid[0]]))
        return self._pulls(local, row)[i]

    def _pulls(self, local: Linearization, row: Sequence[Any]) -> Point:
        return local.vjp(tuple(tree.scale(weight, ξ_j) for weight, ξ_j in zip(row, local.field, strict=True)))

    def loss(self, z: Point, i: int, batch: Any) -> Tensor:
        return self.losses(z, batch)[i]

    def losses(self, z: Point, batch: Any) -> tuple[Tensor, ...]:
        if tree.transformed():
            ξ, values = self.inner.field(z, batch)
        else:
            graph = torch.is_grad_enabled()
            known = all(x.requires_grad for x in tree.join(z))
            live = z if known else tuple([x.detach().requires_grad_() for x in vector] for vector in z)
            with torch.enable_grad(), self.holding(live):
                values = self.inner.losses(live, batch)
                ξ = self.inner._differentiate(values, live, create_graph=graph)
            values = values if graph else tuple(value.detach() for value in values)
        return tuple(self._value(L_i, ξ, i) for i, L_i in enumerate(values))

    def gradient(self, z: Point, i: int, batch: Any, of: int | None = None) -> tuple[Vector, Tensor]:
        k = i if of is None else of
        if not self._pays(k):
            self.gradients += 1
            out = self.inner.gradient(z, i, batch, of)
        else:
            self.gradients += self.players + (k != i)
            local = self.inner.linearize(z, batch)
            g, L = (local.field[i], local.losses[i]) if k == i else self.inner.gradient(z, i, batch, of)
            out = tree.add(g, self._pull(local, i, k)), self._value(L, local.field, k)
        return out

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        self.gradients += self.players
        local = self.inner.linearize(z, batch)
        if self.shared:
            self.hvps += 1
            ξ = tuple(tree.add(g, pull) for g, pull in zip(local.field, self._pulls(local, self.Γ[0]), strict=True))
        else:
            ξ = tuple(tree.add(g, self._pull(local, i, i)) if self._pays(i) else g for i, g in enumerate(local.field))
        return ξ, tuple(self._value(L_i, local.field, i) for i, L_i in enumerate(local.losses))

    def linearize(self, z: Point, batch: Any) -> Linearization:
        if not tree.transformed():  # there `field` counts
            self.hvps += 1 if self.shared else sum(bool(self._pays(i)) for i in range(self.players))
        return super().linearize(z, batch)


def _penalised(game: Game, weights: Callable[[int], Weights]) -> Game:
    _game(game)

    def oracle(of: Game, specs: list[Any], names: tuple[str, ...] | None) -> Oracle:
        return _Penalised(game._oracle(of, specs, names), weights)

    return game._copy(_oracle=oracle)


def _weight(name: str, weight: Any) -> None:
    real(name, weight, at_least=0, tensor=True)
    if isinstance(weight, Tensor) and weight.dim():
        raise ValueError(f"{name} must be one number, got {shown(weight)}: an ensemble has one game for all members.")


def _game(game: Any) -> None:
    if not isinstance(game, Game):
        raise TypeError(f"game must be a Game, got {shown(game)}: zero_sum(payoff) or Game(loss, loss) makes one.")


def _check_player(player: int, players: int) -> None:
    if not 0 <= player < players:
        raise GameError(f"player {player} does not exist: the game has the players 0 to {players - 1}.")
