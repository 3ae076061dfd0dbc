r"""Control against the worst disturbance
=====================================

A controller chooses its gain K, nature the gain L of a disturbance, and the cost adds up along the path of the system:
:math:`\min_K \max_L \sum_t x_t^2 (1 + K^2 - \gamma^2 L^2)`. It is convex in neither, and means something only where the
gains hold the state. Play meets in the saddle, which a Riccati equation gives in closed form (H-infinity control).
"""

from itertools import islice

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch

import minimax as mm

a, b, d, γ = 1.1, 1.0, 0.5, 2.0  # the state follows x⁺ = (a - bK + dL) x, and grows if left alone
control = mm.games.lq_control(a, b, d, γ)
saddle = tuple(float(gain) for gain in control.equilibrium)
methods = {"simultaneous": mm.SimultaneousGDA(mm.sgd(0.03)), "extragradient": mm.ExtraGradient(mm.sgd(0.03))}
paths = {
    name: torch.stack([torch.stack(it.players) for it in islice(mm.iterate(control.game, control.start, method), 200)])
    for name, method in methods.items()
}

# %%
# Left, the cost over the gains. Right, what the controller bought: the system from x = 1 under the worst disturbance
# against it, beside a controller tuned as if there were none.


def worst(K: float) -> float:
    """The disturbance's best answer to K: a line of 4000 gains, and the cost of each."""
    L = np.linspace(-1.5, 1.5, 4001)
    c = a - b * K + d * L
    cost = np.where(abs(c) < 1, (1 + K**2 - γ**2 * L**2) / np.where(abs(c) < 1, 1 - c**2, 1), -np.inf)
    return float(L[cost.argmax()])


calm = mm.games.lq_control(a, b, 1e-9, γ)  # nothing disturbs
gains = {"robust": saddle[0], "tuned for calm": float(calm.equilibrium[0])}

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
K, L = np.meshgrid(np.linspace(0.4, 1.1, 200), np.linspace(-0.4, 0.5, 200))
c = a - b * K + d * L
cost = np.where(abs(c) < 0.95, (1 + K**2 - γ**2 * L**2) / (1 - np.minimum(c**2, 0.95)), np.nan)
shades = left.contourf(K, L, cost, levels=np.linspace(0, 4, 17), cmap="Greys_r", extend="both", alpha=0.7)
figure.colorbar(shades, ax=left, label="cost from x = 1")
for name, path in paths.items():
    left.plot(*path.T, "o-", ms=3, label=name)
left.plot(*saddle, "*", color="black", ms=16, label="saddle (Riccati)")
left.set(xlabel="gain K of the controller", ylabel="gain L of the disturbance", title="The game of gains")
left.legend(fontsize="small", loc="lower right")
steps = np.arange(16)
for name, gain in gains.items():
    right.plot(steps, (a - b * gain + d * worst(gain)) ** steps, "o-", label=f"{name}, K = {gain:.2f}")
right.set(xlabel="time t", ylabel="state x", title="Under its worst disturbance")
right.legend(frameon=False)
sns.despine(figure)

for name, path in paths.items():
    print(f"{name}: K, L = {path[-1].numpy().round(4)}, by Riccati {np.round(saddle, 4)}")
    assert np.allclose(path[-1], saddle, atol=1e-3)
assert mm.diagnostics.classify(control.game, control.equilibrium).kind == "local Nash"
assert abs(worst(saddle[0]) - saddle[1]) < 1e-3  # no disturbance does better against the robust gain

plt.show()
