r"""Mixed strategies: a matrix game on the simplex
==============================================

Rock, paper, scissors, where a win with rock counts twice. Players mix the three moves, so each lives on a simplex, and
the losses are bilinear: plain play is carried round, towards the corners. Two ways to look ahead come home: on the
simplex by projection, or by multiplicative weights, where no projection is needed (mirror-prox).
"""

from itertools import islice

import matplotlib.pyplot as plt
import seaborn as sns
import torch

import minimax as mm

A = torch.tensor([[0.0, 1.0, -2.0], [-1.0, 0.0, 1.0], [2.0, -1.0, 0.0]])  # the first player pays x @ A @ y
simplex = mm.projections.simplex()
game = mm.zero_sum(lambda x, y: x @ A @ y, constraints=(simplex, simplex))
start = (torch.tensor([0.6, 0.3, 0.1]), torch.tensor([0.1, 0.3, 0.6]))
methods = {
    "simultaneous, projected": mm.SimultaneousGDA(mm.sgd(0.1)),
    "extragradient, projected": mm.ExtraGradient(mm.sgd(0.1)),
    "simultaneous, multiplicative weights": mm.SimultaneousGDA(mm.entropic(0.5)),
    "extragradient, multiplicative weights": mm.ExtraGradient(mm.entropic(0.5)),
}

# %%
# What could a player gain that knows the other's mix? The largest entry of xA less the smallest of Ay: 0 at
# equilibrium.


def exploitability(x: torch.Tensor, y: torch.Tensor) -> float:
    """The sum of what both could gain by their best answers."""
    return float((x @ A).max() - (A @ y).min())


paths = {name: [it.players for it in islice(mm.iterate(game, start, method), 400)] for name, method in methods.items()}
corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])

sns.set_theme(style="ticks", palette="colorblind")
figure, axes = plt.subplots(1, 3, figsize=(14, 4.6), layout="constrained", width_ratios=(1, 1, 1.1))
for k, (name, path) in enumerate(paths.items()):
    ax, color = axes[k // 2], f"C{k}"
    ax.plot(*(torch.stack([start[0], *(x for x, _ in path)]) @ corners).T, color=color, lw=1.3)
    axes[2].semilogy([exploitability(*z) for z in path], color=color, lw=2, label=name)
for ax, title in zip(axes, ("Projected steps", "Multiplicative weights"), strict=False):
    ax.fill(*corners.T, fill=False, edgecolor="0.5")
    ax.plot(*(start[0] @ corners), "o", color="black")
    ax.plot(*(torch.tensor([0.25, 0.5, 0.25]) @ corners), "*", color="black", markersize=14)
    for corner, label, y in zip(corners, ("rock", "paper", "scissors"), (-0.06, -0.06, 0.05), strict=True):
        ax.text(float(corner[0]), float(corner[1]) + y, label, ha="center", va="center")
    ax.set_title(f"{title}: the first player", pad=20)
    ax.set(aspect="equal", xlim=(-0.1, 1.1))
    ax.axis("off")
axes[2].set(xlabel="step", ylabel="exploitability", title="What a best answer would gain")
figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
sns.despine(ax=axes[2])

# %%
# Paper half of the time. The same measure by gradients alone, for games whose best answers nobody can write down, is
# ``diagnostics.duality_gap``.

ends = {name: exploitability(*path[-1]) for name, path in paths.items()}
print({name: f"{value:.2g}" for name, value in ends.items()})
for name, path in paths.items():
    if name.startswith("extragradient"):
        assert all(torch.allclose(mix, torch.tensor([0.25, 0.5, 0.25]), atol=5e-3) for mix in path[-1])
    else:
        assert ends[name] > 0.1
gap = mm.diagnostics.duality_gap(game, start, rule=mm.sgd(1.0))
assert abs(gap.total - exploitability(*start)) < 1e-4

plt.show()
