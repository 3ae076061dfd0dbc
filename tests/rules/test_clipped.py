"""Gradients are cut as torch.nn.utils cuts them, before whatever rule moves along them."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

import minimax as mm
from minimax.rules import Rule, clipped, sghmc, split
from tests.rules.play import played, players_and_gradients, stepped

pytestmark = pytest.mark.usefixtures("float64")

INNER: dict[str, tuple[Rule, type, dict]] = {
    "sgd": (mm.sgd(0.1), torch.optim.SGD, {"lr": 0.1}),
    "momentum, decay": (
        mm.sgd(0.1, momentum=0.9, weight_decay=0.2),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2},
    ),
    "adam, decay": (mm.adam(0.1, weight_decay=0.3), torch.optim.Adam, {"lr": 0.1, "weight_decay": 0.3}),
    "adamw": (mm.adamw(0.1), torch.optim.AdamW, {"lr": 0.1}),
    "torch's": (mm.from_torch(torch.optim.Adagrad, lr=0.1), torch.optim.Adagrad, {"lr": 0.1}),
}


@pytest.mark.parametrize("bound", [0.5, 3.5, 100.0])  # always, half the time, never
@pytest.mark.parametrize("kind", ["norm", "value"])
@pytest.mark.parametrize("name", INNER)
def test_a_torch_loop_with_clipping(name: str, kind: str, bound: float, generator: torch.Generator) -> None:
    rule, optimizer, options = INNER[name]
    player, gradients = players_and_gradients(generator)
    clip = clip_grad_norm_ if kind == "norm" else clip_grad_value_
    expected = stepped(optimizer, options, player, gradients, before=lambda leaves: clip(leaves, bound))
    found = played(clipped(rule, **{kind: bound}), player, gradients)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["norm", "value"])
def test_what_is_not_finite_stays_so(kind: str) -> None:
    """As torch does it, so that a run ends as diverged."""
    z, g = [torch.zeros(2)], [torch.tensor([math.nan, 1.0])]
    d = clipped(mm.sgd(0.1), **{kind: 1.0}).move(z, g, {}, torch.tensor(0))[0][0]
    z[0].grad = g[0].clone()
    (clip_grad_norm_ if kind == "norm" else clip_grad_value_)(z, 1.0)
    torch.testing.assert_close(d, -0.1 * z[0].grad, equal_nan=True)


def payoff(x: Tensor, y: Tensor) -> Tensor:
    return 30 * x @ y + (x**2).sum() - (y**4).sum()


START = (torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 1.0], dtype=torch.float64))


def test_extragradient_clips_both_half_steps() -> None:
    def cut(g: Tensor) -> Tensor:
        return g * min(1.0, 2.0 / (float(g.norm()) + 1e-6))

    game, h = mm.zero_sum(payoff), 0.1
    half = tuple(z - h * cut(g) for z, g in zip(START, game.field(START), strict=True))
    expected = tuple(z - h * cut(g) for z, g in zip(START, game.field(half), strict=True))
    optimizer = mm.ExtraGradient(clipped(mm.sgd(h), norm=2.0))
    found, _, info = optimizer.step(game, START, optimizer.init(game, START))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(info.gradients, tuple([g] for g in game.field(START)))  # as measured


def test_a_mirror_step_starts_where_it_is_added() -> None:
    """What a rule says of itself, it says clipped too."""
    rule, mirror = clipped(mm.entropic(0.3), value=1.0), mm.entropic(0.3)
    assert not rule.sums and clipped(mm.sgd(0.1), value=1.0).sums
    start, at, g = ([torch.rand(4).softmax(-1)] for _ in range(3))
    found, expected = (r.move_from(start, at, g, {}, torch.tensor(0)) for r in (rule, mirror))
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="OptimisticGDA adds up moves, which clipped has none for"):
        mm.OptimisticGDA(rule)


def test_the_metric_is_the_inner_rules() -> None:
    game = mm.zero_sum(payoff)

    def step(rule: Rule) -> tuple[Tensor, ...]:
        optimizer = mm.CompetitiveGradientDescent(rule)
        return optimizer.step(game, START, optimizer.init(game, START))[0]

    torch.testing.assert_close(step(clipped(mm.adam(0.1), norm=1e9)), step(mm.adam(0.1)))


def test_schedules_members_and_graphs() -> None:
    """One bound for each member of an ensemble; one that falls; in one graph."""
    game, bounds = mm.zero_sum(payoff), torch.tensor([0.5, 2.0, 80.0], dtype=torch.float64)
    make: Callable[[object], mm.GameOptimizer] = lambda c: mm.ExtraGradient(clipped(mm.adam(0.1), norm=c))
    found = mm.ensemble(game, make(bounds), [START] * 3, steps=5)
    for k, bound in enumerate(bounds.tolist()):
        torch.testing.assert_close(found.member(k), mm.solve(game, START, make(bound), steps=5).players)
    rule, ones = clipped(mm.sgd(1.0), value=mm.schedules.linear(1.0, 0.2, 4)), [torch.full((1,), 9.0)]
    moves = [float(rule.move(ones, ones, {}, torch.tensor(k))[0][0]) for k in range(5)]
    assert moves == pytest.approx([-1.0, -0.8, -0.6, -0.4, -0.2])
    step = torch.compile(lambda g, k: rule.move([g], [g], {}, k)[0][0], fullgraph=True, backend="eager")
    assert float(step(torch.full((1,), 9.0), torch.tensor(2))) == pytest.approx(-0.6)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: clipped(mm.sgd(0.1)), ValueError, "clipped takes a norm or a value, got neither: clipped"),
        (lambda: clipped(mm.sgd(0.1), norm=1, value=1), ValueError, "clipped takes a norm or a value, got both"),
        (lambda: clipped(mm.sgd(0.1), norm=0), ValueError, "norm must be a finite number > 0, got 0"),
        (lambda: clipped(mm.sgd(0.1), value=-1.0), ValueError, r"value must be a finite number > 0, got -1\.0"),
        (lambda: clipped(0.1, norm=1.0), TypeError, r"clipped goes around a rule, got 0\.1: clipped\(sgd\(0\.1\), n"),
        (lambda: clipped(mm.sgd, norm=1.0), TypeError, "clipped goes around a rule, got the class sgd"),
        (lambda: clipped(sghmc(0.1, noise=len), norm=1.0), ValueError, "clipped would clip the draw that sghmc"),
        (lambda: mm.KBeam(clipped(mm.sgd(0.1), norm=1.0)), ValueError, "KBeam moves candidates as one player, w"),
        (lambda: mm.KBeam((mm.sgd(0.1), split(bool, mm.sgd(0.1), mm.sgd(0.1)))), TypeError, "predicate must be a fu"),
    ],
)
def test_what_cannot_be(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_beam_clips_by_value_and_its_other_players_by_norm() -> None:
    mm.KBeam((clipped(mm.sgd(0.1), norm=1.0), clipped(mm.sgd(0.1), value=1.0)))


@pytest.mark.parametrize("check", mm.testing.CHECKS)
def test_contract(check: str) -> None:
    mm.testing.CHECKS[check](mm.ExtraGradient((clipped(mm.adam(0.01), norm=0.1), clipped(mm.sgd(0.05), value=0.1))))
