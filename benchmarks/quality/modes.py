"""Mode coverage on known mixtures, and divergences of its histogram, in nats.

Modes are the rows of `means` ((K, d)), all with the same weight and standard deviation; samples are (n, d).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.data import Mixture
from benchmarks.problem import Metric

FAIR = 0.2  # a mode is fairly covered from this share of N / K upwards
RADIUS = 3.0  # deviations within which a sample hits a mode; a perfect 2-D sample hits with 1 - exp(-9/2) = .989


def report(samples: Tensor, mixture: Mixture) -> dict[str, float]:
    """Score a sample of a mixture.

    `modes`: with a hit, a sample within 3 standard deviations; `fair_modes`: with hits for at least 20 % of the
    fair share N / K; `share`: hits among all samples; `reverse_kl` and `mode_jsd`: KL(q || 1/K) and JSD of the
    histogram q of nearest modes. A sample that is not finite hits nothing and makes the divergences nan.
    """
    means = mixture.means()
    near = hits(samples, means, mixture.std)
    share = histogram(samples, means)
    return {
        "modes": float((near > 0).sum()),
        "fair_modes": float((near >= FAIR * len(samples) / len(means)).sum()),
        "share": float(near.sum() / len(samples)),
        "reverse_kl": reverse_kl(share),
        "mode_jsd": jsd(share, torch.full_like(share, 1 / len(share))),
    }


def declared(mixture: Mixture, **targets: float) -> tuple[Metric, ...]:
    """The declarations of what `report` yields, with the targets of those that have one."""
    count = len(mixture.means())
    metrics = (
        Metric("modes", "higher", range=(0, count), coverage=True),
        Metric("fair_modes", "higher", range=(0, count), coverage=True, gate=count / 2),
        Metric("share", "higher", range=(0, 1)),
        Metric("reverse_kl", unit="nats", range=(0, math.log(count)), headline=True),
        Metric("mode_jsd", unit="nats", range=(0, math.log(2))),
    )
    return tuple(replace(metric, target=targets.get(metric.name)) for metric in metrics)


def hits(samples: Tensor, means: Tensor, std: float) -> Tensor:
    """Count, for every mode, the samples nearest to it and within 3 standard deviations: `K`."""
    distance, index = _nearest(samples, means)
    return torch.bincount(index[distance <= RADIUS * std], minlength=len(means)).double()


def histogram(samples: Tensor, means: Tensor) -> Tensor:
    """Share of the samples whose nearest mode is each one, `K`; nan where a sample is not finite."""
    distance, index = _nearest(samples, means)
    share = torch.bincount(index, minlength=len(means)).double() / len(samples)
    return share if distance.isfinite().all() else torch.full_like(share, math.nan)


def reverse_kl(share: Tensor) -> float:
    """`KL(q || uniform) = log K + sum q log q`: 0 for even shares, log K for one mode.

    >>> round(reverse_kl(torch.tensor([1.0, 0, 0, 0])), 4)
    1.3863
    """
    q = share.double()
    return float(torch.xlogy(q, q).sum()) + math.log(len(q))


def jsd(p: Tensor, q: Tensor) -> float:
    """Jensen-Shannon divergence `KL(p || m)/2 + KL(q || m)/2`, m = (p+q)/2, of two probability vectors.

    >>> ring = torch.full((8,), 1 / 8)
    >>> lost = torch.tensor([1 / 7] * 7 + [0.0])
    >>> round(jsd(ring, lost), 4)  # a ring that lost one of its eight modes
    0.0454
    """
    p, q = p.double(), q.double()
    m = (p + q) / 2
    return float((torch.xlogy(p, p) + torch.xlogy(q, q)).sum() / 2 - torch.xlogy(m, m).sum())


def _nearest(samples: Tensor, means: Tensor) -> tuple[Tensor, Tensor]:
    x = samples.detach().double().cpu()
    distance, index = torch.cdist(x, means.double().cpu(), compute_mode="donot_use_mm_for_euclid_dist").min(1)
    return torch.where(x.isfinite().all(1), distance, math.inf), index
