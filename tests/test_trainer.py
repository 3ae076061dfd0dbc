"""What a bound game can do besides stepping: go back, average, be saved by torch.distributed, share parts."""

import gc
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.stateful import Stateful
from torch.nn.functional import softplus

import minimax as mm
from minimax.testing._compare import same
from tests.gan import GAN, PLAIN, batch, flat, loss_d, loss_g, net

pytestmark = pytest.mark.usefixtures("float64")


# -------------------------------------------------------------------------------------------------------- going back


def fragile(net: Any, b: Any) -> Tensor:
    return (net(b["real"]) * b["scale"]).square().mean()


def drawn(k: int, scale: float = 1.0) -> dict[str, Tensor]:
    return batch(100 + k) | {"scale": torch.tensor(scale)}


def test_play_goes_back_to_the_last_copy_once() -> None:
    """Everything: players, buffers, memories, average, counts; then the batches that come, as if nothing had been."""

    def trainer(**options: Any) -> mm.Trainer[Any]:
        torch.manual_seed(100)
        module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        return mm.bind(mm.Game(fragile), (module,), mm.OptimisticGDA(mm.adam(0.1)), ema=0.9, **options)

    nan = float("nan")
    straight, back = trainer(), trainer(rollback=3, skips=1)
    for k in range(3):
        straight.step(drawn(k)), back.step(drawn(k))
    for k in (3, 4):
        back.step(drawn(k))
    back.step(drawn(5, nan))  # passed over
    assert (back.steps, back.skipped, back.rollbacks) == (5, 1, 0)
    back.step(drawn(6, nan))  # two in a row: back to the third step
    assert (back.steps, back.skipped, back.rollbacks) == (3, 2, 1)
    counts = {"counts": {"steps": 3, "skipped": 2, "rollbacks": 1}}
    assert same(back.state_dict(), straight.state_dict() | counts)
    for k in (7, 8):
        straight.step(drawn(k)), back.step(drawn(k))
    assert torch.equal(flat(*straight.modules), flat(*back.modules))
    back.step(drawn(9, nan))
    with pytest.raises(mm.GameError, match="step 6 is not finite"):  # a second time would go on for ever
        back.step(drawn(10, nan))
    back.step(drawn(11)), back.step(drawn(12))
    back.step(drawn(13, nan)), back.step(drawn(14, nan))
    assert back.rollbacks == 2, "there is a new copy"
    resumed = trainer(rollback=3)
    resumed.load_state_dict(back.state_dict())
    assert resumed.rollbacks == 2
    with pytest.raises(ValueError, match="rollback waits for a step that is not finite"):
        trainer(rollback=3, skips=None)


# ---------------------------------------------------------------------------------------------------------- averages


def test_half_lives_starts_and_buffers_by_hand() -> None:
    """StyleGAN2's average written out, BatchNorm's statistics included; a resumed run has the same one."""
    warm = mm.schedules.half_life(40, batch=6, rampup=0.5, start=2)

    def trainer(buffers: bool = True) -> mm.Trainer[Any]:
        torch.manual_seed(100)
        modules = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)), net()
        return mm.bind(GAN, modules, PLAIN, ema=warm, ema_buffers=buffers)

    straight, last = trainer(), trainer(buffers=False)
    norm: Any = straight.modules[0][1]
    means = {"weight": norm.weight.detach().clone(), "running_var": norm.running_var.clone()}
    for k in range(7):
        straight.step(batch(k)), last.step(batch(k))
        seen = 6 * (k - 2)
        β = 0.5 ** (6 / max(min(40, 0.5 * seen), 1e-8)) if k >= 2 else 0.0
        for name, mean in means.items():
            means[name] = β * mean + (1 - β) * getattr(norm, name).detach()
        if k == 3:
            halfway = straight.state_dict()
    averaged: Any = straight.averaged()[0][1]
    for name, mean in means.items():
        torch.testing.assert_close(getattr(averaged, name).detach(), mean, rtol=1e-12, atol=1e-12)
    assert averaged.num_batches_tracked == 7 * 2
    assert torch.equal(last.averaged()[0][1].running_var, norm.running_var), "else the last statistics"
    resumed = trainer()
    resumed.load_state_dict(halfway)
    for k in range(4, 7):
        resumed.step(batch(k))
    assert same(resumed.state_dict(), straight.state_dict())
    early = mm.schedules.warmed(0.9, start=1)
    assert [float(early(torch.tensor(k))) for k in (0, 1, 10, 999)] == pytest.approx([0, 0.1, 10 / 19, 0.9])
    with pytest.raises(ValueError, match="ema_buffers=True averages buffers beside the players, got ema=None"):
        mm.bind(GAN, (net(2), net()), PLAIN, ema_buffers=True)
    with pytest.raises(ValueError, match="samples must be a finite number > 0, got 0"):
        mm.schedules.half_life(0, batch=1)


# ------------------------------------------------------------------------------------------------ torch.distributed


@pytest.mark.filterwarnings("ignore:.*dist:UserWarning", "ignore:torch.distributed")
def test_torch_distributed_saves_and_loads_it(tmp_path: Path) -> None:
    """`dcp.save` and `dcp.load` in one process: a fresh trainer goes on bit for bit, scheduler's rates included."""

    def trainer(rule: mm.Rule) -> mm.Trainer[Any]:
        torch.manual_seed(100)
        modules = {"g": nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)), "d": net()}
        return mm.bind(mm.Game(loss_g, loss_d), modules, mm.Lookahead(mm.ExtraGradient(rule)), ema=0.9)

    rule = mm.split(lambda name, shape: len(shape) >= 2, mm.sgd(0.1, momentum=0.5), mm.adam(0.1))
    whole, cut = trainer(rule), trainer(rule)
    assert isinstance(whole, Stateful)
    whole.optimizer.param_groups[1]["betas"] = (0.5, 0.9)
    for k in range(3):
        whole.step(batch(k))
    dcp.save({"play": whole}, checkpoint_id=str(tmp_path / "native"), no_dist=True)
    dcp.load({"play": cut}, checkpoint_id=str(tmp_path / "native"), no_dist=True)
    for k in range(3, 6):
        whole.step(batch(k)), cut.step(batch(k))
    assert same(cut.state_dict(), whole.state_dict())

    torchs = trainer(mm.from_torch(torch.optim.Adam, lr=0.1))
    torchs.step(batch(0))
    dcp.save({"play": torchs}, checkpoint_id=str(tmp_path / "torch"), no_dist=True)
    fresh = trainer(mm.from_torch(torch.optim.Adam, lr=0.1))
    with pytest.raises(ValueError, match="has taken 1 steps and has no memory of them"):  # it reads what is there
        dcp.load({"play": fresh}, checkpoint_id=str(tmp_path / "torch"), no_dist=True)


# ---------------------------------------------------------------------------------------------- from a loop of torch


def test_three_lines_from_a_torch_loop_to_extragradient() -> None:
    """Losses that close over modules and batch, as a loop has them, played by a method that evaluates them twice."""
    torch.manual_seed(100)
    G, D = net(2), net()
    theirs = net(2), net()
    for copy, module in zip(theirs, (G, D), strict=True):
        copy.load_state_dict(module.state_dict())
    b = batch(0)
    game = mm.Game(lambda *_: softplus(-D(G(b["noise"]))).mean(), lambda *_: loss_d(G, D, b))
    trainer = mm.bind(game, (G, D), mm.ExtraGradient(mm.sgd(0.1)))
    for k in range(4):
        b = batch(k)
        trainer.step()
        start = [p.detach().clone() for module in theirs for p in module.parameters()]
        for _ in range(2):
            slopes: list[Tensor] = []
            for module, loss in zip(theirs, (loss_g, loss_d), strict=True):
                slopes += torch.autograd.grad(loss(*theirs, b), list(module.parameters()))
            with torch.no_grad():
                for p, at, slope in zip([p for m in theirs for p in m.parameters()], start, slopes, strict=True):
                    p.copy_(at - 0.1 * slope)
    torch.testing.assert_close(flat(G, D), flat(*theirs), rtol=1e-12, atol=1e-12)


def test_what_two_players_share_is_a_player_of_its_own() -> None:
    """InfoGAN's trunk under D's head and Q's, with an optimizer of its own: refused as it stands, right as it says."""
    torch.manual_seed(100)
    trunk, head_d, head_q = nn.Linear(2, 3), nn.Linear(3, 1), nn.Linear(3, 2)
    shared = nn.Sequential(trunk, nn.Tanh(), head_d), nn.Sequential(trunk, nn.Tanh(), head_q)
    for players in (shared, (shared[0], shared[0])):
        with pytest.raises(mm.GameError, match=r"who moves it\? Make what they share a player of its own"):
            mm.bind(mm.Game(lambda d, q: d, lambda d, q: q), players, PLAIN)
    rates = {"trunk": 0.3, "d": 0.2, "q": 0.1}
    modules = {"trunk": trunk, "d": head_d, "q": head_q}
    theirs = {name: nn.Linear(module.in_features, module.out_features) for name, module in modules.items()}
    for name, module in theirs.items():
        module.load_state_dict(modules[name].state_dict())

    def one(trunk: Any, d: Any, q: Any, b: Any) -> Tensor:
        return softplus(-d(trunk(b["real"]).tanh())).mean()

    def two(trunk: Any, d: Any, q: Any, b: Any) -> Tensor:
        return (q(trunk(b["real"]).tanh()) - b["noise"]).square().mean()

    both = lambda *args: one(*args) + two(*args)
    trainer = mm.bind(mm.Game(both, one, two), modules, mm.SimultaneousGDA(tuple(map(mm.sgd, rates.values()))))
    optimizers = [torch.optim.SGD(theirs[name].parameters(), lr=rate) for name, rate in rates.items()]
    for k in range(4):
        trainer.step(batch(k))
        for optimizer in optimizers:
            optimizer.zero_grad()
        both(*theirs.values(), batch(k)).backward()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(flat(*modules.values()), flat(*theirs.values()), rtol=1e-12, atol=1e-12)


def test_differentiable_inner_loops_leave_nothing_behind() -> None:
    """Sixty steps of play through inner steps, unrolled and as a best response: no more tensors than before."""
    start = torch.zeros_like
    game = mm.Game(lambda x, y, b: ((x - y) ** 2).sum(), lambda x, y, b: ((y - b * x) ** 2).sum())
    answers = mm.transforms.best_response(game, 1, start, mm.sgd(0.1), steps=3, through=True)
    plays = [(game, (torch.ones(2),) * 2, mm.Unrolled(mm.sgd(0.1), steps=3)), (answers, (torch.ones(2),), PLAIN)]
    for played, players, method in plays:
        trainer, counts = mm.bind(played, players, method), []
        for k in range(60):
            trainer.step(torch.full((2,), 0.5))
            if k in (29, 59):
                gc.collect()
                counts.append(sum(issubclass(type(thing), Tensor) for thing in gc.get_objects()))
        assert counts[0] >= counts[1]  # others' tensors may go meanwhile
