"""A generator behind its samples: the same play as by losses that call it, and one pass for all of them."""

import copy
from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.checkpoint import checkpoint

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.transforms import accumulate, add, consensus, generated
from tests.gan import GAN, batch, drawn, flat, net

pytestmark = pytest.mark.usefixtures("float64")


def loss_g(fake: Tensor, d: Any, b: Any) -> Tensor:
    return softplus(-d(fake)).mean()


def loss_d(fake: Tensor, d: Any, b: Any) -> Tensor:
    return (softplus(-d(b["real"])) + softplus(d(fake))).mean()


def generate(g: Any, b: Any) -> Tensor:
    return g(b["noise"])


ON_SAMPLES = generated(mm.Game(loss_g, loss_d), generate)
JOINT = generated(mm.Game(lambda fake, d, b: (loss_g(fake, d, b), loss_d(fake, d, b))), generate)


def played(game: mm.Game, optimizer: mm.GameOptimizer, *modules: nn.Module, steps: int = 2, **options: Any) -> Any:
    trainer = mm.bind(game, copy.deepcopy(modules), optimizer, **options)
    for step in range(steps):
        info = trainer.step(*drawn(optimizer, step))
    tensors = [tensor for module in trainer.modules for tensor in module.state_dict().values()]
    return tensors, info.losses, info.gradients, info.cost


def test_every_optimizer_plays_as_by_losses_that_call_the_generator() -> None:
    torch.manual_seed(100)
    modules = net(2), net()
    for name, kind in BY_NAME.items():
        optimizer = kind.of(mm.adam(0.02))
        ours, theirs = (played(game, optimizer, *modules) for game in (ON_SAMPLES, GAN))
        torch.testing.assert_close(
            ours[:3], theirs[:3], rtol=1e-10, atol=1e-12, msg=lambda text, name=name: name + text
        )
        assert ours[3] == theirs[3], name


def test_the_generator_runs_once_as_long_as_it_has_not_moved() -> None:
    """Statistics count the passes: those of the loop that keeps its fakes, for every schedule."""
    g = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    d = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))
    rule, critic_first = mm.sgd(0.1), (1, 0)
    schedules = {
        mm.AlternatingGDA(rule, order=critic_first): (1, 3),
        mm.AlternatingGDA(rule): (2, 3),
        mm.AlternatingGDA(rule, steps=(1, 3), order=critic_first): (3, 7),  # three batches, the last one for both
        mm.SimultaneousGDA(rule): (1, 3),
        mm.ExtraGradient(rule): (2, 6),
    }
    for optimizer, passes in schedules.items():
        tensors = played(ON_SAMPLES, optimizer, g, d)[0]
        counts = [int(tensor) for tensor in tensors if tensor.dtype == torch.int64]
        assert counts == [2 * of for of in passes], optimizer
    assert [int(x) for x in played(JOINT, mm.SimultaneousGDA(rule), g, d)[0] if x.dtype == torch.int64] == [2, 6]


class Hidden(nn.Module):
    """A network whose first half is computed again in the backward pass."""

    def __init__(self, out: int, reentrant: bool) -> None:
        super().__init__()
        self.first, self.last, self.reentrant = nn.Sequential(nn.Linear(2, 4), nn.Tanh()), nn.Linear(4, out), reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = x if x.requires_grad else x.detach().requires_grad_()
        return self.last(checkpoint(self.first, x, use_reentrant=self.reentrant))


@pytest.mark.parametrize("check", [True, False])
def test_checkpointed_activations(check: bool) -> None:
    torch.manual_seed(101)
    optimizer = mm.AlternatingGDA(mm.adam(0.02), order=(1, 0))
    calls: Counter[bool] = Counter()

    def counted(g: Any, b: Any) -> Tensor:
        calls[g.reentrant] += 1
        return g(b["noise"])

    game = generated(mm.Game(loss_g, loss_d), counted)
    for reentrant in (False, True):
        modules = Hidden(2, reentrant), Hidden(1, reentrant)
        ours, theirs = (played(each, optimizer, *modules, check=check)[:2] for each in (game, GAN))
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
        assert calls[reentrant] == 2 + 2 * check, "one pass a step, and what inspect looks at"


def test_members() -> None:
    """Under vmap the same play, statistics included, and nothing that a transform made is used outside of it."""
    torch.manual_seed(102)
    modules = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)), net()
    game = add(ON_SAMPLES, lambda g, d, b: 0.1 * mm.penalties.r1(d, b["real"]), 1)
    optimizer = mm.AlternatingGDA(mm.adam(0.02), order=(1, 0))
    alone = played(game, optimizer, *modules)[0]
    found = mm.ensemble(game, optimizer, [modules] * 2, batch, steps=2).member(1, copy.deepcopy(modules))
    torch.testing.assert_close([x for m in found for x in m.state_dict().values()], alone, rtol=1e-9, atol=1e-11)

    def thrice(x: Tensor, y: Tensor, game: mm.Game) -> Any:
        oracle, z = game.enter((x, y))
        b = torch.tensor(2.0)
        return [oracle.gradient(z, i, b) for i in (1, 1, 0)]

    squared = lambda game: add(consensus(game, 0.1), lambda x, y, b: y**2, 1)  # whose losses take gradients inside
    ours = squared(generated(mm.zero_sum(lambda fake, y, b: fake * y), lambda x, b: x * b))
    theirs, at = squared(mm.zero_sum(lambda x, y, b: x * b * y)), torch.rand(2, 3)
    found, expected = (torch.vmap(partial(thrice, game=game))(*at) for game in (ours, theirs))
    torch.testing.assert_close(found, expected)


def test_one_graph() -> None:
    torch.manual_seed(104)
    modules, optimizer = (net(2), net()), mm.AlternatingGDA(mm.sgd(0.1), order=(1, 0))
    torch._dynamo.reset()
    game, z = ON_SAMPLES.functional(modules)
    state = optimizer.init(game, z)
    compiled = torch.compile(lambda z, b: optimizer.step(game, z, state, b)[0], fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(z, batch(0)), optimizer.step(game, z, state, batch(0))[0])


def test_micro_batches_and_derivatives() -> None:
    torch.manual_seed(103)
    modules, optimizer = (net(2), net()), mm.AlternatingGDA(mm.sgd(0.1), order=(1, 0))
    parts, whole = (played(game, optimizer, *modules)[:2] for game in (accumulate(ON_SAMPLES, 2), GAN))
    torch.testing.assert_close(parts, whole, rtol=1e-10, atol=1e-12)
    mm.testing.check_game(JOINT, modules, batch(100))


def test_zero_sum_play_stays_zero_sum_and_limits_are_the_players_own() -> None:
    payoff = mm.zero_sum(lambda fake, y, b: (y * fake).sum() - y**2 / 2, constraints=(mm.projections.box(-1, 1), None))
    game = generated(payoff, lambda x, b: x * b)
    z, b = (torch.tensor(0.9), torch.tensor(-2.0)), torch.tensor([1.0, 2.0])
    assert game.enter(z)[0].signs == (1, -1)
    optimizer = mm.SimultaneousGDA(mm.sgd(1.0))
    assert float(optimizer.step(game, z, optimizer.init(game, z), b)[0][0]) == 1.0


def test_what_is_refused() -> None:
    modules = net(2), net()
    for make, said in ((lambda g, b: 3, "floating point tensors"), (lambda g, b: b["noise"], "does not depend on")):
        trainer = mm.bind(
            generated(mm.Game(loss_g, loss_d), make), modules, mm.SimultaneousGDA(mm.sgd(0.1)), check=False
        )
        with pytest.raises(mm.GameError, match=said):
            trainer.step(batch(0))
    with pytest.raises(mm.GameError, match="player 2 does not exist"):
        generated(mm.Game(loss_g, loss_d), generate, player=2)
    with pytest.raises(mm.GameError, match=r"loss reaches players\[0\]\..* by another way"):
        cheat = generated(
            mm.Game(lambda fake, d, b: loss_g(modules[0](b["noise"]), d, b) + 0 * fake.sum(), loss_d), generate
        )
        mm.bind(cheat, modules, mm.SimultaneousGDA(mm.sgd(0.1))).step(batch(0))
    assert flat(*modules).isfinite().all()
