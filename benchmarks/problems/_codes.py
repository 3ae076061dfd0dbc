"""Codebooks: vectors that others are replaced by, how they are learned, and how often each is said.

A codebook is (words, n), what it replaces (..., n); words are indices into it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp
from torch.nn.functional import one_hot

COMMITMENT = 0.25  # what the distance from its word weighs in the loss of an encoder


def nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """The index of the vector of the codebook (words, n) that is nearest to each of (..., n)."""
    return (z.unsqueeze(-2) - codebook).square().sum(-1).argmin(-1)


def missed(z: Tensor, codebook: Tensor) -> Tensor:
    """E|z - e|², summed over the positions and their numbers."""
    return (z - codebook[nearest(z, codebook)]).flatten(1).square().sum(1).mean()


def straight(loss: Callable[[Tensor], Tensor], z: Tensor, e: Tensor) -> Tensor:
    """L(e) + ⟨∇L(e), z - e⟩, of which the slope in z is ∇L(e): the straight-through estimate as a loss.

    Source: Bengio, Léonard & Courville, Estimating or Propagating Gradients Through Stochastic Neurons, 2013.
    """
    return sum(jvp(loss, (e,), (z - e,)))


def counts(words: Tensor, total: int) -> Tensor:
    """How often each of so many words is said."""
    return torch.bincount(words, minlength=total).double()


def perplexity(words: Tensor, total: int) -> float:
    """exp H of the shares of so many words: how many there are that are said as often as each other.

    >>> perplexity(torch.arange(12) % 4, 5)
    4.0
    """
    share = counts(words.flatten(), total) / words.numel()
    return min(math.exp(-float(torch.special.xlogy(share, share).sum())), total)


def chain(words: Tensor, total: int, count: int, stream: torch.Generator) -> Tensor:
    """So many rows of words, each drawn given the one before it, as often as in `words`, (rows, positions)."""
    rows = [torch.multinomial(counts(words[:, 0], total), count, replacement=True, generator=stream)]
    for before, now in zip(words.T[:-1], words.T[1:], strict=True):
        pairs = one_hot(before, total).double().T @ one_hot(now, total).double()  # (total, total)
        rows.append(torch.multinomial(pairs[rows[-1]], 1, generator=stream)[:, 0])
    return torch.stack(rows, dim=1)


def averaged(statistics: dict[str, Tensor], least: float) -> Tensor:
    """The codebook m / N that moving averages stand for: `count`, N (words,), and `sum`, m (words, n).

    A word that is said less often than `least` is drawn to 0, as a ratio of two small numbers may lie anywhere.
    """
    return statistics["sum"] / statistics["count"].clamp(min=least)[:, None]


def moving(statistics: dict[str, Tensor], z: Tensor, words: Tensor, dead: Tensor, order: Tensor) -> Tensor:
    """½ Σ|N - n|² + ½ Σ|m - s|², n how often each word is said among z (..., n), s the sums of what says it.

    Descent of rate 1 - γ is the exponential moving average N ← γN + (1 - γ)n, m ← γm + (1 - γ)s. A dead word is taken
    to be said once more, by one of z, each of these for one dead word at most: as its N is next to nothing, m / N is
    there after one step. Nothing here counts evaluations, so any method may play it.

    Args:
        statistics: `count` and `sum`.
        z: the vectors.
        words: what is nearest to each.
        dead: which words are, (words,).
        order: a permutation of the vectors: whom the dead words go to.

    Source: van den Oord, Vinyals & Kavukcuoglu, Neural Discrete Representation Learning, 2017, appendix A.
    """
    z, said = z.flatten(0, -2), one_hot(words.flatten(), len(dead)).to(z)
    rank = dead.cumsum(0) - 1
    back = dead & (rank < len(z))
    heir = z[order[rank.clamp(0, len(z) - 1)]]
    count, total = said.sum(0) + back, said.T @ z + back[:, None] * heir
    return ((statistics["count"] - count).square().sum() + (statistics["sum"] - total).square().sum()) / 2
