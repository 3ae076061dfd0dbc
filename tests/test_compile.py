"""The compiled step: the same play, one graph, no recompilation."""

import copy
import gc
import pickle
import shutil
import weakref
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import softplus
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.lr_scheduler import StepLR
from torch.utils import _pytree as pytree

import minimax as mm
from minimax import compiling
from minimax.compiling import Compiled


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
    assert len(quick) == 1 and quick[0].items() >= {"fullgraph": True, "dynamic": False}.items()
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


def bilinear(scale: float) -> mm.Game:
    return mm.zero_sum(lambda x, y: scale * x * y)


@torch._dynamo.config.patch(recompile_limit=2)
def test_more_compiled_runs_in_one_process_than_a_function_may_recompile(quick: list[dict]) -> None:
    start, optimizer = (torch.tensor(1.0), torch.tensor(2.0)), mm.ExtraGradient(mm.sgd(0.1))
    for k in range(3):
        play = partial(mm.solve, bilinear(1.0 + k), start, optimizer, steps=2)
        torch.testing.assert_close(play(compile=True).players, play().players)
    assert len(quick) == 3


@torch._dynamo.config.patch(recompile_limit=2)
def test_more_compiled_ensembles_in_one_process_than_a_function_may_recompile(quick: list[dict]) -> None:
    start, optimizer = (torch.tensor(1.0), torch.tensor(2.0)), mm.SimultaneousGDA(mm.sgd(0.1))
    for k in range(3):
        play = partial(mm.ensemble, bilinear(1.0 + k), optimizer, [start] * 2, steps=2)
        torch.testing.assert_close(play(compile=True).players, play().players)


def test_an_ensemble_compiles_once(quick: list[dict]) -> None:
    start, optimizer = (torch.tensor(1.0), torch.tensor(2.0)), mm.ExtraGradient(mm.adam(0.1))
    torch._dynamo.utils.counters.clear()
    mm.ensemble(bilinear(1.0), optimizer, [start] * 2, steps=4, compile=True)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_copies_of_a_compiled_optimizer(quick: list[dict]) -> None:
    game, z = mm.games.bilinear(dim=2).game, (torch.ones(2), torch.ones(2))
    used = mm.compiled(mm.SimultaneousGDA(mm.adam(0.1)))
    moved = used.step(game, z, used.init(game, z))[0]
    for another in (pickle.loads(pickle.dumps(used)), copy.copy(used), copy.deepcopy(used)):
        assert another == used and hash(another) == hash(used) and another.inner == used.inner
        torch.testing.assert_close(another.step(game, z, another.init(game, z))[0], moved)
    assert used != mm.compiled(mm.SimultaneousGDA(mm.adam(0.2)))


def test_a_game_that_was_compiled_is_not_kept(quick: list[dict]) -> None:
    optimizer, game, z = mm.compiled(mm.SimultaneousGDA(mm.sgd(0.1))), bilinear(1.0), (torch.ones(()), torch.ones(()))
    optimizer.step(game, z, optimizer.init(game, z))
    kept = weakref.ref(game)
    del game
    gc.collect()
    assert kept() is None


def joint(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    fake = d(g(batch["noise"]))
    return softplus(-fake).mean(), softplus(-d(batch["real"])).mean() + softplus(fake).mean()


CRITICS = {
    "batch norm": lambda: nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 1)),
    "spectral norm": lambda: nn.Sequential(spectral_norm(nn.Linear(2, 8)), nn.Tanh(), spectral_norm(nn.Linear(8, 1))),
    "old spectral norm": lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(2, 8)), nn.Tanh(), nn.Linear(8, 1)),
}


KINDS = [mm.SimultaneousGDA, mm.ExtraGradient, mm.ConsensusOptimization]
GAMES = {"apart": mm.Game(loss_g, loss_d), "joint": mm.Game(joint)}


@pytest.mark.filterwarnings("ignore:.torch.nn.utils.spectral_norm. is deprecated")
@pytest.mark.parametrize(  # all pairs of the three
    "critic, losses, kind",
    [(critic, [*GAMES][(i + j) % 2], kind) for i, critic in enumerate(CRITICS) for j, kind in enumerate(KINDS)],
)
def test_buffers_play_like_eager(critic: str, losses: str, kind: object, quick: list[dict]) -> None:
    ends, game = [], GAMES[losses]
    for compile in (False, True):
        torch.manual_seed(0)
        g = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        trainer = mm.bind(game, (g.double(), CRITICS[critic]().double()), kind(mm.sgd(0.1)), compile=compile)
        for k in range(3):
            trainer.step({name: value.double() for name, value in batch(k).items()})
        ends.append([module.state_dict() for module in trainer.modules])
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-10, atol=1e-12)
    passes = {mm.SimultaneousGDA: 3, mm.ExtraGradient: 6, mm.ConsensusOptimization: 3}[kind]
    assert ends[1][0]["1.num_batches_tracked"] == passes * (1 if game.functions == (joint,) else 2)


def test_torch_schedules_compile(quick: list[dict]) -> None:
    rate = mm.schedules.from_torch(StepLR, 0.4, steps=5, step_size=2, gamma=0.5)
    play = partial(mm.solve, bilinear(1.0), (torch.tensor(1.0), torch.tensor(2.0)), mm.ExtraGradient(mm.sgd(rate)))
    torch.testing.assert_close(play(steps=8, compile=True).players, play(steps=8).players)


def test_dropout_is_drawn_by_the_compiled_step(quick: list[dict]) -> None:
    def masked(x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5).sum() * y.sum()

    game, z = mm.zero_sum(masked), (torch.ones(64), torch.ones(1))
    optimizer = mm.compiled(mm.SimultaneousGDA(mm.sgd(0.0)))
    state = optimizer.init(game, z)
    losses = [float(optimizer.step(game, z, state)[2].losses[0]) for _ in range(3)]
    assert len(set(losses)) == 3
    with pytest.raises(RuntimeError, match="called random operation"):
        mm.ensemble(game, mm.SimultaneousGDA(mm.sgd(0.1)), [z] * 2, steps=1)


def test_several_steps_in_one_graph_up_to_where_one_looks(quick: list[dict], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same run as step by step: records, costs, ends and players, and as few calls as `every` allows."""
    leaps: list[int] = []
    leap = Compiled.leap

    def counted(self: Compiled, *args: object, steps: int = 1) -> object:
        leaps.append(steps)
        return leap(self, *args, steps=steps)

    monkeypatch.setattr(Compiled, "leap", counted)
    game, start = bilinear(1.0), (torch.tensor(1.0), torch.tensor(2.0))
    optimizer = mm.compiled(mm.SimultaneousGDA(mm.sgd(0.5)))  # grows by a ninth a step
    for limits, expected in ((mm.Limits(), [1, 1, 1, 3, 1]), (mm.Limits(growth=1.5), [1, 1, 1, 3])):
        leaps.clear()
        fast, slow = (
            mm.solve(game, start, one, steps=7, every=3, limits=limits) for one in (optimizer, optimizer.inner)
        )
        assert leaps == expected
        torch.testing.assert_close(fast.players, slow.players)
        assert fast.cost == slow.cost and str(fast.status) == str(slow.status)
        assert fast.state["step"] == slow.state["step"] and fast.records["step"] == slow.records["step"]


@pytest.mark.timeout(400)  # code is generated, while other tests run
def test_a_graph_runs_on_what_it_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the checks in between the same runs to the last number, whatever `every` and the state are."""
    torch._dynamo.reset()
    monkeypatch.setattr(compiling, "inductor", lambda module, inputs: module.forward)
    leaps: list[int] = []
    leap = Compiled.leap
    monkeypatch.setattr(
        Compiled, "leap", lambda self, *args, steps=1: (leaps.append(steps), leap(self, *args, steps=steps))[1]
    )
    start, closed = (torch.tensor(1.0), torch.tensor(-2.0)), torch.tensor(2.0)
    game = mm.zero_sum(lambda x, y: closed * x * y + x**2 / 2)
    averaged = mm.Averaging(mm.ExtraGradient(mm.adam(lambda step: 0.1 / (1 + step) ** 0.5)))
    heavy = mm.AlternatingGDA(mm.sgd(0.1, momentum=-0.3))
    for optimizer in (averaged, heavy):
        fast = mm.compiled(optimizer)
        for value in (2.0, 0.5):  # the checks are made anew in every run
            closed.fill_(value)
            leaps.clear()
            ours, theirs = (mm.solve(game, start, each, steps=38, every=2) for each in (fast, optimizer))
            assert len(leaps) <= 6 and sum(leaps) < 38, leaps
            torch.testing.assert_close((ours.players, ours.state), (theirs.players, theirs.state))
            torch.testing.assert_close(ours.answer, theirs.answer)
            assert ours.cost == theirs.cost and ours.records["step"] == theirs.records["step"]
            assert ours.records["norm"] == pytest.approx(theirs.records["norm"], rel=1e-5)
    assert isinstance(fast, Compiled)
    twins = start[0], start[0]  # one input of the first graph, and two of the next ones
    *_, (_, ours, _, _) = fast.leaps(game, twins, heavy.init(game, twins), 2, 12)
    torch.testing.assert_close(ours, mm.solve(game, twins, heavy, steps=12).players)


def test_on_cuda_cuda_graphs_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what they return leaves as copies, as the next run writes over it; on the CPU nothing changes."""
    asked: list[dict[str, object]] = []
    pool = [torch.zeros(2), torch.zeros(3), torch.zeros((), dtype=torch.int64)]

    def compiler(module: object, inputs: object, **options: object) -> object:
        asked.append(options)
        return lambda *args: [*(value.add_(1) for value in pool), None]

    monkeypatch.setattr(torch._dynamo, "lookup_backend", {"inductor": compiler}.__getitem__)
    module = torch.fx.symbolic_trace(nn.Identity())
    with FakeTensorMode():
        here, there = torch.ones(2), torch.ones(2, device="cuda")
    backend = compiling.Backend()
    backend.asked = True
    graphed, plain = backend(module, [here, 1, there]), backend(module, [here])
    mode = torch._inductor.list_mode_options("reduce-overhead")
    assert asked == [{"config_patches": mode}, {}] and mode["triton.cudagraphs"]
    first, second = graphed(), graphed()
    assert backend.ran is None, "a replay would pass by what begins a new run of CUDA graphs"
    for copy_of, k in ((first, 1), (second, 2)):
        assert copy_of[3] is None and [leaf.dtype for leaf in copy_of[:3]] == [leaf.dtype for leaf in pool]
        assert all(bool((leaf == k).all()) for leaf in copy_of[:3])
    assert all(a is b for a, b in zip(plain()[:3], pool, strict=True)) and backend.ran is not None


def test_counters_go_where_cuda_players_are() -> None:
    optimizer = mm.Averaging(mm.ExtraGradient(mm.adam(0.1)))
    start = torch.ones(2), torch.ones(2)
    state = optimizer.init(bilinear(1.0), start)
    assert compiling.beside(start, state) is state and state["step"].device.type == "cpu"
    with FakeTensorMode(allow_non_fake_inputs=True):
        there = tuple(torch.ones(2, device="cuda") for _ in range(2))
        moved = compiling.beside(there, optimizer.init(bilinear(1.0), there))
        assert {leaf.device.type for leaf in pytree.tree_leaves(moved)} == {"cuda"}
        assert compiling.beside(there, moved) is moved


@pytest.mark.gpu
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", [partial(mm.AlternatingGDA, order=(1, 0)), mm.ExtraGradient, mm.ConsensusOptimization])
def test_cuda_graphs_play_like_eager(kind: object) -> None:
    """No step is passed over, none writes over what an earlier one returned, and a state serves both kinds."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    optimizer = kind(mm.adam(lambda step: 1e-2 / (1 + step), betas=(0.5, 0.999)))
    trainers, seen = [], ([], [])
    for compile in (False, True):
        torch.manual_seed(0)
        g = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 2))
        d = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        modules = g.double().cuda(), d.double().cuda()
        trainers.append(mm.bind(mm.Game(loss_g, loss_d), modules, optimizer, ema=0.9, compile=compile))
    for k in range(6):
        drawn = {name: value.double().cuda() for name, value in batch(k).items()}
        for trainer, infos in zip(trainers, seen, strict=True):
            infos.append(trainer.step(drawn))
    eager, fast = trainers
    close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-11)
    close([info.losses for info in seen[1]], [info.losses for info in seen[0]])
    close([info.gradients for info in seen[1]], [info.gradients for info in seen[0]])
    close(fast.players, eager.players)
    close((fast.state, fast.ema.players), (eager.state, eager.ema.players), check_device=False)
    assert {leaf.device.type for leaf in pytree.tree_leaves(fast.state)} == {"cuda"}
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == 1 and not counters["inductor"]["cudagraph_skips"]
    assert counters["inductor"]["cudagraph_recorded_non_static_inputs"] > 0, "no CUDA graph was recorded"
    fast.load_state_dict(eager.state_dict())
    drawn = {name: value.double().cuda() for name, value in batch(7).items()}
    close(fast.step(drawn).losses, eager.step(drawn).losses)
    close(fast.players, eager.players)


@pytest.mark.gpu
@pytest.mark.timeout(400)
def test_cuda_graphs_of_several_steps_play_like_eager() -> None:
    game = mm.zero_sum(lambda x, y: x @ y + (x @ x - y @ y) / 8)
    start = tuple(k * torch.ones(2, dtype=torch.float64, device="cuda") for k in (1, -1))
    play = partial(mm.solve, game, start, mm.OptimisticGDA(mm.adam(1e-2)), steps=40, every=8)
    fast, eager = play(compile=True), play()
    torch.testing.assert_close(fast.players, eager.players, rtol=1e-9, atol=1e-11)
    assert fast.cost == eager.cost and fast.records["norm"] == pytest.approx(eager.records["norm"], rel=1e-9)
