import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from benchmarks.problems import _gaussian


def test_against_torch_distributions() -> None:
    mean, log_var, noise = torch.randn(3, 5, 4, dtype=torch.float64)
    posterior = Normal(mean, (log_var / 2).exp())
    prior = Normal(torch.zeros_like(mean), 1.0)
    torch.testing.assert_close(_gaussian.divergence(mean, log_var), kl_divergence(posterior, prior).sum(1))
    z = _gaussian.sampled(mean, log_var, noise)
    ratio = (prior.log_prob(z) - posterior.log_prob(z)).sum(1)
    torch.testing.assert_close(_gaussian.prior_over_posterior(z, log_var, noise), ratio)
    logits, x = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    expected = Bernoulli(logits=logits).log_prob((x > 0).double()).sum((1, 2, 3))
    torch.testing.assert_close(_gaussian.bernoulli(logits, x.sign()), expected)
