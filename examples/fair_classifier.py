r"""A classifier that an adversary cannot read
==========================================

A score should tell who qualifies (y) and nothing about the group (a) beyond that. So let a second player guess the
group from the score and the label, and let the classifier pay for every guess that is right: with weight
:math:`\lambda` from nothing to much, accuracy is traded for fairness (equalised odds), point by point.
"""

import math

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from torch import Tensor
from torch.nn.functional import softplus

import minimax as mm

torch.manual_seed(0)
n = 1500
y, a = (2 * torch.randint(2, (2, n)) - 1.0).double()
# The first feature tells the label. The second tells some of it, and much more of the group.
x = torch.stack([y, 0.5 * y + a], 1) + torch.randn(n, 2, dtype=torch.float64)


def guess(w: Tensor, v: Tensor) -> Tensor:
    """The adversary's loss: its logit of the group is linear in the score and the label."""
    return softplus(-a * (v[0] * (x @ w) + v[1] * y)).mean()


def play(weight: float) -> tuple[Tensor, Tensor]:
    """Both players, after a few hundred steps."""

    def classify(w: Tensor, v: Tensor) -> Tensor:
        return softplus(-y * (x @ w)).mean() + weight * (math.log(2) - guess(w, v))

    start = (torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    return mm.solve(mm.Game(classify, guess), start, mm.ExtraGradient(mm.sgd(0.5)), steps=150, every=50).players


def scores(w: Tensor) -> tuple[float, float]:
    """Accuracy, and the gap between the groups in who is let through, among those with the same label."""
    through = (x @ w > 0).double()
    gaps = [through[(a > 0) & (y == s)].mean() - through[(a < 0) & (y == s)].mean() for s in (-1, 1)]
    return float(((2 * through - 1) == y).double().mean()), float(sum(gaps) / 2)


weights = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0]
found = [play(weight) for weight in weights]
accuracy, gap = np.array([scores(w) for w, _ in found]).T

# %%
# Left, where the line between yes and no lies, without and with the adversary. Right, what each weight costs and buys.

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for group, marker in ((-1, "o"), (1, "^")):
    for label, color in ((-1, "C1"), (1, "C0")):
        some = ((a == group) & (y == label)).nonzero().flatten()[:80]
        name = f"{'qualified' if label > 0 else 'not'}, group {'A' if group > 0 else 'B'}"
        left.scatter(*x[some].T, marker=marker, color=color, s=18, alpha=0.6, label=name)
ends = torch.tensor([-4.0, 4.0], dtype=torch.float64)
for k, style in ((0, ":"), (-1, "-")):
    w = found[k][0]
    left.plot(-w[1] / w[0] * ends, ends, style, color="black", lw=2.5, label=f"decision, λ = {weights[k]:g}")
left.set(xlim=(-4, 4), ylim=(-4, 4), xlabel="first feature", ylabel="second feature", title="Who is let through")
left.legend(fontsize="x-small", loc="upper left")
right.plot(weights, accuracy, "o-", lw=2, label="accuracy")
right.plot(weights, gap, "s-", lw=2, label="gap between the groups")
right.set(xlabel="weight λ of the adversary", ylabel="share", ylim=(-0.05, 1), title="What it costs, what it buys")
right.legend(frameon=False, loc="center right")
sns.despine(figure)

print("accuracy", accuracy.round(3), "gap", gap.round(3))
assert gap[0] > 0.08 and abs(gap[-1]) < 0.03  # the gap closes,
assert accuracy[0] - accuracy[-1] < 0.04  # and it costs little here
assert abs(guess(*found[-1]) - math.log(2)) < 0.01  # the adversary is left with a coin

plt.show()
