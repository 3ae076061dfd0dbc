import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.testing._compare import same
from tests.gan import GAN, batch, drawn, loss_d, loss_g

pytestmark = pytest.mark.usefixtures("float64")


class Norm(nn.Module):
    """A network with a BatchNorm, whose buffers count how often it ran."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.norm(self.first(x)).tanh())


# ------------------------------------------------------------------------------------------------------------- buffers


@pytest.mark.parametrize("name", BY_NAME)
def test_every_forward_pass_counts_once(name: str) -> None:
    """However often a step evaluates: BatchNorm has seen as many batches as its network made forward passes."""
    g, d = Norm(2), Norm(1)
    passes = {g: 0, d: 0}
    for net in passes:
        net.register_forward_hook(lambda net, *_: passes.__setitem__(net, passes[net] + 1))
    trainer = mm.bind(GAN, (g, d), BY_NAME[name].of(mm.sgd(0.01)), check=False)
    for step in range(3):
        trainer.step(*drawn(trainer.method, step))
        assert passes[g] > step and passes[d] > step
        for net, count in passes.items():
            assert net.norm.num_batches_tracked.item() == count


def test_running_statistics_are_those_of_a_torch_loop() -> None:
    """Three steps of D (real, fake), then G, by hand: every pass updates the statistics, in order."""
    (g, d), (g_, d_) = (Norm(2), Norm(1)), (Norm(2), Norm(1))
    g_.load_state_dict(g.state_dict())
    d_.load_state_dict(d.state_dict())
    trainer = mm.bind(GAN, (g, d), mm.AlternatingGDA(mm.sgd(0.1), order=(1, 0)))
    of_g, of_d = torch.optim.SGD(g_.parameters(), 0.1), torch.optim.SGD(d_.parameters(), 0.1)
    for step in range(3):
        trainer.step(batch(step))
        for optimizer, loss in ((of_d, loss_d), (of_g, loss_g)):
            optimizer.zero_grad()
            loss(g_, d_, batch(step)).backward()
            optimizer.step()
    for ours, theirs in ((g, g_), (d, d_)):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-12, atol=1e-14)


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
    assert g.norm.num_batches_tracked.item() == 4  # two losses, at two points


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
    assert same(whole.state_dict(), second.state_dict())
    for a, b in zip(whole.modules, second.modules, strict=True):
        torch.testing.assert_close(dict(a.state_dict()), dict(b.state_dict()), rtol=0, atol=0)


def test_state_dict_is_a_copy() -> None:
    trainer = mm.bind(GAN, (Norm(2), Norm(1)), mm.SimultaneousGDA(mm.sgd(0.1)))
    saved = trainer.state_dict()
    before = mm.tree.pytree.tree_map(lambda x: x.clone() if isinstance(x, torch.Tensor) else x, saved)
    trainer.step(batch(0))
    assert same(saved, before)


def test_loading_what_does_not_fit() -> None:
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1))
    saved = mm.bind(GAN, (Norm(2), Norm(1)), optimizer).state_dict()
    with pytest.raises(ValueError, match="is ema the same"):
        mm.bind(GAN, (Norm(2), Norm(1)), optimizer, ema=0.5).load_state_dict(saved)
    with pytest.raises(ValueError, match=r"players\[1\]\['last.weight'\] is torch.float64 of shape \(1, 4\) there"):
        mm.bind(GAN, (Norm(2), Norm(3)), optimizer).load_state_dict(saved)
    with pytest.raises(ValueError, match=r"'first.weight'\] is torch.float64 .* there, torch.float32 .* here"):
        mm.bind(GAN, (Norm(2).float(), Norm(1).float()), optimizer).load_state_dict(saved)
    for other in (
        mm.SimultaneousGDA(mm.adam(0.1)),
        mm.OptimisticGDA(mm.sgd(0.1)),
        mm.Lookahead(optimizer),
        mm.SimultaneousGDA(mm.from_torch(torch.optim.SGD)),
    ):
        with pytest.raises(ValueError, match=r"saved by SimultaneousGDA\(sgd\), and this is .*: bind the same one"):
            mm.bind(GAN, (Norm(2), Norm(1)), other).load_state_dict(saved)


def test_the_state_of_a_torch_optimizer_fits_before_and_after_its_first_step() -> None:
    adam, sgd = (mm.SimultaneousGDA(mm.from_torch(kind)) for kind in (torch.optim.Adam, torch.optim.SGD))
    fresh, filled = (mm.bind(GAN, (Norm(2), Norm(1)), adam) for _ in range(2))
    saved = fresh.state_dict()
    filled.step(batch(0))
    filled.load_state_dict(saved)
    filled.step(batch(0))
    fresh.load_state_dict(filled.state_dict())
    with pytest.raises(ValueError, match=r"saved by SimultaneousGDA\(from_torch\(Adam\)\), and this is"):
        mm.bind(GAN, (Norm(2), Norm(1)), sgd).load_state_dict(filled.state_dict())


GONE = object()


def damaged(value: Any, path: Any, change: Any) -> Any:
    """The same pytree with the leaf at the path changed, or left out."""
    if not path:
        return change(value)
    named = isinstance(value, dict)
    items, key = (dict(value), path[0].key) if named else (dict(enumerate(value)), path[0].idx)
    items[key] = damaged(items[key], path[1:], change)
    if items[key] is GONE:
        del items[key]
    return items if named else type(value)(items.values())


@pytest.mark.parametrize("rule", [mm.adam(0.1), mm.from_torch(torch.optim.Adam)])
def test_a_damaged_state_is_refused_whole(rule: mm.Rule) -> None:
    """Whatever entry is lost, of another kind, shape or dtype: a sentence, and not one number has changed."""
    trainer = mm.bind(GAN, (Norm(2), Norm(1)), mm.OptimisticGDA(rule), ema=0.9)
    trainer.step(batch(0))
    saved = trainer.state_dict()
    changes = [lambda _: GONE, lambda _: None, lambda leaf: [leaf]]
    of_tensors = [lambda leaf: leaf[None], lambda leaf: leaf.to(torch.complex64)]
    for path, leaf in mm.tree.pytree.tree_leaves_with_path(saved):
        for change in changes + (of_tensors if isinstance(leaf, torch.Tensor) else []):
            with pytest.raises(ValueError, match="saved"):
                trainer.load_state_dict(damaged(saved, path, change))
    assert same(trainer.state_dict(), saved)


RULES = {
    "sgd": mm.sgd(0.1),
    "momentum": mm.sgd(0.1, momentum=0.5),
    "rmsprop": mm.rmsprop(0.1),
    "adam": mm.adam(0.1),
    "amsgrad": mm.adam(0.1, amsgrad=True),
    "torch sgd": mm.from_torch(torch.optim.SGD, lr=0.1),
    "torch adam": mm.from_torch(torch.optim.Adam, lr=0.1),
}


def test_states_of_other_optimizers_are_refused() -> None:
    """What one optimizer and rule have saved, after a step, no other takes that differs in either alone."""
    game = mm.Game(
        lambda a, b, x: (a(x) * b(x)).sum() + a(x).square().sum(), lambda a, b, x: (b(x) - a(x)).square().sum()
    )
    trainers = {}
    for name, kind in BY_NAME.items():
        for of, rule in RULES.items():
            if name in ("cgd", "unrolled") and of.startswith("torch"):
                continue  # they refuse it, or only with an option
            torch.manual_seed(1)
            trainers[name, of] = mm.bind(game, (nn.Linear(1, 1), nn.Linear(1, 1)), kind.of(rule), check=False)
            trainers[name, of].step(*[torch.ones(2, 1)] * trainers[name, of].method.draws)
    saved = {key: trainer.state_dict() for key, trainer in trainers.items()}
    for key, trainer in trainers.items():
        for other, state in saved.items():
            if other != key and (other[0] == key[0] or other[1] == key[1]):
                with pytest.raises(ValueError, match="saved"):
                    trainer.load_state_dict(state)
        assert same(trainer.state_dict(), saved[key])
        trainer.load_state_dict(saved[key])


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
    with pytest.raises(ValueError, match=f"decay must be a finite number >= 0 and < 1, got {decay}"):
        mm.EMA((torch.ones(1),), decay)


def test_several_draws_are_arguments_of_their_own() -> None:
    """One argument could be the [x, y] of a data loader, which is not two batches."""
    trainer = mm.bind(GAN, (Norm(2), Norm(1)), mm.AlternatingGDA(mm.sgd(0.1), steps=(1, 2), order=(1, 0)))
    trainer.step(batch(0), batch(1))
    for wrong in ([[batch(0), batch(1)]], [batch(0)], [batch(0)] * 3):
        with pytest.raises(mm.GameError, match=r"takes 2 batches, each an argument .*: trainer.step\(batch, batch\)"):
            trainer.step(*wrong)
