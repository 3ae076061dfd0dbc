r"""Momentum has the other sign in games
====================================

In minimisation momentum goes on in the direction of the last step, and saves time. Around an equilibrium that
direction is out of date by a quarter of a turn: going on is going out. What helps is the opposite, a step that takes
some of the last one back: negative momentum for players who move in turn, or the optimistic step.
"""

import matplotlib.pyplot as plt
import seaborn as sns
import torch

import minimax as mm

h = 0.5
b = torch.linspace(-0.9, 0.9, 37, dtype=torch.float64)
game = mm.zero_sum(lambda x, y: x * y)
start = torch.ones(2, dtype=torch.float64).unbind()


def factor(optimizer: mm.GameOptimizer, members: int) -> torch.Tensor:
    """By what a step multiplies the distance in the long run, per member: 1 is a circle, less is convergence."""
    run = mm.ensemble(game, optimizer, [start] * members, steps=200, limits=mm.Limits(growth=1e200))
    distance = run.records["norm"]  # |F|, which is |z| here
    return (distance[160:].amax(0) / distance[60:100].amax(0)) ** 0.01


# %%
# All b in one call, a run each. Simultaneous players diverge whatever b is. The best of alternating players have a
# negative b, and optimistic ones, :math:`z^+ = z - h\,((1 + b) F(z) - b F(z_-))`, a positive b, which is the same
# correction: take back what was too much.

turns = (mm.sgd(h, momentum=torch.cat([b, b[8:9]])), mm.sgd(h, momentum=torch.cat([b, 0 * b[:1]])))
*alternating, one_sided = factor(mm.AlternatingGDA(turns), 38)
curves = {
    "simultaneous, momentum b": factor(mm.SimultaneousGDA(mm.sgd(h, momentum=b)), 37),
    "alternating, momentum b": torch.stack(alternating),
    "optimistic, optimism b": factor(mm.OptimisticGDA(mm.sgd(h), optimism=b[18:]), 19),
}

# %%
# Left, these factors; right, the paths of alternating players with and without it.

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for name, values in curves.items():
    left.plot(b[-len(values) :], values, lw=2.5, label=name)
left.axhline(1, color="0.7", zorder=0)
left.set(xlabel="b", ylabel="distance after a step / before, in the long run", ylim=(0.6, 1.6))
left.set_title(f"f = xy, step size {h}: below 1 play converges")
left.legend(frameon=False, loc="upper left", fontsize="small")

paths = {f"b = {m:g}": mm.AlternatingGDA(mm.sgd(h, momentum=m)) for m in (-0.3, 0.0, 0.1)}
mm.diagnostics.draw_phase(game, paths, start, steps=30, points=17, limits=(-3, 3), equilibrium=(0.0, 0.0), ax=right)
for line, color in zip(right.get_lines(), ("C2", "C1", "C3"), strict=False):
    line.set_color(color)
right.legend(loc="lower right", fontsize="small")
right.set(title="Alternating players, 30 steps", xlabel="x", ylabel="y")
sns.despine(ax=left)

best = {name: (float(b[-len(v) :][v.argmin()]), float(v.min())) for name, v in curves.items()}
for name, (where, value) in best.items():
    print(f"{name:25} at best {value:.4f}, at b = {where:.3f}")
assert best["simultaneous, momentum b"][1] > 1
assert best["alternating, momentum b"][0] < 0 and best["optimistic, optimism b"][1] < 1
assert abs(alternating[18] - 1) < 2e-3  # b = 0: for ever around
assert abs(one_sided - 0.97129) < 2e-3  # b = -0.5 for the first player alone is enough

# %%
# Is momentum ever positive in a game? Yes, if its eigenvalues are real. ``diagnostics.momentum_parameters`` tells.

assert mm.diagnostics.momentum_parameters([1.0, 10.0]).momentum > 0
assert mm.diagnostics.momentum_parameters([1 + 10j, 1 - 10j]).momentum < 0

plt.show()
