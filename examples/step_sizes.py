r"""Ensembles: two hundred step sizes at once
=========================================

Where does each method stop converging? ``ensemble`` plays all step sizes in one vectorised call: a rate that is a
tensor is one rate for each member. What is played is held to what the linearised game says,
``diagnostics.stable_step``.
"""

import matplotlib.pyplot as plt
import seaborn as sns
import torch

import minimax as mm

closed = mm.games.scsc(mu=1.0, sigma=3.0)  # x²/2 + 3xy - y²/2
limits = mm.diagnostics.stable_step(closed.game, closed.equilibrium)
rates = torch.linspace(0.005, 1.0, 200)
methods = {
    "simultaneous": mm.SimultaneousGDA(mm.sgd(rates)),
    "alternating": mm.AlternatingGDA(mm.sgd(rates)),
    "extragradient": mm.ExtraGradient(mm.sgd(rates)),
    "optimistic": mm.OptimisticGDA(mm.sgd(rates)),
}

# %%
# Every member stops by itself when it diverges, the others play on. Dotted: the limits by theory. What converges
# fastest is not what bears the largest step.

sns.set_theme(style="ticks", palette="colorblind")
figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for k, (name, optimizer) in enumerate(methods.items()):
    found = mm.ensemble(closed.game, optimizer, [closed.start] * 200, steps=150, limits=mm.Limits(growth=1e3))
    distance = torch.stack(found.players).norm(dim=0) / 2**0.5
    converging = (distance < 0.5) & ~found.diverged
    largest = float(rates[converging].max())
    print(f"{name:14} {int(found.diverged.sum()):3} of {len(found)} diverged; converges up to {largest:.3f}", end="")
    print(f", theory {limits[name]:.3f}")
    assert abs(largest - limits[name]) < 0.02
    assert converging[rates < 0.9 * limits[name]].all() and not converging[rates > 1.1 * limits[name]].any()
    ax.semilogy(rates, distance.clamp(min=1e-12), color=f"C{k}", lw=2, label=name)
    ax.axvline(limits[name], color=f"C{k}", ls=":", lw=1.5)

ax.axhline(1, color="0.7", zorder=0)
ax.set(xlabel="step size h", ylabel="distance after 150 steps / at the start", ylim=(1e-12, 1e4))
ax.legend(frameon=False, loc="lower right")
sns.despine(figure)

plt.show()
