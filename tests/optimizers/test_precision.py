"""Players in half precision, and of mixed dtypes: every leaf is moved in its own, linear algebra is done in float32."""

from typing import Any

import pytest
import torch

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.testing._compare import close, shapes
from minimax.testing._scenes import play, zero_sum_scene

HALF = {torch.float16: 0.02, torch.bfloat16: 0.1}
DAMPED: dict[str, Any] = {name: {"damping": 0.5} for name in ("stackelberg", "follow-the-ridge")}  # well conditioned


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("rule", [mm.sgd(0.05), mm.adam(0.01, betas=(0.5, 0.9), eps=1e-3)], ids=["sgd", "adam"])
def test_half_precision_plays_like_double(name: str, rule: mm.Rule, dtype: torch.dtype) -> None:
    optimizer = BY_NAME[name].of(rule, **DAMPED.get(name, {}))
    half, double = zero_sum_scene(dtype), zero_sum_scene()
    players, state, _ = play(optimizer, half, 4)
    assert shapes(players) == shapes(half.players)
    assert shapes(state) == shapes(optimizer.init(half.game, half.players))
    assert close(players, play(optimizer, double, 4)[0], HALF[dtype])


def mixed() -> tuple[mm.Game, Any]:
    """Two players whose first leaf is narrow and whose second is not; they do not meet."""
    game = mm.Game(
        lambda x, y: (x["narrow"] ** 2).sum() + (x["wide"].sin() * y["wide"].detach()).sum(),
        lambda x, y: (y["narrow"] ** 2).sum() + (y["wide"] ** 3 * x["wide"].detach()).sum(),
    )
    wide = torch.tensor([0.3, 0.7], dtype=torch.float64)
    return game, tuple({"narrow": torch.ones(2, dtype=torch.float32) * k, "wide": wide * k} for k in (1.0, 2.0))


RATES = {
    "tensor": lambda rate: torch.tensor(rate, dtype=torch.float64),
    "schedule": lambda rate: lambda step: torch.tensor(rate, dtype=torch.float64),
    "linear": lambda rate: mm.schedules.linear(rate, rate, 3),
}
KINDS = {
    "sgd": lambda rate: mm.sgd(rate(0.1), momentum=rate(0.3), weight_decay=rate(0.7)),
    "rmsprop": lambda rate: mm.rmsprop(rate(0.1), alpha=rate(0.9)),
    "adam": lambda rate: mm.adam(rate(0.1), betas=(rate(0.3), rate(0.9)), weight_decay=rate(0.7)),
}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [mm.SimultaneousGDA, mm.ExtraGradient, mm.GoldenRatio])
def test_rates_are_not_rounded_to_another_leafs_dtype(make: type[mm.Ruled], kind: str, rate: str) -> None:
    """0.1 in float32 is 0.100000001490116; the float64 leaf must not see that."""
    game, z = mixed()

    def end(rule: mm.Rule) -> Any:
        players, optimizer = z, make(rule)
        state = optimizer.init(game, players)
        for _ in range(3):
            players, state, _ = optimizer.step(game, players, state)
        return players

    found, expected = end(KINDS[kind](RATES[rate])), end(KINDS[kind](lambda number: number))
    for player, other in zip(found, expected, strict=True):
        torch.testing.assert_close(player["wide"], other["wide"], rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(player["narrow"], other["narrow"])
