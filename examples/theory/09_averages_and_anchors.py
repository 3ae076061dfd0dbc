r"""Last iterate, average, anchor: how fast is a game solved?
=========================================================

A game that only turns, with rotations of all speeds, has no linear rate. Alternating play circles, but the *average*
of where it was comes home. Extragradient's last iterate does too, only slower. An *anchor*, a pull back to the start
that fades, makes the last iterate as good as it can be.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch

import minimax as mm

# %%
# The game :math:`x^\top A y` with 300 singular values from 1 down to 0.001, and step sizes that L = 1 allows.

σ = torch.logspace(0, -3, 300, dtype=torch.float64)
game = mm.zero_sum(lambda x, y: x @ (σ * y))
start = (torch.ones(300, dtype=torch.float64), torch.ones(300, dtype=torch.float64))
size = float(torch.cat(start).norm())  # |z_0 - z*|
steps = np.unique(np.geomspace(1, 1000, 50).astype(int))
methods = {
    "alternating, last iterate": mm.AlternatingGDA(mm.sgd(0.5)),
    "alternating, average": mm.Averaging(mm.AlternatingGDA(mm.sgd(0.5))),
    "extragradient, last iterate": mm.ExtraGradient(mm.sgd(0.5)),
    "anchored (FEG), last iterate": mm.FastExtraGradient(mm.sgd(1.0)),
}


def residuals(optimizer: mm.GameOptimizer) -> np.ndarray:
    """|F| of the optimizer's answer after so many steps."""
    found, last = [], set(steps.tolist())
    for it in mm.iterate(game, start, optimizer):
        if it.step in last:
            x, y = optimizer.answer(it.players, it.state)
            found.append(float(torch.cat([σ * y, σ * x]).norm()))
        if it.step == steps[-1]:
            return np.array(found)
    raise AssertionError


curves = {name: residuals(method) for name, method in methods.items()}

# %%
# Dotted: slopes of -1/2 and -1, and the bound :math:`2L|z_0 - z^*|/k`, which holds for the anchored method on every
# game that is convex in x, concave in y and has an L-Lipschitz field.

sns.set_theme(style="ticks", palette="colorblind")
figure, ax = plt.subplots(figsize=(8, 5.5), layout="constrained")
for name, values in curves.items():
    ax.loglog(steps, values, lw=2.5, label=name)
ax.loglog(steps, 2 * size / steps, ":", color="black", label="bound of FEG, 2|z₀ - z*|/k")
ax.set(xlabel="step k", ylabel="|F|, 0 at the solution", title="xᵀAy with singular values from 0.001 to 1")
ax.legend(frameon=False, loc="lower left")
sns.despine(figure)

late = steps >= 50
slope = {name: np.polyfit(np.log(steps[late]), np.log(values[late]), 1)[0] for name, values in curves.items()}
print({name: f"k^{value:.2f}" for name, value in slope.items()})
assert abs(slope["alternating, last iterate"]) < 0.05
assert (curves["anchored (FEG), last iterate"] <= 2 * size / steps).all()
assert slope["anchored (FEG), last iterate"] < slope["extragradient, last iterate"] - 0.2

plt.show()
