"""The compiled step: the same play, one graph, no recompilation."""

import shutil
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils import _pytree as pytree

import minimax as mm
from minimax.compiled import Compiled


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return softplus(-d(g(batch["noise"]))).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return softplus(-d(batch["real"])).mean() + softplus(d(g(batch["noise"]))).mean()


def gan() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return tuple(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, out)) for out in (2, 1))


def batch(k: int, size: int = 16) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(k)
    return {name: torch.randn(size, 2, generator=generator) for name in ("real", "noise")}


def alternating(lr: object = 1e-2) -> mm.GameOptimizer:
    return mm.AlternatingGDA(mm.adam(lr, betas=(0.5, 0.999)), order=(1, 0))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """`torch.compile` without code generation; the options it was called with."""
    torch._dynamo.reset()
    calls: list[dict] = []
    real = torch.compile

    def recorded(function: object, **options: object) -> object:
        calls.append(options)
        return real(function, **options, backend="eager")

    monkeypatch.setattr(torch, "compile", recorded)
    return calls


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_inductor_plays_like_eager() -> None:
    torch._dynamo.reset()
    eager, fast = gan(), gan()
    game = mm.Game(loss_g, loss_d)
    trainers = mm.bind(game, eager, alternating()), mm.bind(game, fast, alternating(), compile=True)
    for k in range(4):
        with torch._dynamo.config.patch(error_on_recompile=k > 0):
            infos = [trainer.step(batch(k)) for trainer in trainers]
    torch.testing.assert_close(
        dict(fast[0].named_parameters()), dict(eager[0].named_parameters()), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(infos[1].losses, infos[0].losses, rtol=1e-4, atol=1e-5)
    assert infos[1].cost == infos[0].cost == mm.Cost(2, 0, 16) and infos[1].at == infos[0].at
    assert float(infos[1].norm) == pytest.approx(float(infos[0].norm), rel=1e-3)


def test_schedules_and_counters_do_not_recompile(quick: list[dict]) -> None:
    optimizer = alternating(lambda step: 1e-2 / (1 + step))
    trainer = mm.bind(mm.Game(loss_g, loss_d), gan(), optimizer, compile=True)
    plain = mm.bind(mm.Game(loss_g, loss_d), gan(), optimizer)
    trainer.step(batch(0)), plain.step(batch(0))
    with torch._dynamo.config.patch(error_on_recompile=True):
        for k in range(1, 5):
            trainer.step(batch(k)), plain.step(batch(k))
    assert quick == [{"fullgraph": True, "dynamic": False}]
    torch.testing.assert_close(trainer.players, plain.players)


@pytest.mark.parametrize("kind", [mm.ExtraGradient, mm.ConsensusOptimization, partial(mm.ExtraGradient, fresh=True)])
def test_solve_compiled(kind: object, quick: list[dict]) -> None:
    game = mm.zero_sum(lambda x, y, b: x @ y * b + (x @ x - y @ y) / 2)
    start = torch.ones(2), -torch.ones(2)
    play = partial(mm.solve, game, start, kind(mm.sgd(0.1)), lambda k: torch.tensor(1.0 + k % 2), steps=20)
    fast, eager = play(compile=True), play()
    torch.testing.assert_close(fast.players, eager.players)
    assert fast.cost == eager.cost and fast.status == eager.status and fast.records.keys() == eager.records.keys()


def test_a_compiled_trainer_resumes(quick: list[dict]) -> None:
    trainers = [mm.bind(mm.Game(loss_g, loss_d), gan(), alternating(), compile=True) for _ in range(2)]
    trainers[0].step(batch(0))
    trainers[1].load_state_dict(trainers[0].state_dict())
    for trainer in trainers:
        trainer.step(batch(1))
    assert all(map(torch.equal, *(pytree.tree_leaves(trainer.players) for trainer in trainers)))


def test_compiling_twice_is_compiling_once() -> None:
    once = mm.compiled(alternating())
    assert mm.compiled(once) is once and isinstance(once, Compiled)
    assert once == mm.compiled(alternating()) and once.draws == 1
