"""`torch.compile` for a whole optimizer step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, ClassVar, Self
from weakref import WeakKeyDictionary

import torch

from minimax import tree
from minimax.errors import GameError, Hooked, refused, unforwarded
from minimax.game import Game
from minimax.info import NOTHING
from minimax.linear_maps import Expansion, LinearMap
from minimax.optimizer import GameOptimizer, Info, Names, State
from minimax.oracle import Oracle
from minimax.rules import Rule
from minimax.tree import Point
from minimax.types import Batch, P, Players


@dataclass(frozen=True)
class Compiled(GameOptimizer):
    """An optimizer whose step is compiled as one graph per game (see `compiled`). State and results are the inner's.

    A copy, pickled or not, starts without the graphs.
    """

    inner: GameOptimizer
    _steps: WeakKeyDictionary[Game, Callable[..., Any]] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    name: ClassVar[str] = "compiled"

    @classmethod
    def of(cls, rule: Rule | tuple[Rule, ...], **options: Any) -> Self:
        raise TypeError("compiled goes around an optimizer: compiled(AlternatingGDA(rule)), say.")

    def __reduce__(self) -> tuple[type[Self], tuple[GameOptimizer]]:
        return type(self), (self.inner,)

    @property
    def draws(self) -> int:
        return self.inner.draws

    def check_plays(self, game: Game) -> None:
        self.inner.check_plays(game)

    def begin(self, z: Point, names: Names) -> State:
        if any(map(tree.sharded, tree.join(z))):
            raise GameError("torch.compile cannot gather sharded players: leave out compile, or transforms.shard.")
        return self.inner.begin(z, names)

    def kicked(self, game: Oracle, state: State) -> Oracle:
        return self.inner.kicked(game, state)

    @property
    def adaptive(self) -> bool:
        return self.inner.adaptive

    def linear(self, at: Expansion) -> LinearMap | str:
        return self.inner.linear(at)

    def average(self, state: State) -> Point | None:
        return self.inner.average(state)

    def step(self, game: Game, players: P, state: State, batches: Batch = None) -> tuple[P, State, Info]:
        return self.leap(game, players, state, batches)

    def leap(
        self, game: Game, players: P, state: State, batches: Batch = None, steps: int = 1
    ) -> tuple[P, State, Info]:
        """So many steps on the same batches, unrolled in one graph; what the last one saw, and the cost of all.

        Args:
            game: of players without modules, if there are several steps, as buffers do not go from one to the next.
            players: as for `step`, as are state and batches.
            steps: another number is another graph, of at most eight a game.
        """
        if game not in self._steps:
            self._steps[game] = one_graph(_steps)
        # The game is an argument: a compiled function that holds it would keep it alive among the weak keys.
        try:
            moved, new, seen, costs = self._steps[game](self.inner, game, players, state, batches, steps)
        except RuntimeError as error:  # what is refused eagerly too is said in its own words, not in the compiler's
            if isinstance(told := refused(error), Hooked):  # after which torch.func can take no eager step either
                raise told from None
            self.inner.step(game, players, state, batches)
            if not (op := unforwarded(error)):
                raise refused(error) from None
            warnings.warn(f"torch has no forward-mode derivative of {op}: its steps are not compiled.", stacklevel=2)
            self._steps[game] = _steps
            return self.leap(game, players, state, batches, steps)
        info = Info(*seen)
        info.constraints, info.cost = game.constraints, sum(costs, NOTHING)
        return moved, new, info

    def leaps(
        self, game: Game, players: P, state: State, every: int, steps: int
    ) -> Iterator[tuple[int, P, State, Info]]:
        """Step counts and what `leap` gives at them, from a state on to so many steps, multiples of `every` included.

        On a few numbers a graph costs what a step costs: sixteen in one are worth it, and compile in as many seconds.
        """
        step, most = int(state["step"]), max(k for k in range(1, 17) if every % k == 0)
        while step < steps:
            count = most if step % most == 0 and step + most <= steps else 1
            players, state, info = self.leap(game, players, state, steps=count)
            step += count
            yield step, players, state, info

    def update(self, game: Oracle, z: Point, state: State, batches: Any) -> tuple[Point, State, Info]:
        return self.inner.update(game, z, state, batches)


def _steps(
    optimizer: GameOptimizer, game: Game, players: Players, state: State, batches: Batch, steps: int
) -> tuple[Any, ...]:
    costs = []
    for _ in range(steps):
        players, state, info = optimizer.step(game, players, state, batches)
        costs.append(info.cost)
    seen = (info.losses, info.gradients, info.at, info.cost, info.buffers, info.extra, info.point)
    return players, state, seen, costs


def one_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function compiled as one graph with static shapes, on a copy of its code.

    dynamo keeps the graphs of all functions with the same code in one list, and gives up at the ninth: the ninth run
    in a process, were the code shared.
    """
    assert isinstance(function, FunctionType)
    code = function.__code__.replace()
    own = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    graph: Callable[..., Any] = torch.compile(own, fullgraph=True, dynamic=False)
    return graph


def compiled(optimizer: GameOptimizer) -> GameOptimizer:
    """The same optimizer, its step compiled by `torch.compile(fullgraph=True)` with static shapes.

    The first step with a game, and the first with batches of another shape, compile (tens of seconds for large
    networks), up to eight shapes a game (`torch._dynamo.config.recompile_limit`); schedules and step counts are tensors
    and cost no recompilation. The rules must be native (not `from_torch`). Random numbers that a loss draws itself, as
    dropout does, are fresh at every evaluation, as they are eagerly, but other ones.

    Args:
        optimizer: the algorithm.

    Raises:
        torch._dynamo.exc.Unsupported: at the first step, losses that cannot be captured as one graph.
        GameError: as the optimizer itself.

    Example:
        >>> import torch, minimax as mm
        >>> compiled(mm.SimultaneousGDA(mm.sgd(0.1)))
        Compiled(inner=SimultaneousGDA(rule=sgd(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0)))
    """
    return optimizer if isinstance(optimizer, Compiled) else Compiled(optimizer)
