r"""Regression that leaves nobody behind
====================================

Least squares serves the many. Let an adversary choose how much each group counts, :math:`\min_w \max_{p} \sum_g p_g
L_g(w)` with p on the simplex, and the fit is the one whose *worst* group is best served: group-robust regression.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from scipy.optimize import minimize

import minimax as mm

torch.manual_seed(0)
x = [3 * torch.rand(180, dtype=torch.float64), 3 * torch.rand(20, dtype=torch.float64)]
y = [1 + x[0] + 0.3 * torch.randn(180), 3.5 - 0.5 * x[1] + 0.3 * torch.randn(20)]


def errors(w: torch.Tensor) -> torch.Tensor:
    """The mean squared error of w_0 + w_1 x in each group."""
    return torch.stack([(w[0] + w[1] * x_g - y_g).square().mean() for x_g, y_g in zip(x, y, strict=True)])


# %%
# The adversary is a player like any other, with a constraint. It starts where least squares stands: every point counts
# the same.

game = mm.zero_sum(lambda w, p: p @ errors(w), constraints=(None, mm.projections.simplex()))
shares = torch.tensor([0.9, 0.1], dtype=torch.float64)
start = (torch.zeros(2, dtype=torch.float64), shares)
solution = mm.solve(game, start, mm.ExtraGradient(mm.sgd(0.1)), steps=1000, limits=mm.Limits(tolerance=1e-6))
robust, weights = solution.players
design = torch.stack([torch.ones(200, dtype=torch.float64), torch.cat(x)], 1)
usual = torch.linalg.lstsq(design, torch.cat(y)[:, None]).solution.flatten()
print(solution.status)
print(f"weights of the groups {weights.numpy().round(3)}")

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", width_ratios=(1.6, 1))
for g, (name, marker) in enumerate({"the many (180)": "o", "the few (20)": "^"}.items()):
    left.scatter(x[g], y[g], marker=marker, s=20 + 25 * g, alpha=0.6 + 0.4 * g, color=("0.65", "C2")[g], label=name)
ends = torch.tensor([0.0, 3.0], dtype=torch.float64)
for name, w, color in (("least squares", usual, "C0"), ("worst group", robust, "C1")):
    left.plot(ends, w[0] + w[1] * ends, color=color, lw=3, label=name)
left.set(xlabel="x", ylabel="y", title="One line for two groups")
left.legend(frameon=False)
bars = np.arange(2)
right.bar(bars - 0.2, errors(usual).tolist(), 0.4, color="C0")
right.bar(bars + 0.2, errors(robust).tolist(), 0.4, color="C1")
right.set(xticks=bars, xticklabels=["the many", "the few"], ylabel="mean squared error", title="What each group gets")
sns.despine(figure)

# %%
# At equilibrium both groups fare the same (else the adversary would move), and no line does better for the worse one:
# a general-purpose solver on :math:`\min t` with :math:`L_g(w) \le t` finds the same.

exact = minimize(
    lambda v: v[2],
    [*usual.tolist(), 5.0],
    constraints={"type": "ineq", "fun": lambda v: v[2] - errors(torch.from_numpy(v[:2])).numpy()},
    method="SLSQP",
)
print(
    f"worst group: least squares {errors(usual).max():.3f}, robust {errors(robust).max():.3f}, exact {exact.x[2]:.3f}"
)
assert solution.status.kind == "converged"
assert torch.allclose(errors(robust)[0], errors(robust)[1], rtol=1e-3)
assert np.allclose(robust.numpy(), exact.x[:2], atol=1e-3) and abs(float(errors(robust).max()) - exact.x[2]) < 1e-3

plt.show()
