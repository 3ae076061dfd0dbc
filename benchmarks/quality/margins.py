"""How far a sample is from another class, exactly: of linear classifiers, and of a small network by brute force."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.optimize import linprog, nnls
from torch import Tensor


def linear_margins(weight: Tensor, bias: Tensor, x: Tensor, labels: Tensor, norm: float = 2) -> Tensor:
    """min_k (z_y - z_k)/|w_y - w_k|_q, (n,): the distance to the nearest other class, negative where that is told.

    Which class is nearest depends on the norm, and need not be the one of the second largest logit.

    Args:
        weight: (classes, d).
        bias: (classes,).
        x: (n, d).
        labels: (n,).
        norm: p >= 1 of the distance; q is its dual.

    Raises:
        ValueError: p below 1.
    """
    if not norm >= 1:
        raise ValueError(f"norm must be at least 1, got {norm}.")
    dual = 1.0 if norm == math.inf else math.inf if norm == 1 else norm / (norm - 1)
    logits = x @ weight.T + bias
    gap = logits.gather(1, labels[:, None]) - logits
    size = torch.linalg.vector_norm(weight[labels][:, None] - weight, dual, dim=2)
    return (gap / size).scatter(1, labels[:, None], math.inf).amin(1)


def linear_kept(
    weight: Tensor, bias: Tensor, x: Tensor, labels: Tensor, radius: float, low: float = 0.0, high: float = 1.0
) -> Tensor:
    """Whether no x + δ in [low, high], |δ_i| <= radius, has a logit as large as the label's, (n,).

    z_k - z_y + Σ_i max(d_i l_i, d_i h_i) < 0 for every k, d = w_k - w_y, and [l, h] what δ may be.

    Args:
        weight: (classes, d).
        bias: (classes,).
        x: (n, d), between low and high.
        labels: (n,).
        radius: >= 0.
        low: the least entry; -inf for none.
        high: the greatest.

    Raises:
        ValueError: a negative radius.
    """
    if not radius >= 0:
        raise ValueError(f"radius must be a number from 0 on, got {radius}.")
    down, up = (low - x).clamp(min=-radius), (high - x).clamp(max=radius)
    logits = x @ weight.T + bias
    d = weight[None] - weight[labels][:, None]  # (n, classes, entries)
    most = torch.maximum(d * down[:, None], d * up[:, None]).sum(2)
    height = logits - logits.gather(1, labels[:, None]) + most
    return (height.scatter(1, labels[:, None], -math.inf) < 0).all(1)


@dataclass(frozen=True, eq=False)
class Hidden:
    """f(x) = vᵀrelu(Wx + c) + d, a network so small that its 2^units linear pieces can be gone through.

    Args:
        W: (units, inputs).
        c: (units,).
        v: (units,).
        d: a number.
    """

    W: Tensor
    c: Tensor
    v: Tensor
    d: float

    def __call__(self, x: Tensor) -> Tensor:
        """f of rows, as logits (n, 2) of the classes f <= 0 and f > 0."""
        f = (x @ self.W.T + self.c).relu() @ self.v + self.d
        return torch.stack((torch.zeros_like(f), f), 1)

    def distance(self, x: Tensor, norm: float = 2) -> float:
        """The least |δ|_norm with f(x + δ) = 0, for norm 2 or inf; inf if f has no zero.

        On every piece f is linear, and the least δ is that of a quadratic or a linear program.
        """
        W, c, v, x0 = (z.double().cpu().numpy() for z in (self.W, self.c, self.v, x))
        least = math.inf
        for on in product((0.0, 1.0), repeat=len(c)):
            sign = 2 * np.array(on) - 1
            a, b = (v * on) @ W, float((v * on) @ (W @ x0 + c) + self.d)
            G, h = sign[:, None] * W, -sign * (W @ x0 + c)  # the piece: Gδ >= h
            least = min(least, (_nearest if norm == 2 else _narrowest)(a, -b, G, h))
        return least

    def interval_bound(self, x: Tensor, digits: int = 50) -> float:
        """The largest ε to which interval arithmetic shows that the sign of f stays, |δ_i| <= ε: a lower bound.

        Source: Gowal et al., On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models,
        2018.
        """
        f = self(x[None])[0, 1]
        sign = float(f.sign())

        def stays(ε: float) -> bool:
            mean, spread = self.W @ x + self.c, ε * self.W.abs().sum(1)
            low, high = (mean - spread).relu(), (mean + spread).relu()
            v = sign * self.v
            return float(torch.where(v > 0, v * low, v * high).sum() + sign * self.d) > 0

        low, high = 0.0, 1.0
        while stays(high) and high < 1e9:
            high *= 2
        for _ in range(digits):
            middle = (low + high) / 2
            low, high = (middle, high) if stays(middle) else (low, middle)
        return low


def _nearest(a: np.ndarray, b: float, G: np.ndarray, h: np.ndarray) -> float:
    """min |δ| with aᵀδ = b, Gδ >= h, by non-negative least squares (Lawson & Hanson, 1974, chapter 23)."""
    rows, right = np.vstack((G, a, -a)), np.concatenate((h, [b, -b]))
    E, f = np.vstack((rows.T, right)), np.zeros(G.shape[1] + 1)
    f[-1] = 1
    u, _ = nnls(E, f)
    r = E @ u - f
    if np.linalg.norm(r) < 1e-10:  # there is no such δ
        return math.inf
    δ = -r[:-1] / r[-1]
    held = (rows @ δ >= right - 1e-7).all()
    return float(np.linalg.norm(δ)) if held else math.inf


def _narrowest(a: np.ndarray, b: float, G: np.ndarray, h: np.ndarray) -> float:
    """min |δ|_∞ with aᵀδ = b, Gδ >= h, as a linear program."""
    d = G.shape[1]
    eye, one = np.eye(d), np.ones((d, 1))
    above = np.block([[-G, np.zeros((len(h), 1))], [eye, -one], [-eye, -one]])
    limits = np.concatenate((-h, np.zeros(2 * d)))
    cost, bounds = np.r_[np.zeros(d), 1.0], [(None, None)] * d + [(0, None)]
    end = linprog(cost, above, limits, np.r_[a, 0.0][None], [b], bounds)
    return float(end.fun) if end.status == 0 else math.inf
