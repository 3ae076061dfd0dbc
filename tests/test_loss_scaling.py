"""Losses scaled for half precision: GradScaler's numbers, and a step that overflows moves nothing but the scale."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

import minimax as mm
from minimax.testing import check_optimizer
from minimax.testing._compare import same
from tests.gan import GAN, batch, flat, net


def gan() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(100)
    return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)), net()


def test_powers_of_two_change_no_bit() -> None:
    """In float32, whatever evaluates twice, on micro-batches, and under methods of second order; the scale grows."""
    plays = [
        (mm.transforms.accumulate(GAN, 2), mm.ExtraGradient(mm.clipped(mm.adam(0.1), norm=1.0))),
        (GAN, mm.ConsensusOptimization(mm.sgd(0.1))),
    ]
    for game, method in plays:
        plain, scaled = (mm.bind(game, gan(), m) for m in (method, mm.LossScaled(method, interval=2)))
        for k in range(5):
            infos = [trainer.step(batch(k)) for trainer in (plain, scaled)]
            assert infos[0].losses == infos[1].losses
        assert same(plain.state_dict()["players"], scaled.state_dict()["players"])
        assert same(plain.state_dict()["held"], scaled.state_dict()["held"])
        assert scaled.state["scale"] == 2.0**18 and scaled.state["moved"] == 1


def half(net: nn.Module, b: dict[str, Tensor]) -> Tensor:
    with torch.autocast("cpu", torch.float16):
        out = net(b["x"])
    return mse_loss(out.float(), b["y"]) * b["tiny"]


def sample(k: int, size: float = 1.0) -> dict[str, Tensor]:
    x, y = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(k))
    return {"x": size * x, "y": y, "tiny": torch.tensor(1e-6)}


def test_it_is_torchs_grad_scaler() -> None:
    """float16 on the CPU: scale, parameters and skipped steps are those of `torch.amp.GradScaler`, step by step."""
    torch.manual_seed(100)
    ours = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    theirs = copy.deepcopy(ours)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=3)
    reference = torch.optim.SGD(theirs.parameters(), lr=1e3)
    method = mm.SimultaneousGDA(mm.sgd(1e3))
    trainer = mm.bind(mm.Game(half), (ours,), mm.LossScaled(method, scale=2.0**24, interval=3))
    scales = []
    for k in range(14):
        b = sample(k, 1e3 if k in (5, 6) else 1.0)
        reference.zero_grad()
        scaler.scale(half(theirs, b)).backward()
        scaler.step(reference)
        scaler.update()
        trainer.step(b)
        scales.append(float(trainer.state["scale"]))
        assert scales[-1] == scaler.get_scale()
        torch.testing.assert_close(flat(ours), flat(theirs), rtol=1e-6, atol=1e-8)
    assert trainer.skipped > 1 and trainer.steps + trainer.skipped == 14 and len(set(scales)) > 2


def test_what_half_precision_loses_is_found() -> None:
    """A slope of 1e-9, below float16's smallest number: zero without a scale, right with one."""
    slope = 1e-9

    def loss(x: Tensor, b: Tensor) -> Tensor:
        return ((x.half() * b.half()).float() * slope).sum()

    found = {}
    for name, method in {"plain": mm.sgd(1.0), "scaled": mm.sgd(1.0)}.items():
        optimizer: Any = mm.SimultaneousGDA(method)
        optimizer = mm.LossScaled(optimizer) if name == "scaled" else optimizer
        trainer = mm.bind(mm.Game(loss), (torch.zeros(1),), optimizer)
        trainer.step(torch.ones(1))
        found[name] = float(trainer.players[0])
    assert found["plain"] == 0 and found["scaled"] == pytest.approx(-slope, rel=1e-3)


def rigged(slope: float) -> mm.Game:
    """The second player's slope overflows float16 once it is scaled, if the batch says so."""

    def second(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
        return ((y + x) ** 2).sum() + (y.half() * b).float().sum() * slope

    return mm.Game(lambda x, y, b: ((x - y) ** 2).sum(), second)


def test_one_player_that_overflows_stops_the_whole_step() -> None:
    """In the second half step of extragradient, hidden from Info and clipped away: players, memories, buffers and
    average stand still, the scale halves, and the run goes on as if that batch had not been there."""
    method = mm.LossScaled(mm.ExtraGradient(mm.clipped(mm.adam(0.1), value=1.0), fresh=True), scale=2.0**10)

    def trainer() -> mm.Trainer[Any]:
        return mm.bind(rigged(1.0), (torch.ones(2), torch.ones(2)), method, ema=0.9, skips=0)

    zero, large = torch.zeros(()).half(), torch.tensor(6e4).half()
    one, other = trainer(), trainer()
    one.step(zero, zero), other.step(zero, zero)
    before = one.state_dict()
    info = one.step(zero, large)
    after = one.state_dict()
    assert bool(info.extra["skipped"]) and bool(info.finite) and (one.steps, one.skipped) == (1, 1)
    assert all(same(before[key], after[key]) for key in ("players", "ema", "held"))
    assert same(before["state"]["inner"], after["state"]["inner"]) and before["state"]["step"] == after["state"]["step"]
    assert (before["state"]["scale"], after["state"]["scale"]) == (2.0**10, 2.0**9)
    resumed = trainer()
    resumed.load_state_dict(after)
    for last in (one, other, resumed):
        last.step(zero, zero)
    assert same(one.state_dict()["players"], other.state_dict()["players"]) and same(
        one.state_dict(), resumed.state_dict()
    )


def test_solve_and_compiled_steps_pass_over_too(quick: object) -> None:
    """The first step may overflow, as it does at 2¹⁶; a game that is not finite at any scale has diverged."""
    game = mm.Game(lambda x: ((30 * x.half()).float() ** 2).sum() / 2)
    method = mm.LossScaled(mm.SimultaneousGDA(mm.sgd(1e-3)), scale=2.0**16)
    runs = [mm.solve(game, (torch.ones(2),), method, steps=30, compile=compile) for compile in (False, True)]
    for run in runs:
        assert run.status.kind == "budget" and run.state["scale"] < 2.0**12 and run.players[0].abs().max() < 0.1
        torch.testing.assert_close(run.players, runs[0].players)
    broken = mm.Game(lambda x: (x * torch.tensor(float("inf"))).sum())
    with pytest.raises(mm.GameError, match="step 1 is not finite"):
        trainer = mm.bind(broken, (torch.ones(1),), method)
        for _ in range(20):
            trainer.step()
    assert trainer.state["scale"] == 1.0 and trainer.skipped == 17


@pytest.mark.usefixtures("float64")
def test_contract() -> None:
    """What every optimizer promises: purity, resuming, costs, ensembles, fixed points, ..."""
    check_optimizer(mm.LossScaled(mm.SimultaneousGDA(mm.sgd(0.05))))


def test_what_cannot_be() -> None:
    for options in ({"scale": 0.5}, {"backoff": 1.0}, {"interval": 0}, {"growth": 0.5}, {"least": 0.0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            mm.LossScaled(mm.SimultaneousGDA(mm.sgd(0.1)), **options)
    with pytest.raises(mm.GameError, match=r"got players of torch\.float16.*keep them in float32"):
        mm.bind(mm.Game(lambda x: x.sum()), (torch.ones(1).half(),), mm.LossScaled(mm.SimultaneousGDA(mm.sgd(0.1))))
    torchs = mm.LossScaled(mm.SimultaneousGDA(mm.from_torch(torch.optim.Adam)))
    with pytest.raises(mm.GameError, match="use native ones, not from_torch"):
        mm.bind(mm.Game(lambda x: (x**2).sum()), (torch.ones(1),), torchs).step()


def test_a_generator_behind_its_samples_is_refused() -> None:
    on_samples = mm.zero_sum(lambda fake, y: (y * fake).mean())
    game, z = mm.transforms.generated(on_samples, lambda x: 2 * x), (torch.ones(3), torch.ones(3))
    mm.solve(game, z, mm.ExtraGradient(mm.sgd(0.1)), steps=1)
    with pytest.raises(mm.GameError, match="not the generator behind them"):
        mm.solve(game, z, mm.LossScaled(mm.ExtraGradient(mm.sgd(0.1))), steps=1)
