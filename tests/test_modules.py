import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import minimax as mm
from minimax.optimizers import BY_NAME

pytestmark = pytest.mark.usefixtures("float64")


class Norm(nn.Module):
    """A network with a BatchNorm, whose buffers count how often it ran."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x)).tanh())


def loss_g(g: Any, d: Any, b: Any) -> torch.Tensor:
    return softplus(-d(g(b["noise"]))).mean()


def loss_d(g: Any, d: Any, b: Any) -> torch.Tensor:
    return (softplus(-d(b["real"])) + softplus(d(g(b["noise"])))).mean()


def batch(seed: int) -> dict[str, torch.Tensor]:
    noise, real = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(seed))
    return {"noise": noise, "real": real + 2}


def drawn(optimizer: mm.GameOptimizer, step: int) -> list[Any]:
    return [batch(step * optimizer.draws + k) for k in range(optimizer.draws)]


GAN = mm.Game(loss_g, loss_d)


# ------------------------------------------------------------------------------------------------------------- buffers


@pytest.mark.parametrize("name", BY_NAME)
def test_buffers_are_committed_once_per_step(name: str) -> None:
    """However often a step evaluates, the generator's BatchNorm advances by one run, the critic's by a loss's runs."""
    g, d = Norm(2), Norm(1)
    trainer = mm.bind(GAN, (g, d), BY_NAME[name].of(mm.sgd(0.01)))
    for step in range(1, 4):
        trainer.step(*drawn(trainer.optimizer, step))
        assert g.norm.num_batches_tracked.item() == step
        assert d.norm.num_batches_tracked.item() in range(step, 2 * step + 1)


def test_buffers_of_players_that_only_their_own_loss_runs() -> None:
    """The last loss evaluated runs the critic alone; the generator's statistics must not be lost for that."""
    g, d = Norm(2), Norm(1)
    game = mm.Game(loss_g, lambda g, d, b: softplus(-d(b["real"])).mean() + d(b["noise"]).square().mean())
    trainer = mm.bind(game, (g, d), mm.SimultaneousGDA(mm.sgd(0.01)))
    trainer.step(batch(0))
    assert g.norm.num_batches_tracked.item() == 1


def test_a_pure_step_leaves_the_modules_alone() -> None:
    g, d = Norm(2), Norm(1)
    before = copy.deepcopy((g.state_dict(), d.state_dict()))
    game, players = GAN.functional((g, d))
    optimizer = mm.ExtraGradient(mm.adam(0.1))
    players, _, info = optimizer.step(game, players, optimizer.init(game, players), batch(0))
    game.field(players, batch(1))
    for saved, module in zip(before, (g, d), strict=True):
        torch.testing.assert_close(dict(module.state_dict()), dict(saved), rtol=0, atol=0)
    game.commit(info.buffers)
    assert g.norm.num_batches_tracked.item() == 1


def test_running_statistics_are_those_of_one_pass() -> None:
    d = Norm(1)
    by_hand = copy.deepcopy(d)
    game = mm.Game(lambda d, b: d(b["real"]).square().mean())
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
    mm.bind(game, (d,), optimizer).step(batch(3))
    by_hand(batch(3)["real"])
    torch.testing.assert_close(d.norm.running_mean, by_hand.norm.running_mean)
    torch.testing.assert_close(d.norm.running_var, by_hand.norm.running_var)


def test_a_loss_that_raises_leaves_the_modules_whole() -> None:
    g, d = Norm(2), Norm(1)
    parameters = [*g.parameters(), *d.parameters()]

    def broken(g: Any, d: Any, b: Any) -> torch.Tensor:
        d(g(b["noise"]))
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        mm.bind(mm.Game(broken, loss_d), (g, d), mm.SimultaneousGDA(mm.sgd(0.1))).step(batch(0))
    assert all(a is b for a, b in zip(parameters, [*g.parameters(), *d.parameters()], strict=True))
    assert all(isinstance(p, nn.Parameter) for p in [*g.parameters(), *d.parameters()])
    assert g.norm.num_batches_tracked.item() == 0


# ---------------------------------------------------------------------------------------------------------- parameters


def test_parameters_move_in_place_as_torch_would() -> None:
    """One player under SGD is torch.optim.SGD, and references to the parameters stay valid."""
    net, reference = nn.Linear(2, 1), nn.Linear(2, 1)
    reference.load_state_dict(net.state_dict())
    weight = net.weight
    loss = lambda net, b: net(b["real"]).square().mean()
    trainer = mm.bind(mm.Game(loss), (net,), mm.SimultaneousGDA(mm.sgd(0.1, momentum=0.9)))
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    for step in range(10):
        trainer.step(batch(step))
        optimizer.zero_grad()
        loss(reference, batch(step)).backward()
        optimizer.step()
    assert net.weight is weight and weight.grad is None and weight.requires_grad
    torch.testing.assert_close(net.weight, reference.weight, rtol=1e-12, atol=1e-14)


def test_tied_weights_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x))

    net = Tied()
    W, x = net.a.weight.detach().clone().requires_grad_(), batch(0)["real"]
    (g,) = torch.autograd.grad((x @ W.T @ W.T).square().mean(), W)
    game = mm.Game(lambda net, b: net(b["real"]).square().mean())
    assert torch.equal(game.field((net,), batch(0))[0]["a.weight"], g)
    mm.bind(game, (net,), mm.SimultaneousGDA(mm.sgd(0.1))).step(batch(0))
    assert net.a.weight is net.b.weight
    torch.testing.assert_close(net.a.weight, W - 0.1 * g)


def test_frozen_parameters_stay() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    net[0].requires_grad_(False)
    frozen, moving = net[0].weight.clone(), net[1].weight.clone()
    game = mm.Game(lambda net, b: net(b["real"]).square().mean())
    trainer = mm.bind(game, (net,), mm.ExtraGradient(mm.adam(0.1)))
    trainer.step(batch(0))
    assert set(trainer.players[0]) == {"1.weight", "1.bias"}
    assert torch.equal(net[0].weight, frozen) and not torch.equal(net[1].weight, moving)


def test_a_parameter_of_two_players_is_refused() -> None:
    """Whose move would count?"""
    g, d = nn.Linear(2, 2), nn.Linear(2, 2)
    d.weight = g.weight
    with pytest.raises(mm.GameError, match=r"players\[0\] and players\[1\] share the parameter weight"):
        mm.bind(mm.zero_sum(lambda g, d, b: d(g(b["real"])).mean()), (g, d), mm.SimultaneousGDA(mm.sgd(0.1)))


def test_dict_players_and_a_plain_tensor_among_them() -> None:
    game = mm.Game(
        lambda net, scale, b: (scale * net(b["real"])).square().mean(), lambda net, scale, b: (scale - 1) ** 2
    )
    net = nn.Linear(2, 1)
    before = net.weight.clone()
    trainer = mm.bind(game, {"net": net, "scale": torch.tensor(3.0)}, mm.AlternatingGDA(mm.sgd(0.1)))
    trainer.step(batch(0))
    assert trainer.players["scale"].item() == pytest.approx(3 - 0.1 * 4)
    assert not torch.equal(net.weight, before) and torch.equal(net.weight, trainer.players["net"]["weight"])


# ------------------------------------------------------------------------------------------------- saving and loading


@pytest.mark.parametrize(
    "optimizer", [mm.ExtraGradient(mm.adam(0.01)), mm.OptimisticGDA(mm.from_torch(torch.optim.Adam))]
)
def test_state_dict_continues_bit_for_bit(optimizer: mm.GameOptimizer) -> None:
    def fresh() -> mm.Trainer:
        torch.manual_seed(1)
        return mm.bind(GAN, (Norm(2), Norm(1)), optimizer, ema=0.9)

    whole, first, second = fresh(), fresh(), fresh()
    for step in range(6):
        whole.step(batch(step))
    for step in range(3):
        first.step(batch(step))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    first.step(batch(99))  # what was saved must not move along
    saved = torch.load(file, weights_only=True)
    second.load_state_dict(saved)
    for step in range(3, 6):
        second.step(batch(step))
    flat = lambda trainer: mm.tree.pytree.tree_leaves(trainer.state_dict())
    assert all(map(torch.equal, flat(whole), flat(second)))
    for a, b in zip(whole.modules, second.modules, strict=True):
        torch.testing.assert_close(dict(a.state_dict()), dict(b.state_dict()), rtol=0, atol=0)


def test_state_dict_is_a_copy() -> None:
    trainer = mm.bind(GAN, (Norm(2), Norm(1)), mm.SimultaneousGDA(mm.sgd(0.1)))
    saved = trainer.state_dict()
    buffers = {key: value.clone() for key, value in saved["buffers"].items()}
    trainer.step(batch(0))
    assert all(torch.equal(saved["buffers"][key], buffers[key]) for key in buffers)


def test_loading_what_does_not_fit() -> None:
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
    trainer = mm.bind(GAN, (Norm(2), Norm(1)), optimizer)
    with pytest.raises(ValueError, match="is ema the same"):
        mm.bind(GAN, (Norm(2), Norm(1)), optimizer, ema=0.5).load_state_dict(trainer.state_dict())
    with pytest.raises(ValueError, match="differ in structure or shape"):
        mm.bind(GAN, (Norm(2), Norm(3)), optimizer).load_state_dict(trainer.state_dict())
    for other in (mm.SimultaneousGDA(mm.adam(0.1)), mm.OptimisticGDA(mm.sgd(0.1)), mm.Lookahead(optimizer)):
        with pytest.raises(ValueError, match=r"is no state of .*bind the optimizer that was saved"):
            mm.bind(GAN, (Norm(2), Norm(1)), other).load_state_dict(trainer.state_dict())
    other = mm.bind(GAN, (Norm(2), Norm(1)), mm.SimultaneousGDA(mm.from_torch(torch.optim.Adam)))
    saved, filled = other.state_dict(), mm.bind(GAN, (Norm(2), Norm(1)), other.optimizer)
    filled.step(batch(0))
    filled.load_state_dict(saved)
    other.load_state_dict(filled.state_dict())


# ----------------------------------------------------------------------------------------------------------------- EMA


def test_moving_average() -> None:
    net = nn.Linear(2, 1)
    mean = net.weight.detach().clone()
    trainer = mm.bind(
        mm.Game(lambda net, b: net(b["real"]).square().mean()), (net,), mm.SimultaneousGDA(mm.sgd(0.1)), ema=0.8
    )
    for step in range(5):
        trainer.step(batch(step))
        mean = 0.8 * mean + 0.2 * net.weight.detach()
    (averaged,) = trainer.averaged()
    torch.testing.assert_close(averaged.weight.detach(), mean)
    assert averaged is not net and not torch.equal(averaged.weight, net.weight)


def test_average_that_was_not_asked_for() -> None:
    trainer = mm.bind(GAN, (Norm(2), Norm(1)), mm.SimultaneousGDA(mm.sgd(0.1)))
    with pytest.raises(ValueError, match=r"no moving average: pass ema=0\.999 to bind"):
        trainer.averaged()


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2])
def test_bad_decay(decay: float) -> None:
    with pytest.raises(ValueError, match=rf"decay must lie in \[0, 1\), got {decay}"):
        mm.EMA((torch.ones(1),), decay)


def test_several_draws_as_arguments_or_as_a_list() -> None:
    ends = []
    for as_list in (False, True):
        torch.manual_seed(3)
        trainer = mm.bind(GAN, (Norm(2), Norm(1)), mm.AlternatingGDA(mm.sgd(0.1), steps=(1, 2), order=(1, 0)))
        two = [batch(0), batch(1)]
        trainer.step(two) if as_list else trainer.step(*two)
        ends.append(mm.tree.pytree.tree_leaves(trainer.players))
    assert all(map(torch.equal, *ends))
