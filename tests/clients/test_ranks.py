"""Two gloo ranks: DistributedDataParallel by hand, `transforms.data_parallel`, and one process on the whole."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import minimax as mm
from minimax.transforms import broadcast, data_parallel
from tests.clients.gan import SIZE, batch, loss_d, loss_g, networks

STEPS = 24

pytestmark = pytest.mark.timeout(400)  # two processes start, and import torch, while other tests run

Track = list[dict[str, Tensor]]


def usual_loop(g: nn.Module, d: nn.Module) -> Callable[[dict[str, Tensor]], None]:
    optimizers = [torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.5, 0.999)) for module in (g, d)]

    def step(drawn: dict[str, Tensor]) -> None:
        for loss, optimizer in ((loss_d, optimizers[1]), (loss_g, optimizers[0])):
            optimizer.zero_grad()
            loss(g, d, drawn).backward()
            optimizer.step()

    return step


def bound(g: nn.Module, d: nn.Module, wrap: Callable[[mm.Game], mm.Game]) -> Callable[[dict[str, Tensor]], Any]:
    rule = mm.adam(2e-3, betas=(0.5, 0.999))
    return mm.bind(wrap(mm.Game(loss_g, loss_d)), (g, d), mm.AlternatingGDA(rule, order=(1, 0))).step


def track(modules: Any, step: Callable[[dict[str, Tensor]], Any], part: slice = slice(None)) -> Track:
    """All tensors of both modules after every step, each on a part of its batch."""
    found = []
    for k in range(STEPS):
        step({name: x[part] for name, x in batch(k).items()})
        both = nn.ModuleList([getattr(module, "module", module) for module in modules])
        found.append({name: tensor.clone() for name, tensor in both.state_dict().items()})
    return found


def fresh(norm: type[nn.Module] = nn.LayerNorm, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    return networks(norm)


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dist.init_process_group("gloo", init_method=f"file://{folder}/ranks", rank=rank, world_size=2)
    part = slice(rank * SIZE // 2, (rank + 1) * SIZE // 2)
    found: dict[str, Track] = {}
    wrapped = tuple(map(DistributedDataParallel, fresh()))
    found["ddp"] = track(wrapped, usual_loop(*wrapped), part)
    modules = fresh()
    found["ours"] = track(modules, bound(*modules, data_parallel), part)
    modules = fresh(nn.BatchNorm1d, seed=rank)  # other weights on every rank, as without a seed
    broadcast(modules)
    found["batch norm"] = track(modules, bound(*modules, data_parallel), part)
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Track]]:
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, (folder,), nprocs=2)
        return [torch.load(Path(folder) / f"{rank}.pt") for rank in range(2)]


def test_two_ranks_are_ddp(ranks: list[dict[str, Track]]) -> None:
    for found in ranks:
        torch.testing.assert_close(found["ours"], found["ddp"], rtol=1e-10, atol=1e-10)


def test_two_ranks_are_one_process_on_both_batches(ranks: list[dict[str, Track]]) -> None:
    by_hand, ours = fresh(), fresh()
    alone = track(by_hand, usual_loop(*by_hand))
    for found in (track(ours, bound(*ours, lambda game: game)), ranks[0]["ours"], ranks[1]["ours"]):
        torch.testing.assert_close(found, alone, rtol=1e-10, atol=1e-10)


def test_ranks_stay_equal_bit_for_bit(ranks: list[dict[str, Track]]) -> None:
    """Buffers included: running statistics are the ranks' mean, and every pass of a rank counts."""
    for kind in ("ours", "batch norm"):
        for first, second in zip(*(found[kind] for found in ranks), strict=True):
            assert all(torch.equal(first[name], second[name]) for name in first)
    end = ranks[0]["batch norm"][-1]
    assert end["0.1.num_batches_tracked"] == 2 * STEPS and end["1.3.num_batches_tracked"] == 3 * STEPS
