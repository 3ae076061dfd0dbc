import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.data import sprites, stream
from benchmarks.quality import disentanglement
from benchmarks.quality.disentanglement import concentration, dci, factor_score, mig, sap, scores

GRID = torch.cartesian_prod(*map(torch.arange, (4, 3, 5, 6)))  # 360 rows


def noise(rows: int, numbers: int, seed: int = 100) -> Tensor:
    return torch.randn(rows, numbers, generator=stream(seed))


def turned(factors: Tensor, first: int = 0, second: int = 1) -> Tensor:
    """Two factors, which have as many values, turned by 45 degrees."""
    codes = factors.double().clone()
    a, b = factors[:, first].double(), factors[:, second].double()
    codes[:, first], codes[:, second] = (a + b) / math.sqrt(2), (a - b) / math.sqrt(2)
    return codes


@settings(max_examples=10)
@given(st.permutations(range(4)), st.integers(0, 10_000))
def test_mig_of_the_factors_is_one_in_any_order_and_by_any_increasing_functions(order: list[int], seed: int) -> None:
    """Not only at equal distances: values are kept apart wherever they lie."""
    steps = [torch.rand(7, generator=stream(seed, k)).add(0.01).cumsum(0) ** 3 for k in range(4)]
    codes = torch.stack([step[column] for step, column in zip(steps, GRID.T, strict=True)], dim=1)
    assert mig(codes[:, order], GRID) == pytest.approx(1, abs=1e-9)


def test_mig_of_a_pair_turned_by_45_degrees_is_zero() -> None:
    pair = torch.cartesian_prod(torch.arange(7), torch.arange(7))
    assert mig(turned(pair), pair) == pytest.approx(0, abs=1e-12)
    assert mig(turned(sprites.factors()), sprites.factors()) == pytest.approx(3 / 5, abs=1e-12)


def test_mig_by_hand() -> None:
    """One number tells half of four values, log 2 of log 4; another h(1/8) - log(2)/4, as it is 1 for half of one."""
    factor = torch.arange(4).repeat(2)
    half, rare = factor // 2, torch.tensor([0, 0, 0, 0, 0, 0, 0, 1])
    told = math.log(8) / 8 + 7 / 8 * math.log(8 / 7) - math.log(2) / 4
    assert mig(torch.stack((half, rare), dim=1), factor[:, None]) == pytest.approx(0.5 - told / math.log(4))


def test_numbers_of_many_values_are_binned_as_by_disentanglement_lib() -> None:
    z = noise(500, 1)[:, 0].double().numpy()
    theirs = np.digitize(z, np.histogram(z, 20)[1][:-1]) - 1
    assert (disentanglement.binning(z) == theirs).all()


def test_noise_tells_nothing() -> None:
    factors = sprites.factors()
    found = scores(noise(len(factors), 6), factors)
    assert found["mig"] < 0.01 and found["sap"] < 0.03
    assert found["dci_disentanglement"] < 0.01 and found["dci_completeness"] < 0.01
    chance = np.mean([1 / n for n in sprites.FACTORS.values()])
    assert found["dci_informativeness"] == pytest.approx(chance, abs=0.04)
    assert found["factor_score"] < 1 / 5 + 0.06


def test_the_factors_themselves_score_what_there_is() -> None:
    found = scores(GRID, GRID)
    assert found["mig"] == pytest.approx(1) and found["factor_score"] == 1.0
    assert [found[f"dci_{name}"] for name in ("disentanglement", "completeness")] == pytest.approx([1, 1], abs=1e-6)
    assert found["dci_informativeness"] == 1.0
    assert {metric.name for metric in disentanglement.declared("mig")} == found.keys()


def test_sap_of_two_coins_is_what_chance_leaves() -> None:
    """The right number is always right, the other one half of the time."""
    coins = torch.cartesian_prod(torch.arange(2), torch.arange(2)).repeat(300, 1)
    assert sap(coins, coins) == pytest.approx(0.5, abs=0.06)
    assert sap(coins[:, [0, 0]], coins) == pytest.approx(0, abs=1e-12)


def test_numbers_that_are_there_twice_are_less_complete() -> None:
    """Each tells one factor, but a factor is told by two: 1 - log 2 / log 8, as the trees use either."""
    found = dci(torch.cat((GRID, GRID), dim=1), GRID)
    assert found["disentanglement"] == pytest.approx(1, abs=1e-6)
    assert found["completeness"] == pytest.approx(1 - math.log(2) / math.log(8), abs=0.06)
    assert concentration(np.array([[0.5, 0.5], [1.0, 0.0], [2.0, 0.0]])) == pytest.approx(3 / 4)


def test_numbers_that_never_vary_get_no_vote() -> None:
    constant = torch.zeros(len(GRID), 1)
    assert factor_score(torch.cat((constant, GRID, constant + 3), dim=1), GRID) == 1.0
    idle = torch.cat((GRID * 1.0, 1e-3 * noise(len(GRID), 2)), dim=1)
    assert scores(idle, GRID)["factor_score"] == 1.0
    assert factor_score(constant.expand(-1, 3), GRID) == 0.0


def test_factor_score_of_a_turned_pair_is_a_coin() -> None:
    pair = torch.cartesian_prod(torch.arange(7), torch.arange(7))
    assert factor_score(turned(pair), pair) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("seed", [100, 101])
def test_order_scale_and_sign_of_the_numbers_do_not_matter(seed: int) -> None:
    codes = GRID.double() @ torch.randn(4, 4, generator=stream(seed), dtype=torch.float64)
    factor = torch.tensor([1e-3, -20.0, 1.0, -0.5], dtype=torch.float64)
    order = torch.randperm(4, generator=stream(seed, 1))
    other = (codes * factor)[:, order]
    for score in (mig, sap, factor_score):
        assert score(other, GRID) == pytest.approx(score(codes, GRID), abs=1e-6), score
    one, two = dci(codes, GRID), dci(other, GRID)
    assert two == pytest.approx(one, abs=0.05)  # by the chance of the trees


def test_what_cannot_be_scored_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"^codes \(3, 4\) and factors \(360, 4\): give [^\n]*\.$"):
        mig(noise(3, 4), GRID)
    with pytest.raises(ValueError, match=r"^codes of 1 number cannot be scored[^\n]*\.$"):
        sap(noise(360, 1), GRID)
    with pytest.raises(ValueError, match=r"^factor 1 has one value: leave it out\.$"):
        dci(noise(360, 4), GRID * torch.tensor([1, 0, 1, 1]))
    lost = noise(360, 4).where(GRID != 3, math.nan)
    with pytest.raises(ValueError, match="not finite"):
        factor_score(lost, GRID)
    assert all(math.isnan(value) for value in scores(lost, GRID).values())
