"""Penalties: what is added to a loss to keep a critic's slope, or the players' gradients, in check.

The first half is on samples. Each takes the critic, a callable from samples (batch, ...) to scores (batch,) or (batch,
1), and returns a scalar with no weight in front: multiply by γ/2 or λ yourself, so that which convention is meant
stands in the loss, or give the product to `add`. Gradients with respect to the samples go through `torch.func`, so the
penalties differentiate again, under `vmap` and `torch.compile` too. Cost: one forward and one backward pass of the
critic, and a double backward when differentiated.

The second half is on players: Game -> Game, adding squared gradients of the players to the losses, for any optimizer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from minimax import tree
from minimax.game import Game, GameError, Loss, Oracle
from minimax.linearization import Linearization
from minimax.tree import Point, Vector

Critic = Callable[[Tensor], Tensor]
Weights = Sequence[Sequence[float | Tensor]]


def slopes(critic: Critic, x: Tensor) -> Tensor:
    """|∇_x D(x)|², one number per sample, shape (batch,).

    Example:
        >>> import torch
        >>> slopes(lambda x: x @ torch.tensor([3.0, 4.0]), torch.zeros(2, 2))
        tensor([25., 25.])
    """
    g: Tensor = torch.func.grad(lambda samples: critic(samples).sum())(x)
    return g.flatten(1).square().sum(1)


def r1(critic: Critic, real: Tensor) -> Tensor:
    """E|∇D(real)|²; R1 is γ/2 times this (Mescheder et al., 2018).

    Example:
        >>> import torch
        >>> r1(lambda x: x @ torch.tensor([0.6, 0.8]), torch.randn(5, 2))
        tensor(1.)
    """
    return slopes(critic, real).mean()


def r2(critic: Critic, fake: Tensor) -> Tensor:
    """E|∇D(fake)|²; R2 is γ/2 times this (Mescheder et al., 2018). `fake` should not carry the generator's graph.

    Example:
        >>> import torch
        >>> r2(lambda x: x @ torch.tensor([0.6, 0.8]), torch.randn(5, 2))
        tensor(1.)
    """
    return slopes(critic, fake).mean()


def between(real: Tensor, fake: Tensor, coefficient: Tensor) -> Tensor:
    """coefficient * real + (1 - coefficient) * fake with one coefficient per sample, shape (batch,), from the batch.

    Raises:
        ValueError: not one coefficient per sample, or samples of different shapes.

    Example:
        >>> import torch
        >>> between(torch.ones(2, 1), torch.zeros(2, 1), torch.tensor([0.25, 1.0])).flatten()
        tensor([0.2500, 1.0000])
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake must have one shape, got {tuple(real.shape)} and {tuple(fake.shape)}.")
    if coefficient.shape != real.shape[:1]:
        raise ValueError(
            f"coefficient must have one entry per sample, shape ({real.shape[0]},), got {tuple(coefficient.shape)}."
        )
    weight = coefficient.reshape(-1, *(1,) * (real.dim() - 1))
    return weight * real + (1 - weight) * fake


def wgan_gp(critic: Critic, real: Tensor, fake: Tensor, coefficient: Tensor) -> Tensor:
    """E(|∇D(x̂)| - 1)² at x̂ between real and fake; WGAN-GP is λ times this (Gulrajani et al., 2017, λ = 10).

    Args:
        critic: scores of samples.
        real: samples of the data, (batch, ...).
        fake: samples of the generator, (batch, ...).
        coefficient: uniform on [0, 1], one per sample, shape (batch,); from the batch, as a step may evaluate twice.

    Raises:
        ValueError: shapes that do not match.

    Example:
        >>> import torch
        >>> wgan_gp(lambda x: x @ torch.tensor([0.6, 0.8]), torch.ones(3, 2), torch.zeros(3, 2), torch.rand(3))
        tensor(0.)
    """
    return _unit(slopes(critic, between(real, fake, coefficient)))


def _unit(squared: Tensor) -> Tensor:
    # The norm's slope at 0 is infinite: the smallest normal number keeps a dead critic's gradient finite.
    return (squared.clamp(min=torch.finfo(squared.dtype).tiny).sqrt() - 1).square().mean()


def zero_centered(critic: Critic, real: Tensor, fake: Tensor, coefficient: Tensor) -> Tensor:
    """E|∇D(x̂)|² at x̂ between real and fake, the zero-centred interpolation penalty (Thanh-Tung et al., 2019).

    Arguments and errors as for `wgan_gp`.

    Example:
        >>> import torch
        >>> zero_centered(lambda x: x @ torch.tensor([3.0, 4.0]), torch.ones(3, 2), torch.zeros(3, 2), torch.rand(3))
        tensor(25.)
    """
    return slopes(critic, between(real, fake, coefficient)).mean()


def dragan(critic: Critic, real: Tensor, noise: Tensor, scale: float = 0.5) -> Tensor:
    """E(|∇D(x̂)| - 1)² at x̂ = real + scale * std(real) * noise, around the data; DRAGAN is λ times this (λ = 10).

    Args:
        critic: scores of samples.
        real: samples of the data, (batch, ...); std is over all their entries.
        noise: shaped like real; uniform on [0, 1] in the authors' code, from the batch.
        scale: how far around the data.

    Raises:
        ValueError: noise of another shape.

    Example:
        >>> import torch
        >>> dragan(lambda x: x @ torch.tensor([3.0, 4.0]), torch.randn(3, 2), torch.rand(3, 2))
        tensor(16.)

    Source: Kodali, Abernethy, Hays & Kira, On Convergence and Stability of GANs, 2017.
    """
    if noise.shape != real.shape:
        raise ValueError(f"noise must be shaped like real, {tuple(real.shape)}, got {tuple(noise.shape)}.")
    return _unit(slopes(critic, real + scale * real.std() * noise))


def roth(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """E(1 - D)²|∇φ|² on the data plus E D²|∇φ|² on samples, D = sigmoid(φ); Roth's regulariser is γ/2 times this.

    Args:
        critic: φ, logits of samples.
        real: samples of the data, (batch, ...).
        fake: samples of the generator, without its graph.

    Example:
        >>> import torch
        >>> roth(lambda x: 0 * x[:, 0], torch.randn(3, 2), torch.randn(3, 2))
        tensor(0.)
        >>> roth(lambda x: x @ torch.tensor([3.0, 4.0]), torch.zeros(3, 2), torch.zeros(3, 2))
        tensor(12.5000)

    Source: Roth, Lucchi, Nowozin & Hofmann, Stabilizing Training of GANs through Regularization, 2017.
    """
    on_real, on_fake = critic(real).flatten(), critic(fake).flatten()
    weighted = (-on_real).sigmoid().square() * slopes(critic, real)
    return weighted.mean() + (on_fake.sigmoid().square() * slopes(critic, fake)).mean()


def add(game: Game, term: Loss, player: int) -> Game:
    """The game with `term(*players, batch)` added to one player's loss; a zero-sum game becomes a general-sum one.

    Args:
        game: the losses.
        term: a scalar, of the losses' arguments; the penalties above with their weight, say.
        player: the index of the player who pays it.

    Raises:
        GameError: at the first evaluation, a player that there is not.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.add(mm.zero_sum(lambda x, y: x * y), lambda x, y: 0.3 / 2 * y**2, player=1)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.), tensor(-0.4000))
    """
    losses, signs = list(game._losses), game._signs
    if len(losses) > 1:
        _check_player(player, len(losses))
        own = losses[player]
        losses[player] = lambda *args: own(*args) + term(*args)
        return game._copy(_losses=tuple(losses))

    def joint(*args: Any) -> tuple[Tensor, ...]:
        out = losses[0](*args)
        if signs is not None:
            out = [sign * out for sign in signs]
        values = list(out.values() if isinstance(out, Mapping) else out if isinstance(out, tuple | list) else (out,))
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
        ValueError: a negative weight.
        GameError: when the game is played, weights that are not square or not as many as the players.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.gradient_norms(mm.zero_sum(lambda x, y: x * y), [[0, 0.5], [0, 0]])
        >>> game.losses((torch.tensor(1.0), torch.tensor(2.0)))  # the first pays ½ 0.5 x²
        (tensor(2.2500), tensor(-2.))
    """
    rows = tuple(map(tuple, weights))
    if any(isinstance(weight, int | float) and not weight >= 0 for row in rows for weight in row):
        raise ValueError(f"weights must be >= 0, got {weights}.")
    return _penalised(game, lambda players: rows)


def consensus(game: Game, gamma: float | Tensor = 0.1) -> Game:
    """The game L_i + γ/2 |F|²: all players pay for the gradients of all, and plain play is consensus optimization.

    Args:
        game: the losses.
        gamma: γ >= 0.

    Raises:
        ValueError: a negative gamma.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.consensus(mm.zero_sum(lambda x, y: x * y), gamma=0.5)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.5000), tensor(0.))

    Source: Mescheder, Nowozin & Geiger, The Numerics of GANs, 2017.
    """
    _nonnegative("gamma", gamma)
    return _penalised(game, lambda players: ((gamma,) * players,) * players)


def jare(game: Game, gamma: float | Tensor = 0.1) -> Game:
    """The game L_i + γ/2 Σ_{j≠i} |∂_j L_j|²: every player pays for the others' gradients.

    Args:
        game: the losses.
        gamma: γ >= 0.

    Raises:
        ValueError: a negative gamma.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.jare(mm.zero_sum(lambda x, y: x * y), gamma=0.5)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.5000), tensor(0.))

    Source: Nie & Patel, Towards a Better Understanding and Regularization of GAN Training Dynamics, 2020.
    """
    _nonnegative("gamma", gamma)
    return _penalised(game, lambda n: tuple(tuple(0.0 if i == j else gamma for j in range(n)) for i in range(n)))


def nagarajan_kolter(game: Game, eta: float | Tensor = 0.1, generator: int = 0) -> Game:
    """The game in which the generator alone pays η |∂_j L_j|² for every other player j (no factor ½).

    Args:
        game: the losses.
        eta: η >= 0.
        generator: the index of the player who pays.

    Raises:
        ValueError: a negative eta.
        GameError: when the game is played, a generator that is no player.

    Example:
        >>> import torch, minimax as mm
        >>> game = mm.penalties.nagarajan_kolter(mm.zero_sum(lambda x, y: x * y), eta=0.25)
        >>> game.field((torch.tensor(1.0), torch.tensor(2.0)))
        (tensor(2.5000), tensor(-1.))

    Source: Nagarajan & Kolter, Gradient descent GAN optimization is locally stable, 2017.
    """
    _nonnegative("eta", eta)

    def rows(n: int) -> Weights:
        _check_player(generator, n)
        return tuple(tuple(2 * eta if i == generator != j else 0.0 for j in range(n)) for i in range(n))

    return _penalised(game, rows)


class _Penalised(Oracle):
    """Adds ½ Σ_j Γ_ij |ξ_j|² to the losses of another oracle, and the products it takes to its gradients."""

    def __init__(self, inner: Oracle, weights: Callable[[int], Weights]) -> None:
        # A term that one player alone pays ends zero-sum play.
        super().__init__(inner.game._copy(_signs=None, _losses=(None,)), inner.specs, inner.names)
        self.inner, self.Γ = inner, weights(inner.players)
        if [len(row) for row in self.Γ] != [self.players] * self.players:
            raise GameError(f"weights must hold {self.players} rows of {self.players} numbers, one per player.")
        self.shared = len(set(self.Γ)) == 1 and bool(self._pays(0))  # then one product serves all players

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
            with torch.enable_grad():
                live = tuple([x if x.requires_grad else x.detach().requires_grad_() for x in vector] for vector in z)
                values = self.inner.losses(live, batch)
                ξ = self.inner._differentiate(values, live, create_graph=graph)
            values = values if graph else tuple(value.detach() for value in values)
        self.buffers = self.inner.buffers
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
        self.buffers = self.inner.buffers
        return out

    def field(self, z: Point, batch: Any) -> tuple[Point, tuple[Tensor, ...]]:
        self.gradients += self.players
        local = self.inner.linearize(z, batch)
        if self.shared:
            self.hvps += 1
            ξ = tuple(tree.add(g, pull) for g, pull in zip(local.field, self._pulls(local, self.Γ[0]), strict=True))
        else:
            ξ = tuple(tree.add(g, self._pull(local, i, i)) if self._pays(i) else g for i, g in enumerate(local.field))
        self.buffers = self.inner.buffers
        return ξ, tuple(self._value(L_i, local.field, i) for i, L_i in enumerate(local.losses))

    def linearize(self, z: Point, batch: Any) -> Linearization:
        if not tree.transformed():  # there `field` counts
            self.hvps += 1 if self.shared else sum(bool(self._pays(i)) for i in range(self.players))
        return super().linearize(z, batch)


def _penalised(game: Game, weights: Callable[[int], Weights]) -> Game:
    def oracle(of: Game, specs: list[Any], names: tuple[str, ...] | None) -> Oracle:
        return _Penalised(game._oracle(of, specs, names), weights)

    return game._copy(_oracle=oracle)


def _nonnegative(name: str, weight: float | Tensor) -> None:
    if isinstance(weight, int | float) and not weight >= 0:
        raise ValueError(f"{name} must be a number >= 0, got {weight}.")


def _check_player(player: int, players: int) -> None:
    if not 0 <= player < players:
        raise GameError(f"player {player} does not exist: the game has the players 0 to {players - 1}.")
