"""What every game optimizer is: a frozen configuration with a pure `init` and a pure `step`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, TypeAlias

import torch
from torch import Tensor

from minimax import admission, tree
from minimax.errors import GameError
from minimax.game import Game
from minimax.info import Cost as Cost
from minimax.info import Info as Info
from minimax.kicks import Kicked
from minimax.linear_maps import ADAPTIVE, NO_FORMULA, SCHEDULED, Expansion, LinearMap
from minimax.oracle import Oracle
from minimax.rules import Hyperparameter as Hyperparameter
from minimax.rules import Rule, now, sgd
from minimax.tree import Point
from minimax.types import Batch, P, Players
from minimax.types import State as State
from minimax.validation import shown

Names: TypeAlias = Sequence[Sequence[str]]


@dataclass(frozen=True)
class GameOptimizer(ABC):
    """A schedule of oracle calls, its own configuration.

    Pure: `state = opt.init(game, players)`, then `players, state, info = opt.step(game, players, state, batches)`
    leaves its arguments as they were. Write an algorithm as a subclass of `Ruled`, or one around another as a
    `Wrapper`: with an `update`, and a `start` if it remembers anything of its own.
    """

    name: ClassVar[str]
    anticipates: ClassVar[bool] = False  # whether players move by the answers of others, as a bilevel leader has to

    @classmethod
    @abstractmethod
    def of(cls, rule: Rule | tuple[Rule, ...], **options: Any) -> Self:
        """This optimizer from a rule, or one per player: how a registry builds them all.

        Args:
            options: the optimizer's own parameters.
        """

    @property
    def draws(self) -> int:
        """How many independent batches one step consumes."""
        return 1

    def init(self, game: Game, players: Players) -> State:
        """The state before the first step.

        Raises:
            GameError: players that are modules (see `Game.functional`), empty, not real and dense, without memory
                (meta), or on several devices; a number of rules that does not match the players; a bilevel game
                whose leader would stand still.
        """
        self.check_plays(game)
        oracle, z = game.enter(admission.plain(players))
        admission.players(oracle, z)
        return self.begin(z, oracle.leaves())

    def check_plays(self, game: Game) -> None:
        """Refuse a game in which a player would stand still for ever."""
        if game.leader is not None and not self.anticipates:
            raise GameError(
                f"under {type(self).__name__} the leader of a bilevel game stands still, as its loss need not name it: "
                "play StackelbergGradient, Unrolled, ValueFunction, BOME, MehraHamm, LOLA or SOS, or let the follower "
                "answer (transforms.best_response with through=True)."
            )

    def begin(self, z: Point, names: Names) -> State:
        """`init` on a point, whose leaves have names."""
        return {"step": torch.zeros((), dtype=torch.int64)} | self.start(z, z[0][0].device)

    def step(self, game: Game, players: P, state: State, batches: Batch = None) -> tuple[P, State, Info]:
        """One step from `players`.

        Args:
            state: of the last step, or `init`; another optimizer's is refused as far as it lacks something.
            batches: the batch when `draws` is 1, else a list or tuple of `draws` batches, alike in structure, dtypes
                and shapes but for the first dimension; None if the losses take none.

        Raises:
            GameError: a wrong number of batches, batches that are not alike, a state of another optimizer, or losses
                that do not fit the players (see `Game`).
        """
        drawn = admission.batches(self.name, self.draws, batches)
        oracle, start = game.enter(players)
        if tree.transformed():
            z, state, info = self.update(self._during(oracle, state), start, state, drawn)
        else:
            try:
                z, state, info = self.update(self._during(oracle, state), start, state, drawn)
            except GameError:
                raise
            except Exception:
                admission.state(type(self).__name__, state, self.begin(start, oracle.leaves()))  # if that is why
                raise
        if game.constraints is not None:  # a copy, as the players may be the modules' own memory, which then moves
            info.point = tuple(tree.clone(vector) for vector in info.point or start)
        else:
            info.point = ()
        info.constraints = game.constraints
        shared = oracle.shared
        info.cost = Cost(shared.gradients, shared.hvps, sum([admission.batch_size(batch) for batch in drawn]))
        info.buffers = shared.buffers
        moved: P = oracle.leave(z)
        return moved, state, info

    def answer(self, players: P, state: State) -> P:
        """What this optimizer says its answer is: `players` themselves, or a copy of what it keeps beside them.

        Args:
            players: the last ones; plain tensors, as `step` returned them.
            state: that belongs to them.

        Raises:
            GameError: a state of another optimizer or of other players.

        Example:
            >>> import torch, minimax as mm
            >>> game, z = mm.zero_sum(lambda x, y: x * y), (torch.tensor(1.0), torch.tensor(1.0))
            >>> opt = mm.Averaging(mm.SimultaneousGDA(mm.sgd(0.5)))
            >>> state = opt.init(game, z)
            >>> for _ in range(2): z, state, _ = opt.step(game, z, state)
            >>> z, opt.answer(z, state)
            ((tensor(-0.2500), tensor(1.7500)), (tensor(0.1250), tensor(1.6250)))
        """
        leaves, spec = tree.flatten(admission.plain(players))
        try:
            average = self.average(state)
        except (KeyError, TypeError):
            raise admission.foreign(type(self).__name__, "it lacks an entry") from None
        if average is None:
            return players
        mean = tree.join(average)
        if [leaf.shape for leaf in mean] != [leaf.shape for leaf in leaves]:
            raise admission.foreign(type(self).__name__, "its average has other shapes")
        answer: P = tree.unflatten(tree.clone(mean), spec)
        return answer

    def average(self, state: State) -> Point | None:
        """The average that is this optimizer's answer, part of its state; None where the last iterate is."""
        return None

    def kicked(self, game: Oracle, state: State) -> Oracle:
        """The game with what the rules add to its gradients (see `Rule.kick`)."""
        return game

    def _during(self, game: Oracle, state: State) -> Oracle:
        """The game as this step sees it."""
        game.shared.step = state["step"]
        return self.kicked(game, state)

    @property
    def adaptive(self) -> bool:
        """Whether a step depends on more than the game and the point, so that it is a linear map nowhere."""
        return False

    def linear(self, at: Expansion) -> LinearMap | str:
        """What a step is near an equilibrium to first order, or in words why it is no linear map there.

        Args:
            at: the game at the equilibrium (see `diagnostics.expand`).
        """
        return NO_FORMULA

    def start(self, z: Point, device: torch.device) -> State:
        """What this optimizer remembers of its own: tensors in lists and dicts."""
        return {}

    @abstractmethod
    def update(self, game: Oracle, z: Point, state: State, batches: Sequence[Any]) -> tuple[Point, State, Info]:
        """The algorithm: new point, new state, what was seen."""

    def at(self, value: Hyperparameter, state: State) -> Any:
        """A hyperparameter now: a schedule is asked with the step count."""
        return now(value, state["step"])


@dataclass(frozen=True)
class Ruled(GameOptimizer):
    """An optimizer that moves every player by a `Rule`.

    Args:
        rule: how big one player's move is: one rule for all players or a tuple with one each.

    Raises:
        TypeError: what is no rule, nor a tuple of them.
        ValueError: a rule whose moves cannot be combined as this optimizer does.
    """

    rule: Rule | tuple[Rule, ...]

    combines: ClassVar[bool] = False  # whether it stretches moves, or adds several to one point

    def __post_init__(self) -> None:
        """Subclasses that check more call this one too."""
        kind = type(self).__name__
        if isinstance(self.rule, list):
            raise TypeError(f"{kind} takes one rule per player in a tuple, got a list: {kind}((sgd(0.1), adam(0.01))).")
        for rule in self.rule if isinstance(self.rule, tuple) else (self.rule,):
            admission.rule(kind, rule, kicks=True)
            if self.combines and not rule.sums:
                raise ValueError(f"{kind} adds up moves, which {type(rule).__name__} has none for: use ExtraGradient.")

    @classmethod
    def of(cls, rule: Rule | tuple[Rule, ...], **options: Any) -> Self:
        return cls(rule, **options)

    def begin(self, z: Point, names: Names) -> State:
        each = zip(self.rules(len(z)), z, names, strict=True)
        return {"rules": [rule.init(z_i, names_i) for rule, z_i, names_i in each]} | super().begin(z, names)

    def kicked(self, game: Oracle, state: State) -> Oracle:
        rules = self.rules(game.players)
        if any(rule.kicks for rule in rules):
            return Kicked(game, rules, state["rules"], state["step"])
        return game

    def linear(self, at: Expansion) -> LinearMap | str:
        if self.adaptive or scheduled(self):
            return ADAPTIVE if self.adaptive else SCHEDULED
        D = plain(self.rules(len(at.blocks)), at)
        return D if isinstance(D, str) else self.linearised(at, D)

    def linearised(self, at: Expansion, D: Tensor) -> LinearMap | str:
        """`linear` for plain gradient steps.

        Args:
            at: the game at the equilibrium.
            D: the step sizes, a diagonal matrix of shape (n, n).
        """
        return NO_FORMULA

    def rules(self, players: int) -> tuple[Rule, ...]:
        """One rule per player."""
        if not isinstance(self.rule, tuple):
            return (self.rule,) * players
        if len(self.rule) != players:
            count = len(self.rule)
            raise GameError(f"rule has {count} entries for {players} players: pass one rule, or one per player.")
        return self.rule

    def directions(self, z: Point, ξ: Point, state: State, at: Point | None = None) -> tuple[Point, State]:
        """Every player's displacement from z along its gradient, and the state with the rules' new memories.

        Args:
            z: where the displacements are added.
            ξ: the gradients.
            state: with the rules' memories.
            at: where the gradients were taken, and so what weight decay decays; None for z.
        """
        parts = zip(self.rules(len(z)), z, at or z, ξ, state["rules"], strict=True)
        moves = [rule.move_from(z_i, at_i, ξ_i, memory, state["step"]) for rule, z_i, at_i, ξ_i, memory in parts]
        return tuple([d for d, _ in moves]), state | {"rules": [memory for _, memory in moves]}


@dataclass(frozen=True)
class Wrapper(GameOptimizer):
    """An optimizer around another one, whose batches and state it passes on.

    Its `update` calls `self.inner.update` with the oracle it was given, so that the cost is counted once.

    Args:
        inner: the optimizer that plays.

    Raises:
        TypeError: an inner that is no game optimizer.
    """

    inner: GameOptimizer

    usual: ClassVar[type[Ruled]]  # what `of` wraps

    def __post_init__(self) -> None:
        if not isinstance(self.inner, GameOptimizer):
            got, name = type(self.inner).__name__, type(self).__name__
            raise TypeError(f"{name} goes around a game optimizer, got {got}: {name}({self.usual.__name__}(...)), say.")

    @classmethod
    def of(
        cls,
        rule: Rule | tuple[Rule, ...],
        *,
        inner: Callable[[Rule | tuple[Rule, ...]], GameOptimizer] | None = None,
        **options: Any,
    ) -> Self:
        """This optimizer around one that moves by a rule, or one per player.

        Args:
            inner: makes the optimizer inside of the rule, such as a class or another one's `of`; None for the usual.
            options: this optimizer's own parameters.

        >>> import minimax as mm
        >>> mm.Halpern.of(mm.sgd(0.1), inner=mm.OptimisticGDA) == mm.Halpern(mm.OptimisticGDA(mm.sgd(0.1)))
        True
        """
        return cls((inner or cls.usual)(rule), **options)

    @property
    def draws(self) -> int:
        return self.inner.draws

    def check_plays(self, game: Game) -> None:
        self.inner.check_plays(game)

    def begin(self, z: Point, names: Names) -> State:
        return {"inner": self.inner.begin(z, names)} | super().begin(z, names)

    def kicked(self, game: Oracle, state: State) -> Oracle:
        return self.inner.kicked(game, state["inner"])

    @property
    def adaptive(self) -> bool:
        return self.inner.adaptive

    def linear(self, at: Expansion) -> LinearMap | str:
        if self.adaptive or scheduled(self):
            return ADAPTIVE if self.adaptive else SCHEDULED
        inner = self.inner.linear(at)
        return inner if isinstance(inner, str) else self.linearised(at, inner)

    def linearised(self, at: Expansion, inner: LinearMap) -> LinearMap | str:
        """`linear` around what is linear inside."""
        return NO_FORMULA

    def average(self, state: State) -> Point | None:
        """The inner's, whatever this one makes of its iterates."""
        return self.inner.average(state["inner"])


def checked(optimizer: Any) -> GameOptimizer:
    """The optimizer, if it is one.

    Raises:
        TypeError: it is a rule, one of torch's optimizers, a class, or something else; with the way out.
    """
    if isinstance(optimizer, GameOptimizer):
        return optimizer
    got, cure = shown(optimizer), "AlternatingGDA(adam(2e-4))"
    if isinstance(optimizer, Rule):
        cure = f"AlternatingGDA({optimizer})"
    elif isinstance(optimizer, torch.optim.Optimizer):
        cure = f"AlternatingGDA(from_torch(torch.optim.{type(optimizer).__name__}, lr=...))"
    elif isinstance(optimizer, type) and issubclass(optimizer, GameOptimizer):
        cure = f"{optimizer.__name__}.of(adam(2e-4))"
    raise TypeError(f"optimizer must be a game optimizer, got {got}: pass {cure}, say.")


def plain(rules: Sequence[Rule], at: Expansion) -> Tensor | str:
    """The step sizes of rules that are plain gradient descent, as a diagonal matrix; or in words why there is none."""
    sizes: list[float] = []
    for rule, rows in zip(rules, at.blocks, strict=True):
        if not (isinstance(rule, sgd) and _plain(rule)):
            return f"undefined: {type(rule).__name__} is no plain gradient step of one size here"
        sizes += [float(constant(rule.lr))] * (rows.stop - rows.start)
    return torch.diag(torch.tensor(sizes, dtype=torch.float64))


def _plain(rule: sgd) -> bool:
    numbers = all(_one_number(getattr(rule, option.name)) for option in fields(rule))
    return numbers and replace(rule, lr=0.0) == sgd(0.0)  # rates are left out: of an ensemble's, == is no bool


def _one_number(value: Hyperparameter) -> bool:
    return not callable(value) and not (isinstance(value, Tensor) and value.dim() > 0)


def constant(value: Hyperparameter) -> Any:
    """The number that a hyperparameter is, of an optimizer that is not `scheduled`."""
    return value


def scheduled(optimizer: GameOptimizer) -> bool:
    """Whether a parameter of the optimizer itself changes from step to step."""
    return any(callable(getattr(optimizer, field.name)) for field in fields(optimizer))


def moved(game: Oracle, z: Point, d: Point) -> Point:
    """z + d, every player projected on its feasible set."""
    return tuple([game.project(i, tree.add(z_i, d_i)) for i, (z_i, d_i) in enumerate(zip(z, d, strict=True))])


def scaled(ρ: Any, d: Point) -> Point:
    """ρ d for every player, free of cost at ρ = 1."""
    return d if isinstance(ρ, int | float) and ρ == 1 else tuple(tree.scale(ρ, vector) for vector in d)


def counted(state: State) -> State:
    """The state one step later."""
    return state | {"step": state["step"] + 1}
