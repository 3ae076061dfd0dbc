"""The protocol of transforms: what passes everything on, what changes the losses, and what may not be touched."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.oracle import Oracle
from minimax.testing._compare import same
from minimax.transforms import Around, Payoff, accumulate, consensus

pytestmark = pytest.mark.usefixtures("float64")


class Still(Around):
    """Passes everything on."""


class Weighted(Payoff):
    """One player's loss counts k times."""

    def __init__(self, inner: Oracle, player: int, k: float) -> None:
        super().__init__(inner)
        self.player, self.k = player, k

    def pays(self, i: int, loss: Tensor, z: Any, batch: Any) -> Tensor:
        return self.k * loss if i == self.player else loss


def f(x: Tensor, y: Tensor) -> Tensor:
    return (x**2 / 4 + x.sin() * y - y**2 / 4).sum()


GAMES = {
    "zero-sum": mm.zero_sum(f),
    "separate": mm.Game(f, lambda x, y: -f(x, y)),
    "joint": mm.Game(lambda x, y: (f(x, y), -f(x, y))),
}
Z = (torch.tensor([0.5, -0.3]).double(), torch.tensor([0.2, 0.7]).double())


def play(game: mm.Game, optimizer: mm.GameOptimizer, steps: int = 3) -> Any:
    players, state = Z, optimizer.init(game, Z)
    for _ in range(steps):
        players, state, info = optimizer.step(game, players, state)
    return players, info.losses, info.gradients, info.cost


@pytest.mark.parametrize("kind", GAMES)
@pytest.mark.parametrize("name", BY_NAME)
def test_what_changes_nothing_changes_nothing(name: str, kind: str) -> None:
    """Bit for bit, and at the same cost."""
    optimizer = BY_NAME[name].of(mm.sgd(0.05))
    ours, theirs = play(GAMES[kind].through(Still), optimizer), play(GAMES[kind], optimizer)
    assert same(ours[:3], theirs[:3]) and ours[3] == theirs[3]


@pytest.mark.parametrize("kind", GAMES)
@pytest.mark.parametrize("name", BY_NAME)
def test_changed_losses_are_those_losses(name: str, kind: str) -> None:
    """Only `pays` is written: gradients, fields and products follow."""
    game = GAMES[kind].through(lambda inner: Weighted(inner, 1, 3.0))
    written = mm.Game(f, lambda x, y: -3 * f(x, y))
    optimizer = BY_NAME[name].of(mm.sgd(0.05))
    try:
        expected = play(written, optimizer)
    except mm.GameError as error:
        assert "zero-sum" in str(error)
        with pytest.raises(mm.GameError, match="zero-sum"):
            play(game, optimizer)
        return
    found = play(game, optimizer)
    torch.testing.assert_close(found[:3], expected[:3], rtol=1e-10, atol=1e-12)
    assert found[3] == expected[3]


def test_transforms_nest_in_any_order() -> None:
    weighted = lambda game: game.through(lambda inner: Weighted(inner, 1, 3.0))
    by_hand = mm.Game(f, lambda x, y: -3 * f(x, y))
    torch.testing.assert_close(consensus(weighted(GAMES["joint"]), 0.3).field(Z), consensus(by_hand, 0.3).field(Z))
    inside = consensus(GAMES["zero-sum"], 0.3)
    losses, outer = inside.losses(Z), weighted(inside)
    torch.testing.assert_close(outer.losses(Z), (losses[0], 3 * losses[1]))
    mm.testing.check_game(outer, Z)
    mm.testing.check_game(consensus(outer, 0.1), Z)


def test_costs_are_those_of_what_lies_inside() -> None:
    """A loss that holds gradients costs what it costs however deep it lies."""
    game = consensus(GAMES["zero-sum"], 0.3)
    spent = lambda game: mm.SimultaneousGDA(mm.sgd(0.1)).step(game, Z, {"step": torch.tensor(0), "rules": [{}, {}]})
    assert spent(game)[2].cost[:2] == (2, 1)
    assert spent(game.through(Still))[2].cost[:2] == (2, 1)
    assert spent(game.through(lambda inner: Weighted(inner, 1, 3.0)))[2].cost[:2] == (2, 1)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("kind", [Still, lambda inner: Weighted(inner, 1, 1.0)])
def test_buffers_and_checkpoints(kind: Any, reentrant: bool) -> None:
    """Statistics count every pass, and checkpointed activations are computed again from the point, as without it."""

    def made() -> tuple[nn.Module, nn.Module]:
        torch.manual_seed(0)
        g = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
        return g, nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def run(d: nn.Module, x: Tensor) -> Tensor:
        return checkpoint(d, x if x.requires_grad else x.clone().requires_grad_(), use_reentrant=reentrant)

    game = mm.Game(
        lambda g, d, b: softplus(-run(d, g(b))).mean(),
        lambda g, d, b: softplus(run(d, g(b))).mean() + softplus(-run(d, b)).mean(),
    )
    batch = torch.randn(6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ends = []
    for each in (game, game.through(kind)):
        players = made()
        trainer = mm.bind(each, players, mm.ExtraGradient(mm.sgd(0.1)), check=False)
        for _ in range(2):
            trainer.step(batch)
        ends.append([*players[0].state_dict().values(), *players[1].state_dict().values()])
    torch.testing.assert_close(*ends)
    assert int(made()[0][1].num_batches_tracked) == 0 and any(int(leaf) > 0 for leaf in ends[0] if leaf.dim() == 0)


@pytest.mark.parametrize("kind", [mm.ExtraGradient, mm.ConsensusOptimization])
def test_members_and_graphs(kind: Any) -> None:
    game, optimizer = GAMES["joint"].through(lambda inner: Weighted(inner, 1, 3.0)), kind(mm.sgd(0.05))
    alone = play(game, optimizer)[0]
    together = mm.ensemble(game, kind(mm.sgd(torch.tensor([0.1, 0.05]))), [Z, Z], steps=3)
    torch.testing.assert_close(together.member(1), alone)
    torch._dynamo.reset()
    step = torch.compile(lambda z, s: optimizer.step(game, z, s)[:2], fullgraph=True, backend="eager")
    players, state = Z, optimizer.init(game, Z)
    for _ in range(3):
        players, state = step(players, state)
    torch.testing.assert_close(players, alone)


def test_decorations_of_functions_reach_the_innermost() -> None:
    seen: list[int] = []

    def counted(loss: Any) -> Any:
        def call(*args: Any) -> Any:
            seen.append(len(args))
            return loss(*args)

        return call

    game = accumulate(mm.zero_sum(lambda x, y, b: x * y * b.mean()).through(Still), 2).mapped(counted)
    game.field((torch.tensor(1.0), torch.tensor(2.0)), torch.ones(4))
    assert seen == [3, 3]


def test_losses_without_their_gradients_are_refused_when_the_class_is_written() -> None:
    with pytest.raises(
        TypeError, match="Halved changes the losses and passes on the gradient of others: start from Pay"
    ):

        class Halved(Around):
            def losses(self, z: Any, batch: Any) -> Any:
                return tuple(loss / 2 for loss in self.inner.losses(z, batch))


def test_what_is_no_transform_is_refused() -> None:
    with pytest.raises(TypeError, match="around must be a function from an oracle to an oracle, got 3"):
        GAMES["joint"].through(3)
    with pytest.raises(TypeError, match="through takes a function that returns an oracle, got 3"):
        GAMES["joint"].through(lambda inner: 3).field(Z)
    with pytest.raises(TypeError, match="change must be a function from a loss to a loss, got 3"):
        GAMES["joint"].mapped(3)


@pytest.mark.parametrize("signs", [(1, 2), (), (0,)])
def test_signs_are_signs(signs: tuple[int, ...]) -> None:
    with pytest.raises(mm.GameError, match="signs are 1 or -1 per player, of one payoff"):
        mm.Game(f, signs=signs)
    with pytest.raises(mm.GameError, match="signs are 1 or -1 per player, of one payoff"):
        mm.Game(f, f, signs=(1, 1))


def test_a_payoff_may_be_maximised_first() -> None:
    """max over x, min over y: the field and the products of the game written out."""
    game, written = mm.Game(f, signs=(-1, 1)), mm.Game(lambda x, y: -f(x, y), f)
    torch.testing.assert_close(game.losses(Z), written.losses(Z))
    for ask in (lambda g: g.field(Z), lambda g: g.jvp(Z, Z), lambda g: g.vjp(Z, Z), lambda g: g.gradient(Z, 0)):
        torch.testing.assert_close(ask(game), ask(written))
    many = torch.vmap(lambda x, y: game.field((x, y)))(*(z.expand(2, -1) for z in Z))
    torch.testing.assert_close(tuple(leaf[1] for leaf in many), written.field(Z))


def test_no_file_touches_private_fields_of_games_and_oracles() -> None:
    """Their own files excepted, and subclasses of oracles on themselves."""
    package = Path(mm.__file__).parent
    kinds = (mm.Game, Oracle, Around, Payoff)
    private = {name for kind in kinds for name in vars(kind) if name.startswith("_") and not name.startswith("__")}
    private |= {name for name in vars(GAMES["joint"]) if name.startswith("_")}
    for path in sorted(package.rglob("*.py")):
        if path.name in ("game.py", "oracle.py") and path.parent == package:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in private:
                owner = ast.unparse(node.value)
                assert owner in ("self", "cls"), f"{path}:{node.lineno} touches {owner}.{node.attr}"
