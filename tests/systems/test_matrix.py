"""Four methods on the systems that people train with: each cell is the loop written by hand, or refused in a sentence.

The cells of a system are one test, as they share what is dear (two processes, a compilation). `ELSEWHERE` names the
tests that hold the remaining ones; `python -m tests.systems.test_matrix` compiles every critic under every method.
"""

import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.utils import _pytree as pytree

import minimax as mm
from minimax import penalties, tree
from minimax.transforms import accumulate, autocast, data_parallel, shard
from tests.systems.loops import METHODS, RATE, SIZE, STEPS, batch, by_hand, logistic_d, logistic_g, networks, ours
from tests.systems.loops import tensors as tensors_of

pytestmark = [pytest.mark.usefixtures("float64"), pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "compiled, consensus and extragradient": "tests/test_compile.py::test_buffers_play_like_eager",
    "compiled, fused attention": "tests/test_derivatives.py::test_compiled_attention_says_the_same",
    "reentrant checkpoints": "tests/clients/test_checkpointing.py::test_second_order_methods_refuse_reentrant_ones",
    "micro-batches, BatchNorm": "tests/clients/test_micro_batches.py::test_micro_batches_and_moving_average",
    "two ranks, every optimizer": "tests/transforms/test_averaged.py::test_two_ranks_play_as_one_process",
}
FUSED = r"no derivative of that order for scaled_dot_product\w*.*: call it within .*sdpa_kernel\(SDPBackend.MATH\)"


def close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-12) -> None:
    """All parameters and buffers, in order: critics that are written otherwise have other names for them."""
    torch.testing.assert_close(list(found.values()), list(expected.values()), rtol=tolerance, atol=tolerance)


def close_or_refused(play: Callable[[], dict[str, Tensor]], expected: dict[str, Tensor]) -> None:
    """Torch 2.13 composes fused attention where its second derivative is asked for, a later one has none."""
    try:
        found = play()
    except mm.GameError as error:
        assert re.search(FUSED, str(error))
    else:
        close(found, expected)


@pytest.mark.parametrize("cell", ELSEWHERE)
def test_the_other_cells_are_where_the_table_says(cell: str) -> None:
    file, name = ELSEWHERE[cell].split("::")
    assert f"def {name}(" in (ROOT / file).read_text()


@pytest.mark.parametrize("method", METHODS)
def test_checkpoints_attention_and_micro_batches(method: str) -> None:
    alone = by_hand(method, "plain")
    close(ours(method, "checkpointed"), alone)
    close(ours(method, "plain", lambda game: accumulate(game, 4)), alone)
    composed = by_hand(method, "attention")
    close(ours(method, "math attention"), composed)
    if method == "extragradient":
        close(ours(method, "fused attention"), composed)
    else:
        close_or_refused(lambda: ours(method, "fused attention"), composed)


@pytest.mark.parametrize("method", METHODS)
def test_bfloat16_bit_for_bit(method: str) -> None:
    torch.set_default_dtype(torch.float32)
    close(ours(method, "batch norm", autocast), by_hand(method, "batch norm", cast=True), 0)


# -------------------------------------------------------------------------------------------------------- two ranks


def end(method: str, part: slice, critic: str, optimizer: mm.GameOptimizer | None = None) -> dict[str, Tensor]:
    """Where minimax ends with sharded modules: whole tensors again."""
    modules = shard(networks(critic))
    held = sum(parameter.to_local().numel() for module in modules for parameter in module.parameters())
    whole = sum(parameter.numel() for module in modules for parameter in module.parameters())
    assert held < 0.6 * whole, "a rank keeps its part only"
    trainer = mm.bind(data_parallel(METHODS[method].game), modules, optimizer or METHODS[method].optimizer, ema=0.5)
    for k in range(STEPS):
        trainer.step({name: value[part] for name, value in batch(k).items()})
        trainer.load_state_dict(trainer.state_dict())
    trainer.averaged()
    return {name: tree.gathered(value) for name, value in tensors_of(modules).items()}


def told(play: Callable[[], Any]) -> str:
    try:
        play()
    except mm.GameError as error:
        return str(error)
    return "nothing"


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    warnings.simplefilter("error")
    dist.init_process_group("gloo", init_method=f"file://{folder}/ranks", rank=rank, world_size=2)
    part = slice(rank * SIZE // 2, (rank + 1) * SIZE // 2)
    found: dict[str, Any] = {}
    both = lambda game: data_parallel(accumulate(game, 2))
    for method in METHODS:
        found[f"{method}, batch norm"] = ours(method, "batch norm", data_parallel, part)
        with mock.patch.object(dist, "all_reduce", side_effect=dist.all_reduce) as calls:
            found[f"{method}, accumulated"] = ours(method, "plain", both, part)
        found[f"{method}, all-reduces"] = calls.call_count
        found[f"{method}, sharded"] = end(method, part, "batch norm")
    found["clipped adam, sharded"] = end("r1", part, "plain", CLIPPED)
    play = lambda modules, wrap=data_parallel, **how: told(
        lambda: mm.bind(wrap(METHODS["r1"].game), modules, how.pop("optimizer", CLIPPED), **how).step(batch(0))
    )
    mesh = init_device_mesh("cpu", (2,))
    found["said"] = {
        "wrapped in FSDP": play(tuple(fully_shard(module, mesh=mesh) for module in networks("plain"))),
        "not averaged": play(shard(networks("plain")), wrap=lambda game: game),
        "flattened": play(shard(networks("plain")), optimizer=mm.CompetitiveGradientDescent(mm.sgd(RATE))),
        "compiled": play(shard(networks("plain")), compile=True),
    }
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


CLIPPED = mm.AlternatingGDA(mm.clipped(mm.adam(1e-2), norm=0.1), order=(1, 0))
SAID = {
    "wrapped in FSDP": r"players\[0\] is wrapped in FSDPSequential, .*data_parallel\(game\).*transforms\.shard",
    "not averaged": r"sharded over ranks, and the game is not: play transforms\.data_parallel\(game\)",
    "flattened": r"flat vectors, which torch cannot do to sharded ones: leave out transforms\.shard",
    "compiled": r"torch\.compile cannot gather sharded players: leave out compile",
}


def test_two_ranks() -> None:
    """A critic with BatchNorm called twice, micro-batches within ranks under one all-reduce, and sharded parameters."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, (folder,), nprocs=2)
        ranks = [torch.load(Path(folder) / f"{rank}.pt") for rank in range(2)]
    for method in METHODS:
        normed, alone = by_hand(method, "batch norm", parts=2, apart=True), by_hand(method, "plain")
        for found in ranks:
            close(found[f"{method}, batch norm"], normed)
            close(found[f"{method}, sharded"], normed)
            close(found[f"{method}, accumulated"], alone)
            assert found[f"{method}, all-reduces"] == 1 + STEPS * 2, "one at the start, and one an evaluation"
    for (name, first), second in zip(ranks[0].items(), ranks[1].values(), strict=True):
        if name == "said":
            for case, sentence in SAID.items():
                assert re.search(sentence, first[case]) and first[case] == second[case], first[case]
        else:
            torch.testing.assert_close(first, second, rtol=0, atol=0)
    modules = networks("plain")
    trainer = mm.bind(METHODS["r1"].game, modules, CLIPPED)
    for k in range(STEPS):
        trainer.step(batch(k))
    close(ranks[0]["clipped adam, sharded"], tensors_of(modules), 1e-10)  # the norm is that of all shards


# --------------------------------------------------------------------------------------------------------- compiled


def every_penalty(g: Any, d: Any, b: dict[str, Tensor]) -> Tensor:
    real, fake, coefficient = b["real"], g(b["noise"]), b["coefficient"]
    terms = [
        penalties.r1(d, real),
        penalties.r2(d, fake),
        penalties.wgan_gp(d, real, fake, coefficient),
        penalties.zero_centered(d, real, fake, coefficient),
        penalties.dragan(d, real, b["real"].flip(0).sigmoid()),
        penalties.roth(d, real, fake),
    ]
    return logistic_d(g, d, b) + sum((0.3 + 0.1 * k) * term for k, term in enumerate(terms))


@pytest.mark.slow
def test_every_penalty_compiled(quick: object) -> None:
    """Through BatchNorm in training mode in G, spectral norm in D: the whole alternating step in one graph."""
    ends = []
    for compile in (False, True):
        modules = networks("batch norm")[0], networks("spectral norm")[1]
        trainer = mm.bind(mm.Game(logistic_g, every_penalty), modules, METHODS["r1"].optimizer, compile=compile)
        for k in range(2):
            trainer.step(batch(k))
        ends.append(tensors_of(modules))
    close(*ends)


def test_checkpoints_are_refused_where_torch_func_goes() -> None:
    refusal = r"activation checkpoint .*: leave the checkpoint out .*, or play without compile"
    with pytest.raises(mm.GameError, match=refusal):
        mm.ensemble(METHODS["r1"].game, METHODS["r1"].optimizer, [networks("checkpointed")], batch, steps=1)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_fused_attention_in_an_ensemble_is_refused_in_the_same_words() -> None:
    def together(critic: str) -> dict[str, Tensor]:
        r1 = METHODS["r1"]
        found = mm.ensemble(r1.game, r1.optimizer, [networks(critic)], batch, steps=1)
        return {str(k): leaf for k, leaf in enumerate(pytree.tree_leaves(found.players))}

    close_or_refused(lambda: together("fused attention"), together("math attention"))


def huber(x: Tensor, y: Tensor) -> Tensor:
    return torch.nn.functional.huber_loss(x * y, y.sin())


def test_operations_without_forward_derivatives(quick: object) -> None:
    """Eager play needs none; members take two backward passes instead, and a compiled game is played uncompiled."""
    game = mm.Game(huber, lambda x, y: y.square().sum() - huber(x, y))
    z, optimizer = (torch.tensor([0.3, 0.8]), torch.tensor([0.5, -0.2])), mm.LOLA(mm.sgd(0.1))
    alone = mm.solve(game, z, optimizer, steps=2).players
    with pytest.warns(UserWarning, match="no forward-mode derivative of huber_loss_backward: two backward passes"):
        members = mm.ensemble(game, optimizer, [z], steps=2).players
    torch.testing.assert_close(tuple(player[0] for player in members), alone, rtol=1e-12, atol=1e-14)
    with pytest.warns(UserWarning, match="huber_loss_backward: its steps are not compiled") as seen:
        found = mm.solve(game, z, optimizer, steps=3, compile=True).players
    assert len([one for one in seen if "not compiled" in str(one.message)]) == 1
    torch.testing.assert_close(found, mm.solve(game, z, optimizer, steps=3).players, rtol=0, atol=0)


def compile_all() -> None:
    """Print how far every method's compiled steps are from the loop by hand, with every critic. Takes minutes."""
    torch.set_default_dtype(torch.float64)
    for critic, written in (("batch norm",) * 2, ("spectral norm",) * 2, ("math attention", "attention")):
        for method in METHODS:
            torch._dynamo.reset()
            found, expected = ours(method, critic, compile=True), by_hand(method, written)
            pairs = zip(found.values(), expected.values(), strict=True)
            print(f"{critic:15} {method:15} {max(float((a - b).abs().max()) for a, b in pairs):.1e}", flush=True)


if __name__ == "__main__":
    compile_all()
