import math

import pytest
import torch

from benchmarks.quality.reference import bernoulli_mixture_nll, k_means


def test_k_means_finds_three_clouds() -> None:
    stream = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    truth = torch.randint(3, (300,), generator=stream)
    x = centres[truth] + torch.randn(300, 2, generator=stream)
    found = k_means(x, x, 3)
    assert all(len(found[truth == k].unique()) == 1 for k in range(3))


def test_a_mixture_of_two_bernoullis_knows_which_it_is() -> None:
    bits = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).repeat(500, 1)
    assert bernoulli_mixture_nll(bits, bits, 1) == pytest.approx(3 * math.log(2), abs=0.01)
    assert bernoulli_mixture_nll(bits, bits, 2) == pytest.approx(math.log(2), abs=0.05)
