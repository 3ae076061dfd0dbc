r"""Constraints as a second player
==============================

Minimise under constraints :math:`g(z) \le 0`: the Lagrangian :math:`f(z) + \langle\lambda, g(z)\rangle` is a game, min
over z and max over the multipliers :math:`\lambda \ge 0`. A linear program is the hard case, as that game only turns.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from scipy.optimize import linprog

import minimax as mm

# %%
# A bakery earns 3 with a loaf and 2 with a cake, and is short of flour, oven time and sugar: :math:`Az \le b`.

profit = torch.tensor([3.0, 2.0])
A = torch.tensor([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0]])
b = torch.tensor([6.0, 6.0, 2.5])
bakery = mm.Game(lambda z: -profit @ z, constraints=(mm.projections.box(0.0, float("inf")),))
game = mm.transforms.coupled(bakery, lambda z: A @ z - b)
start = (torch.tensor([0.5, 0.5]), torch.zeros(3))
methods = {"simultaneous": mm.SimultaneousGDA(mm.sgd(0.25)), "extragradient": mm.ExtraGradient(mm.sgd(0.25))}


def path(optimizer: mm.GameOptimizer) -> list[tuple[torch.Tensor, ...]]:
    """The players of 300 steps."""
    found = []
    for it in mm.iterate(game, start, optimizer):
        found.append(it.players)
        if it.step == 300:
            return found
    raise AssertionError


paths = {name: path(method) for name, method in methods.items()}

# %%
# Left, the plans that are possible, lines of equal profit, and the ways there. Right, what an hour of the oven is
# worth comes out along with it: the multipliers are prices.

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
u = np.linspace(0, 4.5, 300)
X, Y = np.meshgrid(u, u)
inside = (np.stack([X, Y], -1) @ A.numpy().T - b.numpy()).max(-1) <= 0
left.contourf(X, Y, inside, levels=[0.5, 1.5], colors=["0.9"])
left.contour(X, Y, 3 * X + 2 * Y, levels=np.arange(2, 20, 2), colors="0.7", linewidths=0.8)
for name, points in paths.items():
    left.plot(*torch.stack([z for z, _ in points]).T, lw=1.5, label=name)
left.plot(2, 2, "*", color="black", markersize=16, label="optimum", zorder=5)
left.set(xlabel="loaves", ylabel="cakes", xlim=(0, 4.5), ylim=(0, 4.5), aspect="equal", title="The plan")
left.legend(loc="upper right", fontsize="small")
prices = torch.stack([λ for _, λ in paths["extragradient"]])
for k, name in enumerate(("flour", "oven", "sugar")):
    right.plot(prices[:, k], color=f"C{k + 2}", lw=2, label=name)
right.set(xlabel="step of extragradient", ylabel="multiplier (profit per unit)", title="The prices")
right.legend(frameon=False)
sns.despine(figure)

# %%
# The simplex method agrees, about the prices too, and ``certificate`` proves it without knowing the answer.

exact = linprog(-profit.numpy(), A_ub=A.numpy(), b_ub=b.numpy())
plan, λ = paths["extragradient"][-1]
print(f"plan {plan.numpy().round(3)}, prices {λ.numpy().round(3)}")
assert np.allclose(plan, exact.x, atol=1e-3) and np.allclose(λ, -exact.ineqlin.marginals, atol=1e-3)
away = torch.stack([z for z, _ in paths["simultaneous"][-100:]]) - torch.tensor([2.0, 2.0])
assert away.norm(dim=1).mean() > 0.2  # it circles, pressed against the walls

plt.show()
