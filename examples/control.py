r"""Control against the worst disturbance
=====================================

A controller chooses its gain K, nature the gain L of a disturbance, and the cost adds up along the path of the system:
:math:`\min_K \max_L \sum_t x_t^2 (1 + K^2 - \gamma^2 L^2)`. It is convex in neither, and means something only where
the gains hold the state. Play meets in the saddle, which a Riccati equation gives in closed form (H-infinity control).
"""

from itertools import islice

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch

import minimax as mm

a, b, d, γ = 1.1, 1.0, 0.8, 1.5  # the state follows x⁺ = (a - bK + dL) x, and grows if left alone
control = mm.games.lq_control(a, b, d, γ)
saddle = tuple(float(gain) for gain in control.equilibrium)
methods = {"simultaneous": mm.SimultaneousGDA(mm.sgd(0.03)), "extragradient": mm.ExtraGradient(mm.sgd(0.03))}
paths = {
    name: torch.stack([torch.stack(it.players) for it in islice(mm.iterate(control.game, control.start, method), 200)])
    for name, method in methods.items()
}

# %%
# Left, the cost over the gains; white is where they do not hold the state. Right, what the controller bought: its cost
# under every disturbance is at most that of the saddle, where one that was tuned as if nothing disturbed can be driven
# out of bounds.


def cost(K: np.ndarray | float, L: np.ndarray) -> np.ndarray:
    """The sum over all times from x = 1, not a number where the state grows."""
    c = a - b * K + d * L
    return np.where(abs(c) < 1, (1 + K**2 - γ**2 * L**2) / np.where(abs(c) < 1, 1 - c**2, 1), np.nan)


calm = mm.games.lq_control(a, b, 1e-9, γ)  # nothing disturbs
gains = {"robust": saddle[0], "tuned for calm": float(calm.equilibrium[0])}

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
L = np.linspace(-0.3, 0.74, 400)
shades = left.contourf(
    np.linspace(0.4, 1.2, 200),
    L,
    cost(*np.meshgrid(np.linspace(0.4, 1.2, 200), L)),
    levels=np.linspace(0, 4, 17),
    cmap="Greys",
    extend="both",
)
figure.colorbar(shades, ax=left, label="cost")
for name, path in paths.items():
    left.plot(*path.T, "o-", ms=3, label=name)
left.plot(*saddle, "*", color="black", ms=16, label="saddle (Riccati)")
left.set(xlabel="gain K of the controller", ylabel="gain L of the disturbance", title="The game of gains")
left.legend(fontsize="small", loc="lower right")
for name, gain in gains.items():
    right.plot(L, cost(gain, L), lw=2.5, label=f"{name}, K = {gain:.2f}")
right.plot(saddle[1], cost(*saddle), "*", color="black", ms=16)
right.set(xlabel="gain L of the disturbance", ylabel="cost", ylim=(0, 6), title="Two controllers, every disturbance")
right.legend(frameon=False, loc="upper left")
sns.despine(figure)

for name, path in paths.items():
    print(f"{name}: K, L = {path[-1].numpy().round(4)}, by Riccati {np.round(saddle, 4)}")
    assert np.allclose(path[-1], saddle, atol=1e-3)
assert mm.diagnostics.classify(control.game, control.equilibrium).kind == "local Nash"
assert abs(np.nanmax(cost(saddle[0], L)) - cost(*saddle)) < 1e-3 and np.nanmax(cost(gains["tuned for calm"], L)) > 6

plt.show()
