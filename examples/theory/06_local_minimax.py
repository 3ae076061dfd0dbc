r"""What is a solution? Nash points, minimax points, and neither
===============================================================

At a local *Nash* point neither player gains by moving alone. At a local *minimax* point x counts on y's answer, so
that x itself may sit on a hilltop. Gradient play knows neither word: it stays where the flow attracts, whatever that
is.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch

import minimax as mm

# %%
# Three quadratics, each at rest in (0, 0). Grey arrows: the flow of gradient play. Broad band: the ridge, y's best
# answer to x (in the last game its worst: there y sits in a minimum of what it wants to maximise).

games = {
    "-x² + 5xy - y²": (mm.games.minimax_not_nash(), 2.5),
    "-3x² + 4xy - y²": (mm.games.hidden_minimax(), 2.0),
    "3x² + 4xy + y²": (mm.games.spurious_point(), -2.0),
}
methods = [mm.SimultaneousGDA(mm.sgd(0.05)), mm.ExtraGradient(mm.sgd(0.05)), mm.FollowTheRidge(mm.sgd(0.05))]
start = torch.tensor([0.6, 1.2], dtype=torch.float64).unbind()

sns.set_theme(style="ticks", palette="colorblind")
figure, axes = plt.subplots(1, 3, figsize=(13, 5.2), layout="constrained", sharey=True)
kinds, distances = {}, {}
for ax, (formula, (closed, slope)) in zip(axes, games.items(), strict=True):
    kinds[formula] = mm.diagnostics.classify(closed.game, closed.equilibrium).kind
    mm.diagnostics.draw_phase(closed.game, methods, start, steps=100, points=17, equilibrium=closed.equilibrium, ax=ax)
    ends = {line.get_label(): line.get_xydata()[-1] for line in ax.get_lines()[:3]}
    distances[formula] = {name: float(np.hypot(*end)) for name, end in ends.items()}
    ax.plot([-2, 2], [-2 * slope, 2 * slope], color="0.85", lw=7, zorder=0)
    for line, color in zip(ax.get_lines(), ("C0", "C2", "C3"), strict=False):
        line.set(color=color, linestyle="-", marker="")
    ax.set(title=f"f = {formula}\n(0, 0): {kinds[formula]}", xlabel="x, minimises", ylabel="y, maximises")
    ax.label_outer()
    ax.get_legend().remove()
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)

# %%
# Left, minimax and not Nash: the eigenvalues of the field are :math:`\pm i\sqrt{21}`, so gradient play circles
# outwards and extragradient comes home. Middle, minimax and hidden: both flee from it. Right, no solution at all, and
# both are drawn to it. ``FollowTheRidge``, which adds to y's step what keeps it on its ridge, tells all three right.

for formula, found in distances.items():
    print(f"{formula:16} {kinds[formula]:18}", {name: f"{value:.2g}" for name, value in found.items()})
first, second, third = (distances[formula] for formula in games)
assert list(kinds.values()) == ["local minimax", "local minimax", "stable, not Nash"]
assert first["simultaneous"] > 1.5 and first["extragradient"] < 0.2 and first["follow-the-ridge"] < 1e-3
assert second["simultaneous"] > 10 and second["extragradient"] > 10 and second["follow-the-ridge"] < 1e-3
assert third["simultaneous"] < 1e-2 and third["extragradient"] < 1e-2 and third["follow-the-ridge"] > 10

plt.show()
