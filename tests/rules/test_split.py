"""Two rules for one player are torch's parameter groups; which leaf is whose goes by its name and shape."""

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import minimax as mm
from minimax import tree
from minimax.rules import Rule, clipped, split
from tests.rules.play import NAMES, played, players_and_gradients, stepped

pytestmark = pytest.mark.usefixtures("float64")


def matrices(name: str, shape: torch.Size) -> bool:
    return len(shape) >= 2


def biases(name: str, shape: torch.Size) -> bool:
    return name.endswith("bias")


PAIRS: dict[str, tuple[Rule, Rule, list[dict]]] = {
    "decay on matrices alone": (
        mm.adamw(0.1, weight_decay=0.3),
        mm.adamw(0.1, weight_decay=0.0),
        [{"weight_decay": 0.3}, {"weight_decay": 0.0}],
    ),
    "two rates": (mm.adamw(0.1), mm.adamw(0.02), [{"lr": 0.1}, {"lr": 0.02}]),
    "torch's": (
        mm.from_torch(torch.optim.AdamW, lr=0.1),
        mm.adamw(0.1, betas=(0.5, 0.9)),
        [{}, {"betas": (0.5, 0.9)}],
    ),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_two_groups(pair: str, generator: torch.Generator) -> None:
    first, second, options = PAIRS[pair]
    player, gradients = players_and_gradients(generator)

    def groups(z: list[Tensor]) -> list[dict]:
        return [{"params": z[:1], **options[0]}, {"params": z[1:], **options[1]}]

    expected = stepped(torch.optim.AdamW, {"lr": 0.1}, player, gradients, groups)
    for rule in (split(matrices, first, second), split(lambda name, shape: name == "weight", first, second)):
        torch.testing.assert_close(played(rule, player, gradients), expected, rtol=1e-12, atol=1e-12)


def test_three_groups_clipped_apart(generator: torch.Generator) -> None:
    player, gradients = players_and_gradients(generator)
    rest = split(biases, mm.adamw(0.02), clipped(mm.adamw(0.03), norm=0.5))
    rule = split(matrices, clipped(mm.adamw(0.01), norm=1.0), rest)

    def groups(z: list[Tensor]) -> list[dict]:
        return [{"params": [leaf], "lr": lr} for leaf, lr in zip(z, (0.01, 0.02, 0.03), strict=True)]

    def clip(z: Any) -> None:
        nn.utils.clip_grad_norm_(z[:1], 1.0)
        nn.utils.clip_grad_norm_(z[2:], 0.5)

    expected = stepped(torch.optim.AdamW, {}, player, gradients, groups, clip)
    torch.testing.assert_close(played(rule, player, gradients), expected, rtol=1e-12, atol=1e-12)


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3), nn.Linear(3, 1))


def payoff(g: nn.Module, d: nn.Module, batch: Tensor) -> Tensor:
    return (g(batch) * d(batch)).mean() + g(batch).square().mean() - d(batch).square().mean()


DECAYED = split(matrices, mm.adamw(0.05, weight_decay=0.5), mm.adam(0.05))
SETS = [torch.randn(8, 2, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in range(8)]


def test_no_decay_on_biases_and_norms_of_modules() -> None:
    """As the loop that everybody writes."""
    (g, d), mine = (network(0), network(1)), (network(0), network(1))
    trainer = mm.bind(mm.zero_sum(payoff), mine, mm.SimultaneousGDA(DECAYED))
    optimizers = [
        torch.optim.AdamW(
            [
                {"params": [p for p in module.parameters() if p.dim() >= 2], "weight_decay": 0.5},
                {"params": [p for p in module.parameters() if p.dim() < 2], "weight_decay": 0.0},
            ],
            lr=0.05,
        )
        for module in (g, d)
    ]
    for batch in SETS:
        trainer.step(batch)
        value = payoff(g, d, batch)
        for module, sign in ((g, 1), (d, -1)):
            parameters = list(module.parameters())
            parts = torch.autograd.grad(sign * value, parameters, retain_graph=True)
            for p, part in zip(parameters, parts, strict=True):
                p.grad = part
        for optimizer in optimizers:
            optimizer.step()
    for module, expected in zip(mine, (g, d), strict=True):
        for name, p in module.named_parameters():
            torch.testing.assert_close(p, expected.get_parameter(name), rtol=1e-11, atol=1e-12)


def test_names_are_the_modules_own() -> None:
    seen: list[tuple[str, tuple[int, ...]]] = []

    def first(name: str, shape: torch.Size) -> bool:
        seen.append((name, tuple(shape)))
        return False

    mm.bind(mm.zero_sum(payoff), (network(0), network(1)), mm.Halpern(mm.ExtraGradient(split(first, DECAYED, DECAYED))))
    expected = [(name, tuple(p.shape)) for name, p in network(0).named_parameters()]
    assert seen[: len(expected)] == expected and len(seen) % len(expected) == 0


@pytest.mark.parametrize(
    "player, names",
    [
        (torch.ones(1), [""]),
        ({"b": torch.ones(1), "a": torch.ones(1)}, ["b", "a"]),
        ((torch.ones(1), [torch.ones(1), {"x": torch.ones(1)}]), ["0", "1.0", "1.1.x"]),
        ({"net.weight": torch.ones(1), "deep": {3: torch.ones(1)}}, ["net.weight", "deep.3"]),
    ],
)
def test_names_of_plain_players(player: object, names: list[str]) -> None:
    assert tree.names(tree.flatten(player)[1]) == names
    seen: list[str] = []
    rule = split(lambda name, shape: bool(seen.append(name)) or True, mm.sgd(0.1), mm.sgd(0.2))
    game = mm.Game(lambda z: tree.dot(*[tree.flatten(z)[0]] * 2))
    mm.SimultaneousGDA(rule).init(game, (player,))
    assert seen == names


def test_an_answer_has_names_too() -> None:
    """The player who answers every batch anew comes from `start`, and its leaves from there."""

    def payoff(x: Tensor, y: Any, batch: Tensor) -> Tensor:
        return x * (y["far"] + y["near"]) - (y["far"] - batch) ** 2 - (y["near"] - batch) ** 2

    def start(batch: Tensor) -> dict[str, Tensor]:
        return {"far": torch.zeros(()), "near": torch.zeros(())}

    rule = split(lambda name, shape: name == "far", mm.sgd(0.5), mm.sgd(0.25))  # the first goes all the way
    game = mm.transforms.best_response(mm.zero_sum(payoff), 1, start, rule, steps=1)
    x, batch = torch.tensor(0.5), torch.tensor(1.0)
    assert float(game.field((x,), batch)[0]) == pytest.approx((x / 2 + 1) + (x / 2 + 1) / 2)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_saved_state_goes_on(wrapped: bool) -> None:
    """In plain containers, also of a rule that makes its memory when it first moves."""
    second = mm.from_torch(torch.optim.Adam, lr=0.05) if wrapped else mm.adam(0.05)
    rule = split(matrices, mm.sgd(0.05, momentum=0.9), clipped(second, norm=0.1))

    def trainer() -> mm.Trainer:
        return mm.bind(mm.zero_sum(payoff), (network(0), network(1)), mm.ExtraGradient(rule))

    straight, first, second_half = trainer(), trainer(), trainer()
    for batch in SETS:
        straight.step(batch)
    for batch in SETS[:4]:
        first.step(batch)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second_half.load_state_dict(torch.load(file, weights_only=True))
    for batch in SETS[4:]:
        second_half.step(batch)
    for mine, expected in zip(second_half.modules, straight.modules, strict=True):
        assert all(map(torch.equal, mine.parameters(), expected.parameters()))


def test_a_state_of_other_groups_is_refused() -> None:
    """Even if the rules, and so all shapes, are the same."""
    rules = [split(pick, mm.sgd(0.1), mm.sgd(0.2)) for pick in (matrices, biases)]
    one, other = (mm.bind(mm.zero_sum(payoff), (network(0), network(1)), mm.SimultaneousGDA(rule)) for rule in rules)
    with pytest.raises(ValueError, match=r"does not fit what is bound here: state\['rules'\].*\['leaves'\]"):
        other.load_state_dict(one.state_dict())


def test_members_of_an_ensemble_have_rates_of_their_own() -> None:
    def loss(x: Any, y: Any) -> Tensor:
        return x["w"].sum() * y["b"] + (x["w"] ** 2).sum() + x["b"] ** 2 - y["b"] ** 2 + (y["w"] ** 2).sum()

    game = mm.Game(loss, lambda x, y: -x["b"] * y["b"] + (y["w"] ** 2).sum() + y["b"] ** 2)
    start = tuple({"w": torch.full((2, 2), k), "b": torch.tensor(-k)} for k in (1.0, 2.0))
    rates = torch.tensor([0.01, 0.1, 0.2], dtype=torch.float64)
    make: Callable[[Any], mm.GameOptimizer] = lambda lr: mm.OptimisticGDA(split(matrices, mm.adam(lr), mm.sgd(0.1)))
    found = mm.ensemble(game, make(rates), [start] * 3, steps=6)
    for k, rate in enumerate(rates.tolist()):
        torch.testing.assert_close(found.member(k), mm.solve(game, start, make(rate), steps=6).players)


def test_a_group_may_be_empty(generator: torch.Generator) -> None:
    player, gradients = players_and_gradients(generator)
    rate = torch.tensor(0.1)
    found = played(split(lambda name, shape: False, mm.sgd(rate), mm.adam(rate)), player, gradients)
    torch.testing.assert_close(found, played(mm.adam(rate), player, gradients), rtol=0, atol=0)


def test_metric_sums_and_starts() -> None:
    game = mm.Game(lambda x, y: (x["a"] * y["a"]).sum() + x["b"] ** 2, lambda x, y: y["b"] ** 2 - x["a"] @ y["a"])
    start = tuple({"a": torch.full((2,), k), "b": torch.tensor(k)} for k in (1.0, -2.0))

    def step(rule: Rule) -> Any:
        optimizer = mm.CompetitiveGradientDescent(rule)
        return optimizer.step(game, start, optimizer.init(game, start))[0]

    adam = mm.adam(0.1)
    torch.testing.assert_close(step(split(lambda name, shape: name == "b", adam, adam)), step(adam))
    with pytest.raises(RuntimeError, match="split has a metric of rules with one per entry only: use adam or rmsprop"):
        step(split(lambda name, shape: name == "b", mm.sgd(0.1), adam))
    mirror = split(biases, mm.entropic(0.1), adam)
    assert not mirror.sums and split(biases, adam, adam).sums
    z, at, g = ([torch.rand(3).softmax(-1)] * 2 for _ in range(3))
    names = ["bias", "weight"]
    d = mirror.move_from(z, at, g, mirror.init(z, names), torch.tensor(0))[0]
    torch.testing.assert_close(d[0], mm.entropic(0.1).move_from(z[:1], at[:1], g[:1], {}, torch.tensor(0))[0][0])


@pytest.mark.parametrize("check", mm.testing.CHECKS)
def test_contract(check: str) -> None:
    inner = split(biases, mm.adam(0.01), clipped(mm.sgd(0.03), norm=0.5))
    mm.testing.CHECKS[check](mm.ExtraGradient(split(matrices, mm.sgd(0.05, momentum=-0.3), inner)))


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: split(3, mm.sgd(0.1), mm.sgd(0.1)), TypeError, "predicate must be a function of a leaf's name and"),
        (lambda: split(matrices, mm.sgd, mm.sgd(0.1)), TypeError, "split goes around a rule, got the class sgd"),
        (lambda: split(matrices, mm.sgd(0.1), None), TypeError, "split goes around a rule, got None: split"),
        (lambda: mm.KBeam(split(matrices, mm.sgd(0.1), mm.sgd(0.1))), ValueError, "KBeam moves candidates as one pl"),
        (
            lambda: played(split(lambda name, shape: name, mm.sgd(0.1), mm.sgd(0.1)), [torch.ones(1)], []),
            TypeError,
            "predicate must return True or False, got 'weight' for 'weight'",
        ),
        (
            lambda: split(matrices, mm.sgd(0.1), mm.sgd(0.1)).init([torch.ones(1)] * 3, NAMES[:2]),
            ValueError,
            "split picks leaves by name, got 2 names for 3 leaves",
        ),
    ],
)
def test_what_cannot_be(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
