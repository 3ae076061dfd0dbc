import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.data import Ring, stream
from benchmarks.quality import modes


def test_a_perfect_ring() -> None:
    scores = modes.report(Ring().sample(stream(0), 20_000), Ring())
    assert (scores["modes"], scores["fair_modes"]) == (8, 8)
    assert scores["share"] == pytest.approx(1 - math.exp(-4.5), abs=0.004)
    # N samples of K even modes have E[KL] = (K - 1) / 2N, and a quarter of that in JSD.
    assert 0 < scores["reverse_kl"] < 5 * 7 / 40_000
    assert scores["mode_jsd"] == pytest.approx(scores["reverse_kl"] / 4, rel=0.05)


def test_a_ring_that_lost_one_mode() -> None:
    samples = Ring().means()[:7].repeat(10, 1)
    scores = modes.report(samples, Ring())
    assert (scores["modes"], scores["fair_modes"], scores["share"]) == (7, 7, 1)
    assert scores["reverse_kl"] == pytest.approx(math.log(8 / 7))
    assert scores["mode_jsd"] == pytest.approx(0.0454, abs=5e-5)


def test_hits_end_at_three_deviations_and_fairness_at_a_fifth() -> None:
    means = Ring().means()
    step = torch.tensor([0.02, 0.0])
    assert modes.hits(means + 2.99 * step, means, 0.02).tolist() == [1] * 8
    assert modes.hits(means + 3.01 * step, means, 0.02).tolist() == [0] * 8
    # 800 samples: a fair share is 100, a fifth of it 20.
    counts = torch.tensor([20, 19, 1, 0, 190, 190, 190, 190])
    scores = modes.report(means.repeat_interleave(counts, dim=0), Ring())
    assert (scores["modes"], scores["fair_modes"]) == (7, 5)
    q = counts.double() / 800
    expected = sum(float(p * (p * 8).log()) for p in q if p > 0)
    assert scores["reverse_kl"] == pytest.approx(expected)


def test_a_diverged_sample_hits_nothing() -> None:
    samples = Ring().means()
    samples[2] = math.nan
    scores = modes.report(samples, Ring())
    assert (scores["modes"], scores["share"]) == (7, 7 / 8)
    assert math.isnan(scores["reverse_kl"])
    assert math.isnan(scores["mode_jsd"])


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_jsd_is_symmetric_and_bounded(a: list[float], b: list[float]) -> None:
    p, q = (torch.tensor(v) / sum(v) for v in (a, b))
    assert modes.jsd(p, q) == pytest.approx(modes.jsd(q, p))
    assert -1e-6 <= modes.jsd(p, q) <= math.log(2)
    assert modes.jsd(torch.tensor([1.0, 0]), torch.tensor([0, 1.0])) == pytest.approx(math.log(2))
