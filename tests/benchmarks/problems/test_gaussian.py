import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Bernoulli, Normal, kl_divergence

from benchmarks.problems import _gaussian
from benchmarks.problems._gaussian import STANDARD, Gaussian


@given(st.integers(0, 10**6))
def test_against_torch_distributions(seed: int) -> None:
    stream = torch.Generator().manual_seed(seed)
    mean, log_var, noise, other_mean, other_log_var = torch.randn(5, 5, 4, dtype=torch.float64, generator=stream)
    q, p = Gaussian(mean, log_var), Gaussian(other_mean, other_log_var)
    posterior, prior = Normal(mean, (log_var / 2).exp()), Normal(other_mean, (other_log_var / 2).exp())
    torch.testing.assert_close(q.divergence(p), kl_divergence(posterior, prior))
    torch.testing.assert_close(q.log(noise), posterior.log_prob(noise).sum(1))
    standard = Normal(torch.zeros_like(mean), 1.0)
    torch.testing.assert_close(q.divergence(STANDARD), kl_divergence(posterior, standard))
    torch.testing.assert_close(_gaussian.divergence(mean, log_var), kl_divergence(posterior, standard).sum(1))
    torch.testing.assert_close(STANDARD.log(noise), standard.log_prob(noise).sum(1))
    torch.testing.assert_close(q.at(noise), posterior.mean + posterior.stddev * noise)


def test_bernoulli_against_torch_distributions() -> None:
    logits, x = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    expected = Bernoulli(logits=logits).log_prob((x > 0).double()).sum((1, 2, 3))
    torch.testing.assert_close(_gaussian.bernoulli(logits, x.sign()), expected)
