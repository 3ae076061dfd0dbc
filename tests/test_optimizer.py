import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch

import minimax as mm
from minimax.optimizer import Ruled, counted, moved, scaled
from minimax.optimizers import BY_NAME
from minimax.oracle import Oracle
from minimax.tree import Point

pytestmark = pytest.mark.usefixtures("float64")

SADDLE = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0), torch.tensor(2.0))


@dataclasses.dataclass(frozen=True)
class Scheduled(Ruled):
    """A minimal optimizer of a user: one gradient step with a weight of its own, on two batches."""

    weight: Any = 1.0

    name: ClassVar[str] = "scheduled"

    @property
    def draws(self) -> int:
        return 2

    def update(self, game: Oracle, z: Point, state: Any, batches: Sequence[Any]) -> tuple[Point, Any, mm.Info]:
        ξ, losses = game.field(z, batches[0])
        game.field(z, batches[1])
        d, state = self.directions(z, ξ, state)
        return moved(game, z, scaled(self.at(self.weight, state), d)), counted(state), mm.Info(losses, ξ)


def test_cost_adds() -> None:
    assert mm.Cost(1, 2, 3) + mm.Cost(10, 20, 30) == mm.Cost(11, 22, 33)
    assert sum([mm.Cost(1), mm.Cost(2)], mm.Cost()) == mm.Cost(3)


def test_info_measures() -> None:
    info = mm.Info(
        (torch.tensor(1.0), torch.tensor(-1.0)), ([torch.tensor([3.0])], [torch.tensor(4.0), torch.zeros(2)])
    )
    assert info.norm.item() == 5
    assert [norm.item() for norm in info.norms] == [3, 4]
    assert bool(info.finite)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_info_finds_what_is_not_finite(bad: float, where: str) -> None:
    loss, gradient = (torch.tensor(bad if name == where else 1.0) for name in ("loss", "gradient"))
    assert not bool(mm.Info((torch.tensor(1.0), loss), ([torch.tensor(2.0)], [torch.zeros(3), gradient])).finite)


def test_opposite_infinities_do_not_cancel() -> None:
    losses = (torch.tensor(math.inf), torch.tensor(-math.inf))
    assert not bool(mm.Info(losses, ([torch.tensor(2.0)],)).finite)


def test_info_is_a_pytree() -> None:
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
    _, _, info = torch.vmap(lambda z: optimizer.step(SADDLE, z, optimizer.init(SADDLE, z)))(
        (torch.ones(3), torch.ones(3))
    )
    assert info.losses[0].shape == (3,) and info.cost == mm.Cost(gradients=2)


@pytest.mark.parametrize("name", BY_NAME)
def test_info_is_measured_where_it_says(name: str) -> None:
    optimizer = BY_NAME[name].of(mm.sgd(0.1))
    _, _, info = optimizer.step(SADDLE, START, optimizer.init(SADDLE, START))
    assert info.at
    if info.at == "start of the step":
        assert [loss.item() for loss in info.losses] == pytest.approx([2, -2])
        assert [g[0].item() for g in info.gradients] == pytest.approx([2, -1])


def test_samples_are_the_first_dimension_of_every_batch() -> None:
    game = mm.zero_sum(lambda x, y, b: x * y * b["x"].mean())
    optimizer = Scheduled(mm.sgd(0.1))
    state = optimizer.init(game, START)
    batches = [{"seed": torch.tensor(1), "x": torch.ones(n, 2)} for n in (3, 5)]
    assert optimizer.step(game, START, state, batches)[2].cost == mm.Cost(gradients=4, samples=8)


def test_schedules_of_a_users_optimizer() -> None:
    optimizer = Scheduled(mm.sgd(1.0), weight=lambda step: 1.0 / (1 + step))
    players, state = START, optimizer.init(SADDLE, START)
    for k in range(4):
        x, y = (float(player) for player in players)
        players, state, _ = optimizer.step(SADDLE, players, state)
        assert (float(players[0]), float(players[1])) == pytest.approx((x - y / (1 + k), y + x / (1 + k)))


@pytest.mark.parametrize(
    "batches, got",
    [(torch.ones(2), "one Tensor"), ([torch.ones(2)], "1"), ([1, 2, 3], "3"), ({"a": 1, "b": 2}, "one dict")],
)
def test_wrong_number_of_batches(batches: Any, got: str) -> None:
    optimizer = Scheduled(mm.sgd(0.1))
    with pytest.raises(mm.GameError, match=f"a step of scheduled takes 2 batches in a list, got {got}"):
        optimizer.step(SADDLE, START, optimizer.init(SADDLE, START), batches)


def test_rules_per_player() -> None:
    optimizer = mm.SimultaneousGDA((mm.sgd(0.1), mm.sgd(0.2)))
    players, _, _ = optimizer.step(SADDLE, START, optimizer.init(SADDLE, START))
    assert [float(p) for p in players] == pytest.approx([1 - 0.1 * 2, 2 + 0.2 * 1])


def test_wrong_number_of_rules() -> None:
    optimizer = mm.SimultaneousGDA((mm.sgd(0.1),) * 3)
    with pytest.raises(mm.GameError, match="rule has 3 entries for 2 players: pass one rule, or one per player"):
        optimizer.init(SADDLE, START)


def test_optimizers_are_values() -> None:
    a, b = (mm.ExtraGradient(mm.adam(0.1, betas=(0.5, 0.9))) for _ in range(2))
    assert a == b and hash(a) == hash(b) and a != mm.ExtraGradient(mm.adam(0.2))
    assert eval(repr(a), {**vars(mm)}) == a
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.explore = 2.0  # type: ignore[misc]


def test_state_is_plain_and_loadable() -> None:
    """No `id()` keys, no objects: tensors and numbers in dicts and lists."""

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str | int) and plain(part) for key, part in value.items())
        return all(map(plain, value)) if isinstance(value, list | tuple) else isinstance(value, torch.Tensor)

    for kind in BY_NAME.values():
        optimizer = kind.of(mm.adam(0.1))
        assert plain(optimizer.init(SADDLE, START)), kind
        assert plain(optimizer.step(SADDLE, START, optimizer.init(SADDLE, START))[1]), kind


def test_names_are_unique_and_exported() -> None:
    for name, kind in BY_NAME.items():
        assert kind.name == name and getattr(mm, kind.__name__) is kind
    assert len({kind.name for kind in BY_NAME.values()}) == len(BY_NAME)


@pytest.mark.parametrize("name", BY_NAME)
def test_where_info_was_measured_does_not_move_with_the_modules(name: str) -> None:
    """The natural residual of a step in place is that of the pure step, also when it is asked for afterwards."""

    class Number(torch.nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = torch.nn.Parameter(torch.tensor([value]))

    box, optimizer = mm.projections.box(-1, 1), BY_NAME[name].of(mm.sgd(0.1))
    loss = lambda x, y: 3 * (x.value * y.value).sum() + (x.value**2 - y.value**2).sum() / 2
    game = mm.zero_sum(loss, constraints=(box, box))
    pure, players = game.functional((Number(0.5), Number(-0.9)))
    batches: list[Any] = [] if optimizer.draws == 1 else [[None] * optimizer.draws]
    expected = optimizer.step(pure, players, optimizer.init(pure, players), *batches)[2].residual
    info = mm.bind(game, (Number(0.5), Number(-0.9)), optimizer).step()
    assert info.residual.item() == pytest.approx(expected.item(), abs=1e-12)
