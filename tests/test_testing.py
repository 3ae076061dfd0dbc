"""The contract is a test too: every clause must catch an optimizer, or a game, that breaks it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

import minimax as mm
from minimax import tree
from minimax.linear_maps import LinearMap
from minimax.optimizer import counted, moved
from minimax.oracle import Oracle
from minimax.testing import CHECKS, check_game, check_optimizer
from minimax.testing._scenes import on_two_ranks
from minimax.tree import Point

pytestmark = pytest.mark.usefixtures("float64")


@dataclasses.dataclass(frozen=True)
class Broken(mm.SimultaneousGDA):
    """Simultaneous play with a hook for what goes wrong."""

    name: ClassVar[str] = "broken"

    def update(self, game: Oracle, z: Point, state: Any, batches: Sequence[Any]) -> tuple[Point, Any, mm.Info]:
        ξ, losses = game.field(z, batches[0])
        d, state = self.directions(z, ξ, state)
        return moved(game, z, self.spoil(game, z, d, state, batches)), counted(state), mm.Info(losses, ξ)

    def spoil(self, game: Oracle, z: Point, d: Point, state: Any, batches: Sequence[Any]) -> Point:
        return d


class WritesToItsPlayers(Broken):
    def spoil(self, game, z, d, state, batches):
        z[0][0].add_(1e-3)
        return d


class WritesToItsBatch(Broken):
    def spoil(self, game, z, d, state, batches):
        batches[0].mul_(1.001)
        return d


class RemembersInItself(Broken):
    memory: ClassVar[list] = []

    def spoil(self, game, z, d, state, batches):
        self.memory.append(1)
        return tuple(tree.scale(1 + 1e-3 * len(self.memory), vector) for vector in d)


class KeepsItsPlayers(Broken):
    def update(self, game, z, state, batches):
        new, state, info = super().update(game, z, state, batches)
        return new, state | {"past": list(z)}, info


class KeepsWhatItReturns(Broken):
    def update(self, game, z, state, batches):
        new, state, info = super().update(game, z, state, batches)
        return new, state | {"past": [[leaf.view(-1) for leaf in vector] for vector in new]}, info


class KeepsItsStart(Broken):
    def start(self, z, device):
        return {"past": list(z)}


class KeepsTheGraph(Broken):
    def spoil(self, game, z, d, state, batches):
        return tuple(tree.scale(torch.ones((), requires_grad=True), vector) for vector in d)


class NeverMovesTheSecondPlayer(Broken):
    def spoil(self, game, z, d, state, batches):
        return (d[0], tree.zeros(d[1])) if len(d) > 1 else d


class Widens(Broken):
    def spoil(self, game, z, d, state, batches):
        return tuple([leaf.double() for leaf in vector] for vector in d)


class LooksAtItsOwnBatch(Broken):
    def spoil(self, game, z, d, state, batches):
        return tuple(tree.scale(1 + 0.01 * batches[0].mean(), vector) for vector in d)


class BranchesOnValues(Broken):
    def spoil(self, game, z, d, state, batches):
        return d if float(z[0][0].sum()) > 0 else tuple(tree.scale(0.5, vector) for vector in d)


class MixesTheMembers(Broken):
    """In the plain loop the leaves have no batch dimension to be summed over; under vmap the rates have one."""

    def spoil(self, game, z, d, state, batches):
        if tree.transformed():
            return tuple(tree.scale(0.5, vector) for vector in d)
        return d


class HidesAGradient(Broken):
    def spoil(self, game, z, d, state, batches):
        game.gradient(z, 0, batches[0])
        game.gradients -= 1
        return d


class HidesAProduct(Broken):
    def spoil(self, game, z, d, state, batches):
        game.linearize(z, batches[0]).vjp(d)
        game.hvps = 0
        return d


class IgnoresItsSecondBatch(Broken):
    @property
    def draws(self):
        return 2


class DoesNotCount(Broken):
    def update(self, game, z, state, batches):
        z, _, info = super().update(game, z, state, batches)
        return z, state, info


class IgnoresSchedules(Broken):
    def directions(self, z, ξ, state):
        return super().directions(z, ξ, state | {"step": state["step"] * 0})


class TreatsNamesDifferently(Broken):
    def spoil(self, game, z, d, state, batches):
        return d if game.names is None else tuple(tree.scale(2.0, vector) for vector in d)


class RefusesTwoPlayers(Broken):
    def spoil(self, game, z, d, state, batches):
        raise mm.GameError("I do not like two players.")


class TiesMemoryToAnObject(Broken):
    """The last displacement is found by the state's identity: after loading, it is gone."""

    past: ClassVar[dict] = {}

    def update(self, game, z, state, batches):
        z, new, info = super().update(game, z, state, batches)
        # The state is kept too, so that its id is not given to another one.
        self.past[id(new)] = (new, tuple(tree.scale(-0.01, vector) for vector in info.gradients))
        past = self.past.get(id(state), (None, tuple(map(tree.zeros, z))))[1]
        return moved(game, z, past), new, info


class AnswersItsState(Broken):
    """Without the copy that `GameOptimizer.answer` makes of an average."""

    def begin(self, z, names):
        return super().begin(z, names) | {"mean": [tree.clone(vector) for vector in z]}

    def answer(self, players, state):
        leaves = [leaf for vector in state["mean"] for leaf in vector]
        return tree.unflatten(leaves, tree.flatten(players)[1])


class AnswersWithZeros(Broken):
    def average(self, state):
        return ([torch.zeros(1, 3), torch.zeros(())],) * 2


class ForgetsTheOtherPlayers(Broken):
    def linearised(self, at, D):
        return LinearMap(at.eye - D @ (at.J - at.off))


class ForgetsWhatItRemembers(mm.OptimisticGDA):
    def linearised(self, at, D):
        return LinearMap(super().linearised(at, D).matrix, start=torch.cat([at.eye, 0 * at.eye]))


class Mutable(mm.SimultaneousGDA):
    def __hash__(self):
        return id(self)


BROKEN: list[tuple[type[mm.GameOptimizer], str, str]] = [
    (Mutable, "configuration", "must equal it, and hash alike"),
    (WritesToItsPlayers, "purity", "another result|were written to"),
    (WritesToItsBatch, "purity", "another result|were written to"),
    (RemembersInItself, "purity", "another result when it is called again"),
    (KeepsTheGraph, "purity", "carry a graph"),
    (KeepsItsPlayers, "storage", "the state after step 0 holds memory of the players passed in"),
    (KeepsWhatItReturns, "storage", "the state after step 0 holds memory of the new players"),
    (KeepsItsStart, "storage", "the state that init makes holds memory of the players"),
    (NeverMovesTheSecondPlayer, "plays", "a player did not move"),
    (TreatsNamesDifferently, "plays", "a dict of players is played unlike a tuple"),
    (RefusesTwoPlayers, "plays", "a zero-sum game: refused with"),
    (DoesNotCount, "plays", r"state\['step'\] is 0"),
    (Widens, "precision", "float32 players changed shape or dtype"),
    (TiesMemoryToAnObject, "resume", "resumed after step"),
    (LooksAtItsOwnBatch, "ranks", "rank 0 of two with half a batch each plays unlike one process"),
    (MixesTheMembers, "vmapped", "vmap over players differs"),
    (MixesTheMembers, "vmapped_rates", "vmap over rates differs"),
    (MixesTheMembers, "compiled", "differs from eager"),
    (AnswersItsState, "answer", "the answer holds memory of the state"),
    (AnswersWithZeros, "answer", "before the first step the answer is not where play starts"),
    (ForgetsTheOtherPlayers, "linear", r"after 1 steps from .* play is at .*, and by its linear map at"),
    (ForgetsWhatItRemembers, "linear", r"after 1 steps from .* play is at .*, and by its linear map at"),
    (HidesAGradient, "costs", r"reports Cost\(gradients=2.*spent Cost\(gradients=3"),
    (HidesAProduct, "costs", r"hvps=0.*hvps=1"),
    (IgnoresSchedules, "schedules", r"asked for steps \[0\]"),
    (IgnoresItsSecondBatch, "draws", "batch 1 of 2 makes no difference"),
]


@pytest.mark.parametrize("kind, check, message", BROKEN)
def test_broken_optimizers_are_caught(kind: type[mm.GameOptimizer], check: str, message: str) -> None:
    optimizer = kind(mm.sgd(0.05))
    with pytest.raises(AssertionError, match=message):
        CHECKS[check](optimizer)
    with pytest.raises(AssertionError, match=message):
        check_optimizer(optimizer, skip=set(CHECKS) - {check})


@pytest.mark.parametrize("check", ["vmapped", "compiled"])
def test_branches_on_values_do_not_transform(check: str) -> None:
    with pytest.raises(Exception, match=r"vmap|data-dependent|Could not guard|Unsupported|graph break"):
        CHECKS[check](BranchesOnValues(mm.sgd(0.05)))


def test_the_hook_itself_is_sound() -> None:
    check_optimizer(Broken(mm.sgd(0.05)))


def test_a_rank_that_asks_alone_does_not_wait_for_ever() -> None:
    x = torch.tensor(1.0)
    ask = lambda game, rank: [game.losses((x, x)) for _ in range(1 + rank)]
    with pytest.raises(AssertionError, match="one of two ranks asked"):
        on_two_ranks(mm.zero_sum(lambda x, y: x * y), ask, patience=0.2)
    with pytest.raises(ZeroDivisionError):
        on_two_ranks(mm.zero_sum(lambda x, y: x * y), lambda game, rank: game.losses((x, x)) if rank else 1 / 0)


def test_every_check_is_broken_by_something() -> None:
    assert {check for _, check, _ in BROKEN} == set(CHECKS) - {"modules"}


def test_modules_check_sees_a_shell_that_does_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mm.Trainer, "_write", lambda self, players: None)
    with pytest.raises(AssertionError, match=r"bind\(\.\.\.\).step and the pure step play differently"):
        CHECKS["modules"](mm.SimultaneousGDA(mm.sgd(0.05)))


# --------------------------------------------------------------------------------------------------------------- games

X, Y = torch.tensor([0.3, -0.7], dtype=torch.float64), torch.tensor([0.5, 0.2], dtype=torch.float64)


def detached_half(x, y):
    return (x.detach() * y).sum() + (x**2).sum()


def frozen_coupling(x, y):
    return (x * y.detach()).sum() + (x**2).sum() - (y**2).sum()


def rounded(x, y):
    return (x * y).sum() + torch.round(x * 1e7).sum() * 1e-7


class Noisy:
    def __call__(self, x, y):
        return (x * y * torch.rand(2)).sum()


@pytest.mark.parametrize(
    "game, message",
    [
        (mm.zero_sum(detached_half), r"players\[0\]: its loss changes at the rate .* is something detached"),
        (mm.zero_sum(frozen_coupling), r"its loss changes at the rate|jvp is not the derivative of the field"),
        (mm.Game(lambda x, y: (x * y.detach()).sum(), lambda x, y: (x * y).sum()), "jvp is not the derivative"),
        (mm.zero_sum(rounded), r"not smooth here"),
        (mm.zero_sum(Noisy()), r"differ between two calls on one batch: draw all randomness in the batch"),
    ],
)
def test_broken_games_are_caught(game: mm.Game, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_game(game, (X, Y))


def test_losses_that_are_not_scalars_are_caught() -> None:
    with pytest.raises(mm.GameError, match="must be a 0-dim tensor"):
        check_game(mm.zero_sum(lambda x, y: x * y), (X, Y))


class _Wrong(torch.autograd.Function):
    """x², with a gradient a tenth too large."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, grad):
        return grad * 2.2 * ctx.saved_tensors[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_wrong_gradient_formula_is_caught(dtype: torch.dtype) -> None:
    with pytest.raises(AssertionError, match=r"players\[0\]: its loss changes at the rate"):
        check_game(mm.Game(lambda x: _Wrong.apply(x).sum()), (X.to(dtype),))


def test_a_leak_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Game whose field gave each player the gradient of the sum of all losses."""
    game = mm.Game(lambda x, y: (x * y).sum(), lambda x, y: (x**2 * y).sum())
    honest: Callable[..., Any] = Oracle.field

    def leaking(self: Oracle, z: Point, batch: Any) -> Any:
        ξ, losses = honest(self, z, batch)
        return tuple(tree.add(v, self.gradient(z, i, batch, of=1 - i)[0]) for i, v in enumerate(ξ)), losses

    monkeypatch.setattr(Oracle, "field", leaking)
    with pytest.raises(AssertionError, match=r"players\[0\]: gradient and field disagree; a gradient leaks"):
        check_game(game, (X, Y))


def test_sound_games_pass() -> None:
    softplus = nn.functional.softplus
    g, d = nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    gan = mm.Game(
        lambda g, d, b: softplus(-d(g(b))).mean(), lambda g, d, b: (softplus(-d(b)) + softplus(d(g(b)))).mean()
    )
    check_game(gan, (g, d), torch.randn(4, 2))
    check_game(gan, {"g": g, "d": d}, torch.randn(4, 2))
    check_game(mm.Game(lambda x: (x**4).sum()), (X,))
    check_game(mm.cooperative(lambda x, y, z: (x * y).sum() * z.sin(), 3), (X, Y, torch.tensor(0.3)))
    check_game(mm.zero_sum(lambda x, y: (x @ y).sin()), (X.float(), Y.float()))
