"""A trainer inside another framework's loop: weights loaded, clamped or moved by somebody else between steps.

The module is the truth: a step goes from the parameters that it finds there.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import minimax as mm
from tests.clients.gan import batch, loss_d, loss_g, networks

STEPS = 24


class ManualGan(nn.Module):
    """A LightningModule with manual optimisation, in what matters here: its step is the trainer's."""

    def __init__(self, g: nn.Module, d: nn.Module, optimizer: mm.GameOptimizer) -> None:
        super().__init__()
        self.g, self.d = g, d
        self.play = mm.bind(mm.Game(loss_g, loss_d), (g, d), optimizer)

    def training_step(self, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        info = self.play.step(drawn)
        return {"loss_g": info.losses[0], "loss_d": info.losses[1]}


def fit(module: ManualGan, data: Iterable[Any], every: int, keep: Callable[[int, dict[str, Any]], None]) -> None:
    """Lightning's loop: a step per batch, and a checkpoint every so many."""
    for k, drawn in enumerate(data):
        module.training_step(drawn)
        if (k + 1) % every == 0:
            keep(k + 1, copy.deepcopy(module.state_dict()))


def usual_loop(g: nn.Module, d: nn.Module) -> Callable[[int], None]:
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in (g, d)]

    def step(k: int) -> None:
        for loss, optimizer in ((loss_d, optimizers[1]), (loss_g, optimizers[0])):
            optimizer.zero_grad()
            loss(g, d, batch(k)).backward()
            optimizer.step()

    return step


def alternating() -> mm.GameOptimizer:
    return mm.AlternatingGDA(mm.adam(2e-3, betas=(0.5, 0.999)), order=(1, 0))


def test_a_checkpoint_loaded_into_bound_modules(twins: Any, side_by_side: Any) -> None:
    """`load_state_dict` on the modules themselves, mid-run: play goes on from there, with the rules' own memories."""
    hand, ours = twins(*networks())
    lit = ManualGan(*ours, alternating())
    by_hand, checkpoints = usual_loop(*hand), {}

    def rolled_back(modules: Any, take: Callable[[int], Any], name: str) -> Callable[[int], None]:
        def step(k: int) -> None:
            if k == 6:
                checkpoints[name] = copy.deepcopy([module.state_dict() for module in modules])
            if k == 12:
                for module, saved in zip(modules, checkpoints[name], strict=True):
                    module.load_state_dict(saved)
            take(k)

        return step

    side_by_side(
        STEPS,
        (hand, rolled_back(hand, by_hand, "hand")),
        (ours, rolled_back(ours, lambda k: lit.training_step(batch(k)), "ours")),
    )
    assert lit.play.steps == STEPS, "what a logger counts by, as no torch optimizer steps here"


def test_the_framework_saves_what_was_trained(twins: Any) -> None:
    """The outer module's state dict holds the present weights, and another run goes on from them."""
    whole, cut = (ManualGan(*modules, mm.SimultaneousGDA(mm.sgd(0.05))) for modules in twins(*networks()))
    checkpoints: dict[int, dict[str, Any]] = {}
    fit(whole, [batch(k) for k in range(8)], 4, checkpoints.__setitem__)
    assert list(checkpoints) == [4, 8]
    cut.load_state_dict(checkpoints[4])
    fit(cut, [batch(k) for k in range(4, 8)], 9, checkpoints.__setitem__)
    torch.testing.assert_close(dict(cut.state_dict()), dict(whole.state_dict()), rtol=0, atol=0)


def test_weights_clamped_between_steps(schedule: Any, twins: Any, side_by_side: Any) -> None:
    """`p.data.clamp_` by hand after each step, as in WGAN scripts: the next step starts from the clamped weights."""
    hand, ours = twins(*networks())
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in hand]
    loop = schedule.hand((loss_g, loss_d), hand, optimizers)
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, schedule.ours(mm.adam(2e-3, betas=(0.5, 0.999))))

    def clamped(modules: Any, take: Callable[[Any], Any]) -> Callable[[int], None]:
        def step(k: int) -> None:
            take(batch(k))
            for parameter in modules[1].parameters():
                parameter.data.clamp_(-0.2, 0.2)

        return step

    side_by_side(STEPS, (hand, clamped(hand, loop.step)), (ours, clamped(ours, trainer.step)))
    assert any((parameter.abs() == 0.2).any() for parameter in ours[1].parameters())


def test_two_trainers_on_one_module(twins: Any, side_by_side: Any) -> None:
    """A GAN's steps and a supervised trainer's on the same generator in turn, each with its own Adam."""
    hand, ours = twins(*networks())

    def supervised(g: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return mse_loss(g(batch["noise"]), batch["real"])

    by_hand, adam = usual_loop(*hand), torch.optim.Adam(hand[0].parameters(), lr=1e-3)
    gan = mm.bind(mm.Game(loss_g, loss_d), ours, alternating())
    regression = mm.bind(mm.Game(supervised), ours[:1], mm.SimultaneousGDA(mm.adam(1e-3)))

    def step_by_hand(k: int) -> None:
        by_hand(k)
        adam.zero_grad()
        supervised(hand[0], batch(k)).backward()
        adam.step()

    def step(k: int) -> None:
        gan.step(batch(k))
        regression.step(batch(k))

    side_by_side(STEPS, (hand, step_by_hand), (ours, step))


def test_a_torch_optimizer_beside_the_trainer(twins: Any, side_by_side: Any) -> None:
    """Somebody else's `backward` and `step` on a bound module: gradients left behind do not disturb, moves count."""
    hand, ours = twins(*networks())
    by_hand, trainer = usual_loop(*hand), mm.bind(mm.Game(loss_g, loss_d), ours, alternating())

    def with_decay(modules: Any, take: Callable[[int], Any]) -> Callable[[int], None]:
        others = torch.optim.SGD(modules[0].parameters(), lr=0.01)

        def step(k: int) -> None:
            take(k)
            others.zero_grad()
            sum(parameter.square().sum() for parameter in modules[0].parameters()).backward()
            others.step()

        return step

    ours_step = with_decay(ours, lambda k: trainer.step(batch(k)))
    side_by_side(STEPS, (hand, with_decay(hand, by_hand)), (ours, ours_step))


@pytest.mark.parametrize(
    "change",
    [lambda g: g[0].requires_grad_(False), lambda g: g.float()],
    ids=["frozen", "another dtype"],
)
def test_changes_that_need_a_rebind(change: Callable[[nn.Module], Any]) -> None:
    """What no memory of a rule would fit is refused with the cure, and the modules stay as they are."""
    modules = networks(nn.LayerNorm)
    trainer = mm.bind(mm.Game(loss_g, loss_d), modules, mm.SimultaneousGDA(mm.sgd(0.1)))
    trainer.step(batch(0))
    change(modules[0])
    before = copy.deepcopy(modules[0].state_dict())
    with pytest.raises(mm.GameError, match="rebind"):
        trainer.step(batch(1))
    torch.testing.assert_close(dict(modules[0].state_dict()), dict(before), rtol=0, atol=0)


def test_rebinding_a_frozen_layer(twins: Any, side_by_side: Any) -> None:
    """Fine-tuning: the first layer is frozen mid-run, and after `rebind` it stands still."""
    hand, ours = twins(*networks(nn.LayerNorm))
    trainer = mm.bind(mm.Game(loss_g, loss_d), ours, mm.SimultaneousGDA(mm.sgd(0.1)))

    def step_by_hand(k: int) -> None:
        if k == 6:
            hand[0][0].requires_grad_(False)
        moves = []
        for module, loss in zip(hand, (loss_g, loss_d), strict=True):
            parameters = [p for p in module.parameters() if p.requires_grad]
            moves += zip(parameters, torch.autograd.grad(loss(*hand, batch(k)), parameters), strict=True)
        with torch.no_grad():
            for parameter, gradient in moves:
                parameter.sub_(0.1 * gradient)

    def step(k: int) -> None:
        if k == 6:
            ours[0][0].requires_grad_(False)
            trainer.rebind()
        trainer.step(batch(k))

    side_by_side(12, (hand, step_by_hand), (ours, step))
