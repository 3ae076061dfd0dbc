"""What people do to a module after `bind`, or wrap it in: right, or refused in one sentence that names the cure."""

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import minimax as mm
from minimax.testing._compare import same
from tests.gan import GAN, PLAIN, SQUARE, batch, flat, loss_d, loss_g, net

pytestmark = pytest.mark.usefixtures("float64")


# ------------------------------------------------------------------------------------------- the module is the truth


def edits() -> dict[str, Any]:
    other = net()

    def load(module: nn.Module) -> None:
        module.load_state_dict(other.state_dict())

    def assign(module: nn.Module) -> None:
        module.load_state_dict(copy.deepcopy(other).state_dict(), assign=True)
        module.requires_grad_(True)

    def clip(module: nn.Module) -> None:
        for p in module.parameters():
            p.data.clamp_(-0.01, 0.01)

    def replace(module: Any) -> None:
        module[0].weight = nn.Parameter(torch.full((4, 2), 0.3))

    def average(module: nn.Module) -> None:
        with torch.no_grad():
            for p, q in zip(module.parameters(), other.parameters(), strict=True):
                p.lerp_(q, 0.5)

    return {"load": load, "assign": assign, "clip": clip, "replace": replace, "average": average}


@pytest.mark.parametrize("name", ["load", "assign", "clip", "replace", "average"])
@pytest.mark.parametrize("rule", [mm.sgd(0.1, momentum=0.9), mm.adam(0.1)])
def test_a_step_starts_from_the_module_as_it_is(name: str, rule: mm.Rule) -> None:
    """Edits between steps count, and the optimizer's memory stays: as with torch's optimizers."""
    edit = edits()[name]
    ours = net()
    theirs = copy.deepcopy(ours)
    trainer = mm.bind(SQUARE, (ours,), mm.SimultaneousGDA(rule))
    kind = torch.optim.SGD if isinstance(rule, mm.sgd) else torch.optim.Adam
    options = {"momentum": 0.9} if isinstance(rule, mm.sgd) else {}
    reference = kind(theirs.parameters(), lr=0.1, **options)
    for step in range(6):
        if step == 3:
            edit(ours)
            edit(theirs)
            if name in ("assign", "replace"):  # torch's optimizer would go on with the parameters that are gone
                memory = list(reference.state.values())
                reference = kind(theirs.parameters(), lr=0.1, **options)
                reference.state.update(zip(theirs.parameters(), memory, strict=True))
        trainer.step(batch(step))
        reference.zero_grad()
        theirs(batch(step)["real"]).square().mean().backward()
        reference.step()
    torch.testing.assert_close(flat(ours), flat(theirs), rtol=1e-12, atol=1e-14)
    assert torch.equal(flat(ours), torch.cat([leaf.flatten() for leaf in trainer.players[0].values()]))


def test_two_trainers_move_one_module() -> None:
    """Pretraining by one and fine-tuning by the other, in turn, is what two torch optimizers do."""
    ours = net()
    theirs = copy.deepcopy(ours)
    trainers = [mm.bind(SQUARE, (ours,), mm.SimultaneousGDA(mm.adam(h))) for h in (0.1, 0.01)]
    references = [torch.optim.Adam(theirs.parameters(), lr=h) for h in (0.1, 0.01)]
    for step in range(6):
        trainers[step % 2].step(batch(step))
        references[step % 2].zero_grad()
        theirs(batch(step)["real"]).square().mean().backward()
        references[step % 2].step()
    torch.testing.assert_close(flat(ours), flat(theirs), rtol=1e-12, atol=1e-14)


CHANGES = {
    "frozen": (lambda m: m[0].requires_grad_(False), r"trainable parameter weight \(4, 2\).*frozen parameter weight"),
    "half": (lambda m: m.float(), r"torch\.float64 .* torch\.float32"),
    "hooked": (lambda m: m[0].weight.register_hook(lambda g: g), r"with a gradient hook"),
    "grown": (lambda m: m.append(nn.Linear(1, 1)), r"a Sequential with 3 layers .* a Sequential with 4 layers"),
    "swapped": (lambda m: m.__setitem__(2, nn.Linear(4, 1)), r"a Sequential with 3 layers"),
    "wider": (lambda m: setattr(m[0], "weight", nn.Parameter(torch.ones(8, 2))), r"weight \(4, 2\).*weight \(8, 2\)"),
    "normed": (lambda m: parametrizations.weight_norm(m[0]), r"a Linear with 0 layers"),
    "tied": (lambda m: setattr(m[2], "weight", m[0].weight), r"parameter weight"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_module_than_was_bound_is_refused_until_it_is_rebound(name: str) -> None:
    change, says = CHANGES[name]
    module = net() if name != "tied" else nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
    game = mm.Game(lambda net, b: net(b["real"].to(next(net.parameters()).dtype)).square().mean())
    trainer = mm.bind(game, (module,), mm.SimultaneousGDA(mm.sgd(0.1, momentum=0.9)))
    trainer.step(batch(0))
    change(module)
    before = flat(module)
    with pytest.raises(mm.GameError, match=rf"a bound module has changed: .*{says}.*call trainer\.rebind\(\)"):
        trainer.step(batch(1))
    assert torch.equal(flat(module), before)
    if name == "hooked":
        with pytest.raises(mm.GameError, match=r"players\[0\]\.0\.weight has a gradient hook"):
            trainer.rebind()
    elif name != "wider":
        trainer.rebind()
        trainer.step(batch(1))
        assert not torch.equal(flat(module), before)


# ------------------------------------------------------------------------------------- what is refused when it is bound


class DistributedDataParallel(nn.Module):
    """As torch's, which wants a process group to be made: it is known by its name."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def shared_memory() -> tuple[nn.Module, nn.Module]:
    g, d = nn.Linear(2, 2), nn.Linear(2, 2)
    d.weight = nn.Parameter(g.weight.data)
    return g, d


def hooked() -> nn.Module:
    module = net()
    module[2].bias.register_post_accumulate_grad_hook(lambda p: None)
    return module


def inferred() -> nn.Module:
    with torch.inference_mode():
        return net()


class DeepSpeedEngine(DistributedDataParallel):
    """Likewise."""


REFUSED = {
    "ddp": (
        lambda: (DistributedDataParallel(net(2)), net()),
        r"players\[0\] is wrapped in D.*transforms.data_parallel",
    ),
    "deepspeed": (
        lambda: (net(2), DeepSpeedEngine(net())),
        r"players\[1\] is wrapped in DeepSpeedEngine.*pass the bare",
    ),
    "data parallel": (lambda: (net(2), nn.DataParallel(net())), r"players\[1\] is wrapped in DataParallel"),
    "shared": (shared_memory, r"players\[[01]\]\.weight and players\[[01]\]\.weight lie in the same memory"),
    "hook": (lambda: (net(2), hooked()), r"players\[1\]\.2\.bias has a gradient hook, which would never run"),
    "script": (lambda: (torch.jit.script(net(2)), net()), r"players\[0\] is a torch\.jit module"),
    "lazy": (lambda: (nn.LazyLinear(2), net()), r"players\[0\]\.weight has no shape yet: run a batch"),
    "meta": (lambda: (net(2).to("meta"), net()), r"players\[0\]\.0\.weight lies on the meta device"),
    "inference": (lambda: (net(2), inferred()), r"players\[1\]\.0\.weight was made under torch\.inference_mode"),
    "sparse": (lambda: (nn.Embedding(3, 2, sparse=True), net()), r"players\[0\] has sparse gradients.*sparse=False"),
}


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_played_is_refused_when_it_is_bound(name: str) -> None:
    make, says = REFUSED[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about what it is asked to make here
        modules = make()
    with pytest.raises(mm.GameError, match=says):
        mm.bind(GAN, modules, PLAIN)


class KeepsItsPlayers(mm.SimultaneousGDA):
    """Remembers where it was, without a copy."""

    def start(self, z: Any, device: torch.device) -> Any:
        return {"past": [list(vector) for vector in z]}

    def update(self, game: Any, z: Any, state: Any, batches: Any) -> Any:
        new, state, info = super().update(game, z, state, batches)
        return new, state | {"past": [list(vector) for vector in z]}, info


def test_a_state_that_is_a_players_own_memory_is_refused() -> None:
    with pytest.raises(mm.GameError, match=r"keeps a player's own tensor in state\['past'\]\[0\]\[0\].*tree\.clone"):
        mm.bind(SQUARE, (net(),), KeepsItsPlayers(mm.sgd(0.1))).step(batch(0))


# ---------------------------------------------------------------------------------------------------------- not finite


def fragile() -> mm.Game:
    return mm.Game(lambda net, b: (net(b["real"]) * b["scale"]).square().mean())


@pytest.mark.parametrize("rule", [mm.sgd(0.1), mm.adam(0.1), mm.from_torch(torch.optim.Adam, lr=0.1)])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_not_taken(rule: mm.Rule, bad: float) -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    trainer = mm.bind(fragile(), (module,), mm.OptimisticGDA(rule), ema=0.9)
    trainer.step(batch(0) | {"scale": torch.ones(())})
    before = trainer.state_dict()
    with pytest.raises(mm.GameError, match=r"step 2 is not finite: the loss of players\[0\] is (nan|inf).*skips=5"):
        trainer.step(batch(1) | {"scale": torch.tensor(bad)})
    assert trainer.skipped == 1
    assert same(trainer.state_dict() | {"counts": before["counts"]}, before)
    trainer.step(batch(1) | {"scale": torch.ones(())})


def test_the_tensor_that_is_not_finite_is_named() -> None:
    """A finite loss with an infinite slope, as that of a square root at 0."""
    game = mm.Game(lambda a, b: (a["x"] ** 2).sum(), lambda a, b: b["y"].sum() + b["z"].abs().sqrt().sum())
    players = ({"x": torch.ones(1)}, {"y": torch.ones(2), "z": torch.zeros(2)})
    with pytest.raises(mm.GameError, match=r"the gradient of players\[1\]\['z'\] is not"):
        mm.bind(game, players, PLAIN).step()


def test_a_player_whose_projection_repeats_one_number_is_looked_at_too() -> None:
    """An expanded tensor: several entries in one place of memory, which nothing may write to."""
    game = mm.zero_sum(lambda x, y: (x * y).sum() + x @ x - y @ y, constraints=(lambda x: x.mean().expand_as(x), None))
    trainer = mm.bind(game, (torch.tensor([1.0, 3.0]), torch.zeros(2)), PLAIN)
    trainer.step()
    assert torch.allclose(trainer.players[0], torch.full((2,), 1.6))


def test_some_steps_may_be_passed_over() -> None:
    module = net()
    trainer = mm.bind(fragile(), (module,), PLAIN, skips=2)
    scales = [1.0, float("nan"), float("nan"), 1.0, float("nan")]
    for step, scale in enumerate(scales):
        info = trainer.step(batch(step) | {"scale": torch.tensor(scale)})
        assert bool(info.finite) == (scale == 1.0)
    assert (trainer.steps, trainer.skipped) == (2, 3) and torch.isfinite(flat(module)).all()
    trainer.step(batch(5) | {"scale": torch.tensor(float("nan"))})
    with pytest.raises(mm.GameError, match="step 3 is not finite"):
        trainer.step(batch(6) | {"scale": torch.tensor(float("nan"))})


# -------------------------------------------------------------------------------------------------------------- layers


@pytest.mark.parametrize("penalty", ["r1", "wgan_gp", "dragan", "roth"])
@pytest.mark.parametrize("optimizer", [mm.AlternatingGDA(mm.sgd(0.1)), mm.ExtraGradient(mm.sgd(0.1))])
def test_penalties_on_a_critic_with_batch_norm_are_those_of_autograd(penalty: str, optimizer: Any) -> None:
    """In training mode, where `torch.func` may not write to its statistics."""

    def term(d: Any, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        if penalty == "r1":
            return mm.penalties.r1(d, real)
        if penalty == "wgan_gp":
            return mm.penalties.wgan_gp(d, real, fake, torch.full((6,), 0.25))
        return (
            mm.penalties.dragan(d, real, 0.1 * real.sin()) if penalty == "dragan" else mm.penalties.roth(d, real, fake)
        )

    def by_hand(d: Any, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        x = 0.25 * real + 0.75 * fake if penalty == "wgan_gp" else real
        x = real + 0.5 * real.std() * 0.1 * real.sin() if penalty == "dragan" else x
        if penalty == "roth":
            scores = d(real).flatten(), d(fake).flatten()
            weights = (-scores[0]).sigmoid().square(), scores[1].sigmoid().square()
            pairs = zip(weights, (slope2(d, real), slope2(d, fake)), strict=True)
            return sum((weight * slope).mean() for weight, slope in pairs)
        if penalty == "r1":
            return slope2(d, x).mean()
        return (slope2(d, x).sqrt() - 1).square().mean()

    def slope2(d: Any, x: torch.Tensor) -> torch.Tensor:
        x = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(d(x).sum(), x, create_graph=True)[0].flatten(1).square().sum(1)

    ends = []
    for each in (term, by_hand):
        torch.manual_seed(2)
        g, d = net(2), nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))
        game = mm.Game(loss_g, lambda g, d, b, e=each: loss_d(g, d, b) + e(d, b["real"], g(b["noise"])))
        trainer = mm.bind(game, (g, d), optimizer, check=False)
        for step in range(3):
            trainer.step(batch(step))
        ends.append({**g.state_dict(), **{f"d.{key}": value for key, value in d.state_dict().items()}})
    torch.testing.assert_close(ends[0], ends[1], rtol=1e-11, atol=1e-13)


def test_averages_of_modules_with_weight_norm() -> None:
    """The old one keeps a tensor with a graph as an attribute, which `deepcopy` refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated
        module = nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 1)))
    trainer = mm.bind(SQUARE, (module,), PLAIN, ema=0.5)
    start = flat(module)
    trainer.step(batch(0))
    (average,) = trainer.averaged()
    torch.testing.assert_close(flat(average), (start + flat(module)) / 2)
    assert average(batch(0)["real"]).shape == (6, 1)


def test_players_may_share_a_layer_of_buffers() -> None:
    norm = nn.BatchNorm1d(2, affine=False)
    held = dict(norm.named_buffers())
    x, y = nn.Sequential(nn.Linear(2, 2), norm), nn.Sequential(norm, nn.Linear(2, 1))
    trainer = mm.bind(mm.zero_sum(lambda x, y, b: y(x(b)).square().mean()), (x, y), mm.ExtraGradient(mm.sgd(0.1)))
    trainer.step(torch.randn(8, 2))
    assert all(held[name] is buffer for name, buffer in norm.named_buffers())
    assert held["num_batches_tracked"] == 4
