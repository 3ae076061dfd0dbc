"""`trainer.optimizer`: what torch's own tools see and write is what the players move by."""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

import minimax as mm
from minimax.testing._compare import same
from tests.gan import GAN, batch, flat, loss_d, loss_g, net

pytestmark = pytest.mark.usefixtures("float64")
STEPS, RATES = 7, (0.1, 0.05)

SCHEDULERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, [lambda k: k / 4, lambda k: 1 / (1 + k)]),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda k: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, 0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 5], 0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.5, 3),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.1, total_iters=4),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 6, 2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ConstantLR(o, 0.5, 3), lr_scheduler.ExponentialLR(o, 0.9)]
    ),
    "SequentialLR": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 5)], [4]
    ),
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=1, factor=0.5),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.1, 3, cycle_momentum=True),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, list(RATES), total_steps=STEPS),
}


def rules() -> tuple[mm.Rule, ...]:
    return tuple(mm.adam(h, betas=(0.5, 0.99)) for h in RATES)


PAIR = mm.Game(lambda x, y: (x * y - x).square().sum(), lambda x, y: (x + y).exp().sum())


class ByHand:
    """Simultaneous play of the pair by one torch optimizer with a group per player."""

    def __init__(self) -> None:
        self.players = [torch.tensor([1.0, -0.5], requires_grad=True), torch.tensor([0.5, 2.0], requires_grad=True)]
        groups = [{"params": [player], "lr": h} for player, h in zip(self.players, RATES, strict=True)]
        self.optimizer = torch.optim.Adam(groups, betas=(0.5, 0.99))

    def step(self) -> None:
        losses = [loss(*self.players) for loss in PAIR.functions]
        for player, loss in zip(self.players, losses, strict=True):
            (player.grad,) = torch.autograd.grad(loss, player, retain_graph=True)
        self.optimizer.step()


def trained(name: str, **options: Any) -> None:
    hand = ByHand()
    start = tuple(player.detach().clone() for player in hand.players)
    trainer = mm.bind(PAIR, start, mm.SimultaneousGDA(rules()), **options)
    schedulers = [SCHEDULERS[name](optimizer) for optimizer in (trainer.optimizer, hand.optimizer)]
    for k in range(STEPS - 1):
        trainer.step(), hand.step()
        for scheduler in schedulers:
            plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
            scheduler.step(float(k)) if plateau else scheduler.step()
        rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in (trainer.optimizer, hand.optimizer)]
        assert rates[0] == rates[1]
    for found, expected in zip(trainer.players, hand.players, strict=True):
        torch.testing.assert_close(found, expected.detach(), rtol=1e-12, atol=1e-12)


def test_every_torch_scheduler_moves_the_rules_as_it_moves_torch() -> None:
    """A hand-written loop under the same scheduler, to 1e-12; no scheduler warns about the order of calls."""
    public = {name for name in lr_scheduler.__all__ if not name.startswith("LR") and name != "LRScheduler"}
    assert public == SCHEDULERS.keys()
    for name in SCHEDULERS:
        trained(name)


def test_compiled_steps_read_the_groups_without_compiling_again(quick: None) -> None:
    """Rates and momenta are tensors to the graph: one graph for the whole cycle."""
    counts = torch._dynamo.utils.counters["stats"]
    before = counts["unique_graphs"]
    trained("OneCycleLR", compile=True)
    assert counts["unique_graphs"] - before == 1


def test_a_run_under_a_scheduler_resumes_bit_for_bit() -> None:
    """By the facade's state, which is the trainer's, and loads with weights_only=True."""

    def made() -> tuple[mm.Trainer[Any], Any]:
        torch.manual_seed(100)
        trainer = mm.bind(GAN, (net(2), net()), mm.Lookahead(mm.ExtraGradient(rules()), k=3), ema=0.9)
        return trainer, SCHEDULERS["OneCycleLR"](trainer.optimizer)

    (whole, follows), (cut, cut_follows) = made(), made()
    saved: dict[str, Any] = {}
    for k in range(STEPS - 1):
        whole.step(batch(k)), follows.step()
        if k == 3:
            file = io.BytesIO()
            torch.save({"play": whole.optimizer.state_dict(), "schedule": follows.state_dict()}, file)
            file.seek(0)
            saved = torch.load(file, weights_only=True)
    cut.optimizer.load_state_dict(saved["play"])
    cut_follows.load_state_dict(saved["schedule"])
    for k in range(4, STEPS - 1):
        cut.step(batch(k)), cut_follows.step()
    assert same(cut.state_dict(), whole.state_dict())
    fresh, _ = made()  # whose groups go back to what was saved, from whatever they held
    fresh.optimizer.param_groups[0]["lr"] = 7.0
    fresh.load_state_dict(saved["play"])
    assert same(fresh.state_dict(), saved["play"])


def test_a_group_per_player_and_part_with_what_its_rule_has() -> None:
    """Muon for matrices and clipped Adam for the rest: three groups, and writing to them is binding such rules."""
    matrices = lambda name, shape: len(shape) >= 2
    modules = {"g": net(2), "d": net()}
    other = copy.deepcopy(modules)

    def method(rate: float, norm: float, momentum: float) -> mm.GameOptimizer:
        parts = mm.split(matrices, mm.muon(rate), mm.clipped(mm.adam(0.1), norm=norm))
        return mm.AlternatingGDA((mm.clipped(parts, value=9.0), mm.from_torch(torch.optim.SGD, 0.1, momentum=momentum)))

    trainer = mm.bind(mm.Game(loss_g, loss_d), modules, method(0.02, 0.5, 0.9))
    groups = trainer.optimizer.param_groups
    assert [group["player"] for group in groups] == ["g", "g", "d"]
    assert [[p.dim() for p in group["params"]] for group in groups] == [[2, 2], [1, 1], [2, 1, 2, 1]]
    assert groups[1]["params"][0] is modules["g"][0].bias
    assert (groups[0]["lr"], groups[1]["norm"], groups[2]["momentum"]) == (0.02, 0.5, 0.9)
    groups[0]["lr"], groups[1]["norm"], groups[2]["momentum"] = 0.01, 1e-3, 0.5
    expected = mm.bind(mm.Game(loss_g, loss_d), other, method(0.01, 1e-3, 0.5))
    for k in range(3):
        trainer.step(batch(k)), expected.step(batch(k))
    assert torch.equal(flat(*modules.values()), flat(*other.values()))
    assert trainer.state_dict()["groups"] == ({"lr": 0.01}, {"norm": 1e-3}, {"momentum": 0.5})


def test_hooks_tensors_and_players_without_modules() -> None:
    """Step hooks run once a step whoever calls it; a rate may be a tensor; plain players are shown as they stand."""
    game, rate = mm.zero_sum(lambda x, y: x * y), torch.tensor(0.5)
    trainer = mm.bind(game, (torch.tensor(1.0), torch.tensor(0.0)), mm.ExtraGradient(mm.sgd(rate)))
    seen: list[str] = []
    trainer.optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: seen.append("before"))
    trainer.optimizer.register_step_post_hook(lambda optimizer, args, kwargs: seen.append("after"))
    info = trainer.optimizer.step()
    assert seen == ["before", "after"] and info.cost.gradients == 4
    assert [group["params"] for group in trainer.optimizer.param_groups] == [[torch.tensor(0.75)], [torch.tensor(0.5)]]
    for group in trainer.optimizer.param_groups:
        group["lr"].mul_(0)
    trainer.step()
    assert trainer.players == (0.75, 0.5) and rate == 0.5 and trainer.steps == 2 and len(seen) == 4


REFUSED: dict[str, tuple[Callable[[mm.Trainer[Any]], Any], type[Exception], str]] = {
    "loss": (
        lambda t: t.optimizer.step(lambda: loss_g(*t.modules, batch(0))),
        mm.GameError,
        r"returned a loss, but the losses are the game's: return the batch",
    ),
    "group": (
        lambda t: t.optimizer.add_param_group({"params": [torch.zeros(1)]}),
        mm.GameError,
        r"takes no further group, as its groups are the players",
    ),
    "scheduled": (
        lambda t: t.optimizer.param_groups[0].update(lr=0.3),
        mm.GameError,
        r"lr of parameter group 0 was set to 0\.3, but its rule follows a schedule already",
    ),
    "memory": (
        lambda t: t.optimizer.param_groups[1].update(momentum=0.9),
        mm.GameError,
        r"momentum was set to 0\.9 in a parameter group, which needs another memory.*bind the rule with it",
    ),
    "range": (lambda t: t.optimizer.param_groups[1].update(lr=-1.0), ValueError, r"lr must be a finite number >= 0"),
}


def test_what_cannot_be_is_refused_and_nothing_moves() -> None:
    falling = mm.schedules.linear(0.1, 0.0, 10)
    for change, error, says in REFUSED.values():
        trainer = mm.bind(GAN, (net(2), net()), mm.SimultaneousGDA((mm.sgd(falling), mm.sgd(0.1))))
        assert trainer.optimizer.param_groups[0]["lr"] == 0.1
        trainer.step(batch(0))
        assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.09), "the schedule is shown where it stands"
        before = flat(*trainer.modules)
        with pytest.raises(error, match=says):
            change(trainer)
            trainer.step(batch(1))
        assert torch.equal(flat(*trainer.modules), before)


def test_a_layer_frozen_mid_run_leaves_its_group() -> None:
    """`rebind` renews the groups, and what was written into them stays."""
    g, d = net(2), net()
    trainer = mm.bind(GAN, (g, d), mm.SimultaneousGDA(mm.sgd(0.1)))
    trainer.optimizer.param_groups[1]["lr"] = 0.0
    trainer.step(batch(0))
    g[0].requires_grad_(False)
    trainer.rebind()
    assert len(trainer.optimizer.param_groups[0]["params"]) == 2 and trainer.optimizer.param_groups[1]["lr"] == 0.0
    before = flat(d)
    trainer.step(batch(1))
    assert torch.equal(flat(d), before)
