"""Many runs at once must be the runs, one by one."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils import _pytree as pytree

import minimax as mm
from minimax.optimizers import BY_NAME

SADDLE = mm.zero_sum(lambda x, y: x * y)
ONE = (torch.tensor(1.0), torch.tensor(1.0))


def scsc(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
    return x @ x / 2 + (x * b) @ y - y @ y / 2


def starts(count: int) -> list[Any]:
    generator = torch.Generator().manual_seed(1)
    return [tuple(torch.randn(2, 3, generator=generator, dtype=torch.float64)) for _ in range(count)]


def batch(k: int) -> Tensor:
    return torch.randn(3, generator=torch.Generator().manual_seed(k), dtype=torch.float64)


@pytest.mark.parametrize("name", BY_NAME)
def test_members_play_as_alone(name: str) -> None:
    optimizer, game, members = BY_NAME[name].of(mm.sgd(0.05, momentum=0.2)), mm.zero_sum(scsc), starts(2)
    together = mm.ensemble(game, optimizer, members, batch, steps=3)
    for k, start in enumerate(members):
        alone = mm.solve(game, start, optimizer, batch, steps=3)
        torch.testing.assert_close(together.member(k), alone.players, rtol=1e-9, atol=1e-11)
        assert together.statuses[k] == alone.status
        for column in ("loss_0", "loss_1", "norm"):
            torch.testing.assert_close(
                together.records[column][:, k].tolist(), alone.records[column], rtol=1e-8, atol=1e-9
            )


def test_hyperparameters_per_member() -> None:
    rates, explore = torch.tensor([0.1, 0.3, 0.6]), torch.tensor([1.0, 2.0, 0.5])
    grid = mm.ExtraGradient(
        (mm.sgd(rates), mm.adam(rates, betas=(torch.tensor([0.0, 0.5, 0.9]), 0.9))), explore=explore
    )
    found = mm.ensemble(SADDLE, grid, [ONE] * 3, steps=5)
    for k in range(3):
        beta = (0.0, 0.5, 0.9)[k]
        rate = float(rates[k])
        one = mm.ExtraGradient((mm.sgd(rate), mm.adam(rate, betas=(beta, 0.9))), explore=float(explore[k]))
        torch.testing.assert_close(found.member(k), mm.solve(SADDLE, ONE, one, steps=5).players)


def test_hyperparameters_inside_a_wrapper() -> None:
    grid = mm.Lookahead(mm.AlternatingGDA(mm.sgd(torch.tensor([0.1, 0.4]))))
    found = mm.ensemble(SADDLE, grid, [ONE] * 2, steps=12)
    for k, rate in enumerate((0.1, 0.4)):
        alone = mm.solve(SADDLE, ONE, mm.Lookahead(mm.AlternatingGDA(mm.sgd(rate))), steps=12)
        torch.testing.assert_close(found.member(k), alone.players)


def test_members_stop_one_by_one_as_solve_stops_them() -> None:
    rates, limits = [0.1, 0.6, 1.2, 5.0], mm.Limits(tolerance=1e-3, growth=100)
    found = mm.ensemble(SADDLE, mm.ExtraGradient(mm.sgd(torch.tensor(rates))), [ONE] * 4, steps=80, limits=limits)
    for k, rate in enumerate(rates):
        alone = mm.solve(SADDLE, ONE, mm.ExtraGradient(mm.sgd(rate)), steps=80, limits=limits)
        assert (found.statuses[k].kind, found.statuses[k].step) == (alone.status.kind, alone.status.step)
        if alone.status.ok:
            torch.testing.assert_close(found.member(k), alone.players)
    assert [status.kind for status in found.statuses] == ["budget", "converged", "diverged", "diverged"]
    assert found.diverged.tolist() == [False, False, True, True] and len(found) == 4


def test_a_diverged_member_is_frozen_marked_and_hurts_nobody() -> None:
    game = mm.zero_sum(lambda x, y: x**4 - y**4 + x * y)
    members = [(torch.tensor(0.1), torch.tensor(0.1)), (torch.tensor(30.0), torch.tensor(1.0))]
    found = mm.ensemble(game, mm.SimultaneousGDA(mm.sgd(0.1)), members, steps=50, limits=mm.Limits(growth=math.inf))
    assert [status.kind for status in found.statuses] == ["budget", "diverged"]
    assert "not finite" in str(found.statuses[1]) and found.statuses[1].step < 10
    assert all(torch.isfinite(leaf).all() for leaf in found.players)
    torch.testing.assert_close(
        found.member(0), mm.solve(game, members[0], mm.SimultaneousGDA(mm.sgd(0.1)), steps=50).players
    )
    table = found.history
    assert len(table) == 100 and set(table.columns) == {"step", "member", "loss_0", "loss_1", "norm", "verdict"}
    last = table[table.step == 50].set_index("member")
    assert last.verdict.tolist() == ["running", "diverged"]


def test_records_every_so_many_steps_and_the_last() -> None:
    found = mm.ensemble(SADDLE, mm.ExtraGradient(mm.sgd(0.1)), [ONE] * 2, steps=10, every=4)
    assert found.records["step"].tolist() == [4, 8, 10] and found.records["norm"].shape == (3, 2)


def test_own_batches() -> None:
    game, members = mm.zero_sum(scsc), starts(2)

    def pair(k: int) -> Tensor:
        return torch.stack([batch(k), batch(k + 100)])

    found = mm.ensemble(game, mm.SimultaneousGDA(mm.sgd(0.1)), members, pair, steps=3, own_batches=True)
    for k in range(2):
        alone = mm.solve(
            game, members[k], mm.SimultaneousGDA(mm.sgd(0.1)), lambda step, k=k: batch(step + 100 * k), steps=3
        )
        torch.testing.assert_close(found.member(k), alone.players)


def test_batches_that_run_out_and_change_shape() -> None:
    game = mm.zero_sum(lambda x, y, b: x * y * b.mean())
    batches = [torch.ones(4), torch.ones(4), torch.ones(3)]
    found = mm.ensemble(game, mm.ExtraGradient(mm.sgd(0.3)), [ONE] * 2, batches, steps=9)
    assert found.statuses[0].kind == "exhausted" and found.statuses[0].step == 3
    torch.testing.assert_close(
        found.member(1), mm.solve(game, ONE, mm.ExtraGradient(mm.sgd(0.3)), batches, steps=9).players
    )


def test_schedules_are_asked_at_every_step() -> None:
    optimizer = mm.SimultaneousGDA(mm.sgd(lambda step: 0.5 / (1 + step)))
    found = mm.ensemble(SADDLE, optimizer, [ONE] * 2, steps=6)
    torch.testing.assert_close(found.member(0), mm.solve(SADDLE, ONE, optimizer, steps=6).players)


def test_modules_are_read_and_can_be_loaded() -> None:
    def payoff(x: nn.Module, y: nn.Module, b: Tensor) -> Tensor:
        return (x(b) * y(b)).mean() + x(b).square().mean() - y(b).square().mean()

    members = [(nn.Linear(2, 1), nn.Linear(2, 1)) for _ in range(3)]
    before = [leaf.clone() for pair in members for module in pair for leaf in module.parameters()]
    data, optimizer = torch.randn(8, 2), mm.AlternatingGDA(mm.adam(1e-2))
    found = mm.ensemble(mm.zero_sum(payoff), optimizer, members, lambda k: data, steps=5)
    after = [leaf for pair in members for module in pair for leaf in module.parameters()]
    assert all(map(torch.equal, before, after))
    mm.solve(mm.zero_sum(payoff), members[1], optimizer, lambda k: data, steps=5)
    loaded = found.member(1, into=(nn.Linear(2, 1), nn.Linear(2, 1)))
    for module, alone in zip(loaded, members[1], strict=True):
        torch.testing.assert_close(module.state_dict(), alone.state_dict())


def test_compiled_ensembles_play_the_same(quick: object) -> None:
    grid = mm.ExtraGradient(mm.sgd(torch.tensor([0.1, 0.4, 9.0])))
    fast, slow = (mm.ensemble(SADDLE, each, [ONE] * 3, steps=6) for each in (mm.compiled(grid), grid))
    torch.testing.assert_close(fast.players, slow.players)
    assert fast.statuses == slow.statuses


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="number of members"):
        mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(0.1)), [])
    with pytest.raises(ValueError, match="steps"):
        mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(0.1)), [ONE], steps=0)
    with pytest.raises(ValueError, match="3 values for 2 members"):
        mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(torch.ones(3))), [ONE] * 2)
    with pytest.raises(RuntimeError, match="from_torch cannot run under vmap"):
        mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.from_torch(torch.optim.SGD, lr=0.1)), [ONE] * 2)


@pytest.mark.parametrize(
    "other, sentence",
    [
        (
            (torch.ones(3), torch.ones(2)),
            r"players\[0\] of members\[1\] has shape \(3,\).* members\[0\] has shape \(2,\)",
        ),
        (
            (torch.ones(2), torch.ones(2, dtype=torch.float64)),
            r"players\[1\] of members\[1\] has .*float64 on cpu where",
        ),
        ((torch.ones(2), torch.ones(2, device="meta")), r"players\[1\] of members\[1\] has .* on meta where"),
        ((torch.ones(2),), r"members\[1\] holds players\[0\] where members\[0\] holds players\[0\], players\[1\]"),
        ((torch.ones(2), {"w": torch.ones(2)}), r"members\[1\] holds players\[0\], players\[1\]\['w'\] where"),
    ],
)
def test_members_that_cannot_be_stacked(other: Any, sentence: str) -> None:
    members = [(torch.ones(2), torch.ones(2)), other]
    with pytest.raises(ValueError, match=sentence):
        mm.ensemble(mm.zero_sum(lambda x, y: x @ y), mm.SimultaneousGDA(mm.sgd(0.1)), members)


def test_modules_of_different_widths() -> None:
    game = mm.zero_sum(lambda x, y, b: x(b).mean() * y(b).mean())
    members = [(nn.Linear(2, width), nn.Linear(2, 1)) for width in (1, 3)]
    with pytest.raises(ValueError, match=r"players\[0\]\['weight'\] of members\[1\] has shape \(3, 2\)"):
        mm.ensemble(game, mm.SimultaneousGDA(mm.sgd(0.1)), members, lambda k: torch.ones(4, 2))


@pytest.mark.parametrize("members", [torch.ones(3, 2), {"a": ONE}, (ONE for _ in range(2)), None, 3])
def test_members_are_a_list(members: Any) -> None:
    with pytest.raises(TypeError, match="members must be a list of players, got"):
        mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(0.1)), members)


def test_members_that_are_no_players() -> None:
    for members in (ONE, [None], [3.0]):
        with pytest.raises(TypeError, match=r"members\[0\] must be a tuple or dict of players, got"):
            mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(0.1)), members)
    with pytest.raises(mm.GameError, match=r"members\[0\]: players\[1\] holds a float; players hold tensors only"):
        mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(0.1)), [(ONE[0], 3.0)])


def test_meta_players_hold_no_numbers() -> None:
    meta = tuple(x.to("meta") for x in ONE)
    for play in (
        lambda: mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(0.1)), [meta]),
        lambda: mm.solve(SADDLE, meta, mm.SimultaneousGDA(mm.sgd(0.1))),
        lambda: next(mm.iterate(SADDLE, meta, mm.SimultaneousGDA(mm.sgd(0.1)))),
    ):
        with pytest.raises(mm.GameError, match="meta"):
            play()


def test_own_batches_have_a_row_for_every_member() -> None:
    game, optimizer = mm.zero_sum(lambda x, y, b: x * y * b.mean()), mm.SimultaneousGDA(mm.sgd(0.1))
    for batch in (torch.ones(3, 4), torch.tensor(1.0), 5.0):
        with pytest.raises(
            ValueError, match="own_batches needs batches of tensors with a first dimension of 2 members"
        ):
            mm.ensemble(game, optimizer, [ONE] * 2, lambda k, batch=batch: batch, own_batches=True)
    with pytest.raises(ValueError, match="own_batches must be True or False, got 1"):
        mm.ensemble(game, optimizer, [ONE] * 2, lambda k: torch.ones(2, 4), own_batches=1)


def test_history_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    found = mm.ensemble(SADDLE, mm.SimultaneousGDA(mm.sgd(0.1)), [ONE], steps=2)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install pandas, or read ensemble.records"):
        found.history  # noqa: B018


def test_sentences_are_those_of_solve() -> None:
    """All but that of a NaN, for which solve looks where it is."""
    rates, limits = [0.1, 0.6, 5.0], mm.Limits(tolerance=1e-3, growth=100)
    found = mm.ensemble(SADDLE, mm.ExtraGradient(mm.sgd(torch.tensor(rates))), [ONE] * 3, steps=80, limits=limits)
    for k, rate in enumerate(rates):
        alone = mm.solve(SADDLE, ONE, mm.ExtraGradient(mm.sgd(rate)), steps=80, limits=limits)
        assert found.statuses[k] == alone.status
        torch.testing.assert_close(found.member(k), alone.players)


def test_players_keep_their_structure() -> None:
    game = mm.zero_sum(lambda x, y: x["a"] @ y)
    found = mm.ensemble(
        game, mm.ExtraGradient(mm.sgd(0.1)), [{"x": {"a": torch.ones(2)}, "y": torch.ones(2)}] * 4, steps=2
    )
    assert [leaf.shape for leaf in pytree.tree_leaves(found.players)] == [(4, 2)] * 2
    assert found.member(3)["x"]["a"].shape == (2,)


# ------------------------------------------------------------------------------------------------------------- modules


def normed(seed: int, out: int, bias: float, mode: bool = True) -> nn.Module:
    """A network with statistics and a frozen parameter of its own."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, out))
    net[3].bias.data.fill_(bias)
    net[3].bias.requires_grad_(False)
    with torch.no_grad():
        net[1].running_mean.fill_(bias)
    return net.train(mode)


def rivals(seed: int, mode: bool = True) -> tuple[nn.Module, nn.Module]:
    return normed(seed, 2, 0.3 * seed, mode), normed(seed + 10, 1, -0.2 * seed, mode)


def critic_loss(g: nn.Module, d: nn.Module, b: torch.Tensor) -> torch.Tensor:
    return softplus(-d(b + 1)).mean() + softplus(d(g(b))).mean()


def generator_loss(g: nn.Module, d: nn.Module, b: torch.Tensor) -> torch.Tensor:
    return softplus(-d(g(b))).mean()


PENALISED = mm.Game(generator_loss, lambda g, d, b: critic_loss(g, d, b) + mm.penalties.r1(d, b + 1))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "game, optimizer",
    [
        (mm.Game(generator_loss, critic_loss), mm.AlternatingGDA(mm.sgd(0.05, momentum=0.9))),
        (mm.Game(generator_loss, critic_loss), mm.ConsensusOptimization(mm.sgd(0.05))),
        (PENALISED, mm.ExtraGradient(mm.sgd(0.05))),
    ],
    ids=["alternating", "consensus", "penalised"],
)
@pytest.mark.usefixtures("float64")
def test_every_member_has_buffers_and_frozen_parameters_of_its_own(
    game: mm.Game, optimizer: Any, training: bool
) -> None:
    batch = lambda k: torch.randn(6, 2, generator=torch.Generator().manual_seed(k))
    found = mm.ensemble(game, optimizer, [rivals(seed, training) for seed in range(3)], batch, steps=4)
    for seed in range(3):
        alone = rivals(seed, training)
        mm.solve(game, alone, optimizer, batch, steps=4)
        member = found.member(seed, into=rivals(7, training))
        for ours, theirs in zip(member, alone, strict=True):
            torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("compile", [False, True])
def test_a_loss_that_ignores_its_player_is_refused(compile: bool) -> None:
    game = mm.Game(lambda x, y: x * y, lambda x, y: x**2)
    with pytest.raises(mm.GameError, match=r"the loss of players\[1\] does not depend on that player"):
        mm.ensemble(game, mm.SimultaneousGDA(mm.sgd(0.1)), [ONE] * 2, compile=compile)


def test_members_whose_layers_differ_are_refused() -> None:
    """All would run the layers of the first."""
    game, optimizer = mm.Game(generator_loss, critic_loss), mm.SimultaneousGDA(mm.sgd(0.1))
    with pytest.raises(ValueError, match=r"modules of members\[1\] are built unlike those of members\[0\]"):
        mm.ensemble(game, optimizer, [rivals(0), rivals(1, mode=False)], lambda k: torch.ones(6, 2))


def test_several_moves_a_step_need_no_batches() -> None:
    game, z = mm.zero_sum(lambda x, y: x * y + y**2 / 10), (torch.tensor(1.0), torch.tensor(0.5))
    optimizer = mm.AlternatingGDA(mm.sgd(0.1), steps=(1, 5))
    assert optimizer.draws == 5
    found = mm.ensemble(game, optimizer, [z] * 2, steps=7)
    alone = mm.solve(game, z, optimizer, steps=7)
    torch.testing.assert_close(found.member(1), alone.players)


@pytest.mark.parametrize("compile", [False, True])
def test_what_a_loss_holds_beside_the_players_leaves_no_graph_behind(compile: bool, quick: object) -> None:
    """A layer whose parameters ask for gradients; the players are those of a step after another."""
    layer, z = nn.Linear(2, 2), (torch.ones(2), torch.ones(2))
    game, optimizer = mm.zero_sum(lambda x, y: layer(x) @ y), mm.ExtraGradient(mm.sgd(0.1))
    played = mm.ensemble(game, optimizer, [z, z], steps=3, compile=compile)
    alone = mm.solve(game, z, optimizer, steps=3, check=False).players
    for together, one in zip(played.players, alone, strict=True):
        assert not together.requires_grad
        torch.testing.assert_close(together[0], one.detach())
