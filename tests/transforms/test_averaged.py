"""Autocast, micro-batches and ranks: every optimizer must play as on one whole batch."""

import copy
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.nn.functional import softplus
from torch.utils import _pytree as pytree

import minimax as mm
from minimax.inspection import inspect
from minimax.optimizers import BY_NAME
from minimax.transforms import accumulate, autocast, averaged, broadcast, consensus, data_parallel

STEPS, BATCH = 3, 8

pytestmark = pytest.mark.timeout(400)  # two processes start, and import torch, while other tests run


def payoff(x: dict, y: dict, batch: Tensor) -> Tensor:
    u, v = batch @ x["w"] + x["b"], batch @ y["w"] + y["b"]
    return (u**2 / 4 + u.sin() * v - v**2 / 4).mean()


def players(seed: int = 3) -> tuple[dict, dict]:
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(2, 3, generator=generator, dtype=torch.float64)
    return tuple({"w": row, "b": row.sum()} for row in w)


def batch(k: int) -> Tensor:
    return torch.randn(BATCH, 3, generator=torch.Generator().manual_seed(k), dtype=torch.float64)


def end(optimizer: mm.GameOptimizer, game: mm.Game, part: slice = slice(None)) -> list[Tensor]:
    """Players and the last step's losses after a few steps, each on a part of its batches."""
    z = players()
    state = optimizer.init(game, z)
    for step in range(STEPS):
        drawn = [batch(k)[part] for k in range(step * optimizer.draws, (step + 1) * optimizer.draws)]
        z, state, info = optimizer.step(game, z, state, drawn[0] if optimizer.draws == 1 else drawn)
    return [*pytree.tree_leaves(z), *info.losses, torch.tensor(info.cost[:2])]


def optimizers() -> dict[str, mm.GameOptimizer]:
    return {name: kind.of(mm.sgd(0.05, momentum=0.5)) for name, kind in BY_NAME.items()}


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/ranks", rank=rank, world_size=2)
    half = BATCH // 2
    game = data_parallel(mm.zero_sum(payoff))
    found = {name: end(each, game, slice(rank * half, (rank + 1) * half)) for name, each in optimizers().items()}
    whole = consensus(game, 0.3)  # the norm of the averaged gradients, not the average of the ranks' norms
    found["penalised"] = end(mm.ExtraGradient(mm.sgd(0.05)), whole, slice(rank * half, (rank + 1) * half))
    with pytest.raises(mm.GameError, match="put data_parallel outside of transforms"):
        end(mm.ConsensusOptimization(mm.sgd(0.05)), whole)
    found["broadcast"] = [*broadcast((torch.full((2,), float(rank)),)), *tensors(broadcast((odd(rank),))[0])]
    normed = nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1)).double()
    broadcast((normed,))
    trainer = mm.bind(
        data_parallel(mm.Game(lambda m, b: (m(b) ** 3).mean())), (normed,), mm.SimultaneousGDA(mm.sgd(0.1))
    )
    trainer.step(batch(0)[rank * half : (rank + 1) * half])
    found["buffers"] = [normed[1].running_mean, *trainer.players[0].values()]
    torch.save((found, said(rank)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def odd(rank: int) -> nn.Module:
    """A module full of `rank`: trainable, frozen and transposed parameters, buffers of any kind."""
    module = nn.Module()
    module.weight = nn.Parameter(torch.full((2, 3), float(rank)))
    module.frozen = nn.Parameter(torch.full((2,), float(rank)), requires_grad=False)
    module.transposed = nn.Parameter((rank * torch.arange(6.0)).reshape(3, 2).T if rank else torch.zeros(2, 3))
    for dtype in (torch.int64, torch.int16, torch.uint8, torch.bool, torch.bfloat16):
        module.register_buffer(f"of_{str(dtype)[6:]}", torch.full((2,), rank).to(dtype))
    module.register_buffer("hidden", torch.tensor(float(rank)), persistent=False)
    return module


def tensors(module: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]


def said(rank: int) -> dict[str, str]:
    """What ranks are told that start from different players, and about modules that are wrapped already."""

    def told(play: Callable[[], Any]) -> str:
        try:
            play()
        except mm.GameError as error:
            return str(error)
        return "nothing"

    def normed(seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1)).double()

    game = data_parallel(mm.Game(lambda m, b: m(b).pow(3).mean()))
    play = lambda module: mm.bind(game, (module,), mm.SimultaneousGDA(mm.sgd(0.1))).step(batch(0))
    equal, other, buffers, frozen = normed(), normed(seed=rank), normed(), normed().append(nn.Linear(1, 1).double())
    buffers[1].running_mean += rank
    nn.init.constant_(frozen[2].weight, rank).requires_grad_(False)
    mesh = init_device_mesh("cpu", (2,))
    return {
        "equal": told(lambda: play(equal)),
        "other weights": told(lambda: play(other)),
        "after broadcast": told(lambda: play(*broadcast((other,)))),
        "other buffers": told(lambda: play(buffers)),
        "other frozen parameters": told(lambda: play(frozen)),
        "other tensors": told(lambda: data_parallel(mm.zero_sum(payoff)).field(players(rank), batch(0))),
        "DistributedDataParallel": told(lambda: play(nn.parallel.DistributedDataParallel(normed()))),
        "DataParallel": told(lambda: play(nn.Sequential(nn.DataParallel(normed())))),
        "FSDP": told(lambda: play(FullyShardedDataParallel(normed(), device_id=torch.device("cpu")))),
        "FSDP2": told(lambda: play(fully_shard(normed(), mesh=mesh))),
    }


@pytest.fixture(scope="module")
def answers() -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, (folder,), nprocs=2)
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(2)]


@pytest.fixture
def ranks(answers: list[Any]) -> list[dict[str, list[Tensor]]]:
    return [found for found, _ in answers]


START = "the ranks start from different {}: call transforms.broadcast(players) on every rank first."
SAID = {
    "equal": "nothing",
    "other weights": START.format("players"),
    "after broadcast": "nothing",
    "other buffers": START.format("buffers or frozen parameters"),
    "other frozen parameters": START.format("buffers or frozen parameters"),
    "other tensors": START.format("players"),
}
WRAPPED = ["DistributedDataParallel", "DataParallel", "FSDP", "FSDP2"]


@pytest.mark.parametrize("case", SAID)
def test_every_rank_is_told_of_another_start(case: str, answers: list[Any]) -> None:
    assert [told[case] for _, told in answers] == 2 * [SAID[case]]


def test_the_start_is_seen_by_the_check_of_bind_too() -> None:
    """Before a compiled step, which cannot look."""
    seen = []
    game = averaged(mm.zero_sum(payoff), lambda b: [b], lambda values: values, lambda game, z: seen.append(z))
    inspect(game, players(), batch(0))
    assert torch.equal(seen[0][0][0], players()[0]["w"])


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped_modules_are_refused(kind: str, answers: list[Any]) -> None:
    """Their hooks would not run: the ranks would drift apart without a word."""
    for _, told in answers:
        assert re.search(r"wrapped in .*pass the bare module, and transforms\.data_parallel\(game\)", told[kind])


@pytest.mark.parametrize("name", BY_NAME)
def test_two_ranks_play_as_one_process(name: str, ranks: list[dict[str, list[Tensor]]]) -> None:
    alone = end(optimizers()[name], mm.zero_sum(payoff))
    for found in ranks:
        torch.testing.assert_close(found[name], alone, rtol=1e-8, atol=1e-10)
    assert all(torch.equal(a, b) for a, b in zip(ranks[0][name], ranks[1][name], strict=True))


def test_gradient_penalties_see_the_gradients_of_all_ranks(ranks: list[dict[str, list[Tensor]]]) -> None:
    alone = end(mm.ExtraGradient(mm.sgd(0.05)), consensus(mm.zero_sum(payoff), 0.3))
    for found in ranks:
        torch.testing.assert_close(found["penalised"], alone, rtol=1e-8, atol=1e-10)


def test_broadcast_and_buffers_make_ranks_equal(ranks: list[dict[str, list[Tensor]]]) -> None:
    for found in ranks:
        assert len(found["broadcast"]) == 1 + 3 + 6 and not any(tensor.any() for tensor in found["broadcast"])
    assert all(torch.equal(a, b) for a, b in zip(ranks[0]["buffers"], ranks[1]["buffers"], strict=True))


@pytest.mark.parametrize("name", BY_NAME)
def test_micro_batches_play_as_the_whole(name: str) -> None:
    optimizer = optimizers()[name]
    whole, parts = end(optimizer, mm.zero_sum(payoff)), end(optimizer, accumulate(mm.zero_sum(payoff), 4))
    torch.testing.assert_close(parts, whole, rtol=1e-8, atol=1e-10)


def test_averaged_oracles_agree_with_the_game() -> None:
    def losses(x: dict, y: dict, b: Tensor) -> tuple[Tensor, Tensor]:
        return payoff(x, y, b), (b @ y["w"] * (b @ x["w"]).sin()).mean()

    game, z, v = mm.Game(losses), players(), players()[::-1]
    cut = accumulate(accumulate(game, 2), 2)
    for call in (
        lambda g: g.losses(z, batch(0)),
        lambda g: g.field(z, batch(0)),
        lambda g: g.gradient(z, 1, batch(0)),
        lambda g: g.jvp(z, v, batch(0)),
        lambda g: g.vjp(z, v, batch(0)),
        lambda g: g.block(z, 1, 0, v[0], batch(0)),
    ):
        torch.testing.assert_close(call(cut), call(game))


def test_a_batch_is_cut_leaf_by_leaf() -> None:
    seen = []

    def loss(x: Tensor, b: dict) -> Tensor:
        seen.append((b["a"].tolist(), b["t"].item(), b["name"]))
        return x * b["a"].mean()

    accumulate(mm.Game(loss), 2).field(
        (torch.tensor(1.0),), {"a": torch.arange(4.0), "t": torch.tensor(7), "name": "n"}
    )
    assert seen == [([0.0, 1.0], 7, "n"), ([2.0, 3.0], 7, "n")]


def seen_parts(batch: Any, **options: Any) -> list[Any]:
    """What the losses see of a batch in two parts."""
    seen: list[Any] = []

    def loss(x: Tensor, b: Any) -> Tensor:
        seen.append(b)
        return x.square()

    accumulate(mm.Game(loss), 2, **options).field((torch.tensor(1.0),), batch)
    return seen


def test_a_constant_is_passed_on_whole_or_refused() -> None:
    """Two numbers in a batch of eight samples: nobody can see which tensor holds samples, so none is cut by a guess."""
    samples, weights = torch.arange(8.0), torch.tensor([0.5, 2.0])
    with pytest.raises(
        mm.GameError, match=r"length 2 \(batch\['w'\]\) or 8 \(batch\['a'\]\).*lists of numbers.*cut="
    ) as error:
        seen_parts({"a": samples, "b": samples, "w": weights})
    assert str(error.value).count(".") == 1 + 3, "one sentence, and the dots of cut=..."
    for part, half in zip(seen_parts({"a": samples, "w": weights.tolist()}), samples.chunk(2), strict=True):
        assert part["w"] == [0.5, 2.0] and torch.equal(part["a"], half)


def test_a_cut_of_one_s_own() -> None:
    """Two sizes in one batch, a constant beside them."""
    real, noise, weights = torch.arange(4.0), torch.arange(8.0), torch.tensor([0.5, 2.0])
    cut = lambda b: [(*pair, b[2]) for pair in zip(b[0].chunk(2), b[1].chunk(2), strict=True)]
    parts = seen_parts((real, noise, weights), cut=cut)
    assert [len(x) for part in parts for x in part] == [2, 4, 2, 2, 4, 2]
    with pytest.raises(mm.GameError, match=r"cut returned 3 micro-batches for parts=2"):
        seen_parts(real, cut=lambda b: [b, b, b])
    with pytest.raises(TypeError, match=r"cut must be a function from a batch .* got 3"):
        seen_parts(real, cut=3)


def test_batches_that_cannot_be_cut_are_refused() -> None:
    game, z = accumulate(mm.zero_sum(payoff), 3), players()
    with pytest.raises(mm.GameError, match="size 8 cannot be cut into 3"):
        game.field(z, batch(0))
    with pytest.raises(mm.GameError, match="no batch to cut"):
        accumulate(mm.zero_sum(lambda x, y: x * y), 2).field((torch.tensor(1.0), torch.tensor(1.0)))
    with pytest.raises(mm.GameError, match="no batch to cut"):
        seen_parts({"rate": 0.5, "scale": torch.tensor(2.0)})


@pytest.mark.parametrize("parts", [0, -1, 1.5, "2", True, None])
def test_bad_parts(parts: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"parts must be an integer >= 1, got {parts!r}")):
        accumulate(mm.zero_sum(payoff), parts)


@pytest.mark.parametrize("wrap", [autocast, lambda game: accumulate(game, 2), data_parallel])
@pytest.mark.parametrize("game", [1.5, payoff, None])
def test_wrappers_go_around_games(wrap: Callable[[Any], Any], game: Any) -> None:
    with pytest.raises(TypeError, match=r"(autocast|accumulate|data_parallel) goes around a game, got .*mm\.Game"):
        wrap(game)


def normed() -> tuple[nn.Module, nn.Module]:
    """Networks whose buffers tell how often they ran, and change what the next run says."""
    torch.manual_seed(0)
    g = nn.Sequential(nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3))
    d = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 1))
    return g.double(), d.double()


GAN = mm.Game(
    lambda g, d, b: softplus(-d(g(b))).mean(), lambda g, d, b: softplus(-d(b + 1)).mean() + softplus(d(g(b))).mean()
)


@pytest.mark.parametrize("name", ["consensus", "sga", "hamiltonian", "cgd"])
def test_products_on_micro_batches_are_no_passes_of_their_own(name: str) -> None:
    """They evaluate the micro-batches again, in the state they were in: the buffers see each of them once."""
    modules, reference = normed(), normed()
    optimizer = BY_NAME[name].of(mm.sgd(0.05))
    info = mm.bind(accumulate(GAN, 2), modules, optimizer).step(batch(0))
    assert info.cost.hvps
    for part in batch(0).chunk(2):
        for loss in GAN.functions:
            loss(*reference, part)
    for module, expected in zip(modules, reference, strict=True):
        torch.testing.assert_close(dict(module.named_buffers()), dict(expected.named_buffers()), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", BY_NAME)
def test_two_micro_batches_are_twice_the_passes(name: str) -> None:
    optimizer = BY_NAME[name].of(mm.sgd(0.05))
    counts = []
    for game in (GAN, accumulate(GAN, 2)):
        modules = normed()
        mm.bind(game, modules, optimizer).step(*[batch(k) for k in range(optimizer.draws)])
        counts.append(int(modules[0][1].num_batches_tracked))
    assert counts[1] == 2 * counts[0] > 0


def test_products_on_micro_batches_see_the_buffers_of_their_pass() -> None:
    """With one step of power iteration per pass, (DF)ᵀu is the mean of what two micro-batches say in turn."""
    modules = normed()
    before = copy.deepcopy(modules)
    game, z = accumulate(GAN, 2).functional(modules)
    found = game.vjp(z, z, batch(0))
    parts = []
    for part in batch(0).chunk(2):
        one, _ = GAN.functional(before)
        parts.append(pytree.tree_leaves(one.vjp(z, z, part)))
        for loss in GAN.functions:
            loss(*before, part)
    mean = [(a + b) / 2 for a, b in zip(*parts, strict=True)]
    torch.testing.assert_close(pytree.tree_leaves(found), mean, rtol=1e-10, atol=1e-12)


def test_products_on_micro_batches_draw_what_their_pass_drew() -> None:
    """Dropout: a product is that of the field that was measured, mask by mask, and leaves the generator alone."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Softplus(), nn.Linear(8, 1)).double()
    game, z = mm.Game(lambda m, b: m(b).square().mean()).functional((net,))
    parts, v = batch(0).chunk(4), tuple({name: x.cos() for name, x in player.items()} for player in z)
    oracle, point = accumulate(game, 4).enter(z)
    torch.manual_seed(1)
    local = oracle.linearize(point, batch(0))
    after = torch.get_rng_state()
    found = [local.jvp(game.enter(v)[1]) for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), after)
    torch.manual_seed(1)
    one = [game.enter(z)[0].linearize(point, part) for part in parts]
    expected = [sum(leaves) / 4 for leaves in zip(*[part.jvp(game.enter(v)[1])[0] for part in one], strict=True)]
    for product in found:
        torch.testing.assert_close(product[0], expected, rtol=1e-10, atol=1e-12)


def test_autocast_rounds_products_and_nothing_else() -> None:
    x, y = torch.randn(4, 8), torch.randn(8, 4)
    seen = []

    def f(x: Tensor, y: Tensor) -> Tensor:
        product = x @ y
        seen.append(product.dtype)
        return product.square().mean()

    exact, game = mm.zero_sum(f), autocast(mm.zero_sum(f))
    loss, field = game.losses((x, y))[0], game.field((x, y))
    assert seen[0] == torch.bfloat16 and loss.dtype == field[0].dtype == torch.float32
    torch.testing.assert_close(field, exact.field((x, y)), rtol=0.05, atol=0.05)
    assert not torch.equal(field[0], exact.field((x, y))[0])
    step = mm.ConsensusOptimization(mm.sgd(0.01))
    assert step.step(game, (x, y), step.init(game, (x, y)))[2].finite


def test_autocast_casts_where_the_players_are() -> None:
    """On another device than theirs it would do nothing, and say nothing; the meta device has none, and says so."""
    (loss,) = autocast(mm.Game(lambda x, b: x(b).sum())).functions
    with pytest.raises(RuntimeError, match="autocast device_type 'meta'"):
        loss(nn.Linear(1, 1, device="meta"), torch.zeros(1, 1))


def test_autocast_refuses() -> None:
    with pytest.raises(ValueError, match=r"dtype must be torch\.bfloat16 or torch\.float16, got torch\.float64"):
        autocast(mm.zero_sum(payoff), torch.float64)
    with pytest.raises(mm.GameError, match="must be a 0-dim tensor, got float"):
        autocast(mm.Game(lambda x: 3.0)).losses((torch.tensor(1.0),))
