"""`torch.compile` for a whole optimizer step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, ClassVar, NamedTuple, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

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


class Ran(NamedTuple):
    """A graph, what it was called with, and what it returned."""

    graph: Callable[..., Any]
    args: tuple[Any, ...]
    out: Any


class Backend:
    """What compiles the graphs that `torch.compile` captures; if asked it keeps what ran last."""

    def __init__(self) -> None:
        self.asked = False
        self.ran: Ran | None = None

    def __call__(self, module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        graph = inductor(module, inputs)
        replayable = not _on_cuda(inputs)  # CUDA graphs tell one run from the next by the calls of `torch.compile`

        def run(*args: Any) -> Any:
            out = graph(*args)
            if self.asked and replayable:
                self.ran = Ran(graph, args, out)
            return out

        return run


class Replay:
    """A graph of steps, run again and again on what it returned, without the checks of `torch.compile`.

    These take ten times as long as the graph of a game of a few numbers.

    Args:
        ran: the graph's last run.
        before: the players and the state that went in, as leaves.
        after: players, state and info, as they came out.
    """

    def __init__(self, ran: Ran, before: list[Tensor], after: Any) -> None:
        returned = {id(value): k for k, value in enumerate(ran.out)}
        came = {id(leaf): k for k, leaf in enumerate(before)}
        self.graph, self.args = ran.graph, list(ran.args)
        self.leaves, self.spec = pytree.tree_flatten(after)  # the players and the state are the first of them
        self.sources = [returned.get(id(leaf)) for leaf in self.leaves]
        self.feeds = [(a, came[id(arg)]) for a, arg in enumerate(ran.args) if id(arg) in came]
        self.sound = self._sound(before, came)

    def _sound(self, before: list[Tensor], came: dict[int, int]) -> bool:
        """Whether what came out may go in: told from each other as before, alike, and made by nothing but the graph."""
        leaves = self.leaves[: len(before)]
        distinct = len(came) == len(before) == len({id(leaf) for leaf in leaves})
        stays = [a is b for a, b in zip(before, leaves, strict=True)] + [False] * (len(self.leaves) - len(before))
        known = all(k is not None or same for k, same in zip(self.sources, stays, strict=True))
        return distinct and known and list(map(_kind, before)) == list(map(_kind, leaves))

    def __call__(self) -> Any:
        for a, k in self.feeds:
            self.args[a] = self.leaves[k]
        out = self.graph(*self.args)
        self.leaves = [leaf if k is None else out[k] for leaf, k in zip(self.leaves, self.sources, strict=True)]
        return pytree.tree_unflatten(self.leaves, self.spec)


def _kind(leaf: Tensor) -> tuple[Any, ...]:
    return leaf.dtype, leaf.shape, leaf.stride(), leaf.device


@dataclass(frozen=True)
class Compiled(GameOptimizer):
    """An optimizer whose step is compiled as one graph per game (see `compiled`). State and results are the inner's.

    A copy, pickled or not, starts without the graphs.
    """

    inner: GameOptimizer
    _steps: WeakKeyDictionary[Game, Callable[..., Any]] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )
    _backend: Backend = field(default_factory=Backend, init=False, repr=False, compare=False)

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
        if tree.any_sharded(tree.join(z)):
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
            self._steps[game] = one_graph(_steps, self._backend)
        state = beside(players, state)
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
        What `torch.compile` checks before each graph costs more, and is checked once.
        """
        step, most = int(state["step"]), max(k for k in range(1, 17) if every % k == 0)
        last, replay = 0, None
        while step < steps:
            count = most if step % most == 0 and step + most <= steps else 1
            if replay is not None and count == last:
                players, state, info = replay()
            else:
                players, state, info, replay = self._replayable(game, players, state, count)
            step, last = step + count, count
            yield step, players, state, info

    def _replayable(self, game: Game, players: P, state: State, steps: int) -> tuple[P, State, Info, Replay | None]:
        """A leap, and what takes the next ones, if it can."""
        backend = self._backend
        backend.asked = True
        try:
            after = self.leap(game, players, state, steps=steps)
            replay = backend.ran and Replay(backend.ran, pytree.tree_leaves((players, state)), after)
        finally:
            backend.asked, backend.ran = False, None
        return *after, replay if replay and replay.sound else None

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


def inductor(module: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    """The captured graph, compiled as `torch.compile` does; on CUDA as its mode "reduce-overhead", in CUDA graphs.

    These return the same memory at every run, and a run may not even begin while it is given what the last one left
    there. So copies leave, and what goes from step to step is nowhere in the graphs' pool.
    """
    compiler: Callable[..., Callable[..., Any]] = torch._dynamo.lookup_backend("inductor")
    if not _on_cuda(inputs):
        return compiler(module, inputs)
    graphed = compiler(module, inputs, config_patches=torch._inductor.list_mode_options("reduce-overhead"))
    return lambda *args: _copies(graphed(*args))


def _on_cuda(inputs: list[Any]) -> bool:
    return any(isinstance(value, Tensor) and value.is_cuda for value in inputs)


def _copies(values: Sequence[Any]) -> list[Any]:
    """The values, tensors in memory of their own; one call for all of a dtype, as foreach is slow on mixed ones."""
    copies = [torch.empty_like(value) if isinstance(value, Tensor) else value for value in values]
    alike: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for copy, value in zip(copies, values, strict=True):
        if isinstance(value, Tensor):
            targets, sources = alike.setdefault(value.dtype, ([], []))
            targets.append(copy)
            sources.append(value)
    for targets, sources in alike.values():
        torch._foreach_copy_(targets, sources)
    return copies


def beside(players: Players, state: State) -> State:
    """The state where the players are, if that is CUDA: no CUDA graph takes the counters, which start on the CPU."""
    device = pytree.tree_leaves(players)[0].device
    if device.type != "cuda" or state["step"].device == device:
        return state
    moved: State = pytree.tree_map(lambda leaf: leaf.to(device), state)
    return moved


def one_graph(function: Callable[..., Any], backend: Callable[..., Any] = inductor) -> Callable[..., Any]:
    """The function compiled as one graph with static shapes, on a copy of its code.

    dynamo keeps the graphs of all functions with the same code in one list, and gives up at the ninth: the ninth run
    in a process, were the code shared.
    """
    assert isinstance(function, FunctionType)
    code = function.__code__.replace()
    own = FunctionType(code, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    graph: Callable[..., Any] = torch.compile(own, fullgraph=True, dynamic=False, backend=backend)
    return graph


def compiled(optimizer: GameOptimizer) -> GameOptimizer:
    """The same optimizer, its step compiled by `torch.compile(fullgraph=True)` with static shapes.

    The first step with a game, and the first with batches of another shape, compile (tens of seconds for large
    networks), up to eight shapes a game (`torch._dynamo.config.recompile_limit`); schedules and step counts are tensors
    and cost no recompilation. The rules must be native (not `from_torch`). Random numbers that a loss draws itself, as
    dropout does, are fresh at every evaluation, as they are eagerly, but other ones. On CUDA a step runs in CUDA
    graphs, which are recorded at the second one, keep the memory of a step, and leave all of the state on the device.

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
