"""Autocast, micro-batches and ranks: every optimizer must play as on one whole batch."""

import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.penalties import consensus
from minimax.scaling import accumulate, autocast, broadcast, data_parallel

STEPS, BATCH = 3, 8


def payoff(x: dict, y: dict, batch: Tensor) -> Tensor:
    u, v = batch @ x["w"] + x["b"], batch @ y["w"] + y["b"]
    return (u**2 / 4 + u.sin() * v - v**2 / 4).mean()


def players() -> tuple[dict, dict]:
    generator = torch.Generator().manual_seed(3)
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
    with pytest.raises(mm.GameError, match="data_parallel on the outside"):
        end(mm.ConsensusOptimization(mm.sgd(0.05)), whole)
    alone = torch.full((2,), float(rank))
    module = nn.Linear(1, 1)
    nn.init.constant_(module.weight, float(rank))
    found["broadcast"] = [*broadcast((alone,)), broadcast((module,))[0].weight.detach()]
    normed = nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1)).double()
    broadcast((normed,))
    trainer = mm.bind(
        data_parallel(mm.Game(lambda m, b: (m(b) ** 3).mean())), (normed,), mm.SimultaneousGDA(mm.sgd(0.1))
    )
    trainer.step(batch(0)[rank * half : (rank + 1) * half])
    found["buffers"] = [normed[1].running_mean, *trainer.players[0].values()]
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, list[Tensor]]]:
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, (folder,), nprocs=2)
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(2)]


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
        assert not any(tensor.any() for tensor in found["broadcast"])
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


def test_batches_that_cannot_be_cut_are_refused() -> None:
    game, z = accumulate(mm.zero_sum(payoff), 3), players()
    with pytest.raises(mm.GameError, match="size 8 cannot be cut into 3"):
        game.field(z, batch(0))
    with pytest.raises(mm.GameError, match="no batch to cut"):
        accumulate(mm.zero_sum(lambda x, y: x * y), 2).field((torch.tensor(1.0), torch.tensor(1.0)))
    with pytest.raises(ValueError, match="parts"):
        accumulate(game, 0)


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
