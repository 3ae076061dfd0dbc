r"""Firms that share a capacity
===========================

A game of any number of players, by name, each with a loss of its own: three firms choose how much to produce
(Cournot), and all ship over one road. ``transforms.coupled`` adds the player that makes them share it, the road's
price.
"""

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from torch import Tensor

import minimax as mm

costs = {"Ada": 1.0, "Ben": 2.0, "Cleo": 3.0}


def losses(*quantities: Tensor) -> dict[str, Tensor]:
    """Minus each firm's profit. A unit sells for 10 less all that is on the market."""
    price = 10 - sum(quantities)
    return {name: -q * (price - cost) for q, (name, cost) in zip(quantities, costs.items(), strict=True)}


# %%
# Without the road: every firm's profit is concave in its own quantity, and the first-order conditions are linear. Each
# firm may have a rule of its own, here a slower one.

game = mm.Game(losses)
start = {name: torch.tensor(1.0) for name in costs}
rules = (mm.sgd(0.1), mm.sgd(0.1), mm.sgd(0.05))
free = mm.solve(game, start, mm.SimultaneousGDA(rules), steps=500, limits=mm.Limits(tolerance=1e-5))
print(free.status)
print(mm.diagnostics.classify(game, free.players))
assert mm.diagnostics.classify(game, free.players).kind == "local Nash"
assert all(abs(q - exact) < 1e-3 for q, exact in zip(free.players.values(), (3.0, 2.0, 1.0), strict=True))

# %%
# With a road for K units the road is one more player: it sets a toll, at least 0, and earns what is shipped beyond K.
# At equilibrium nobody ships beyond, and all pay the same toll.


def on_a_road(capacity: float) -> dict[str, float]:
    """Quantities and toll."""
    shared = mm.transforms.coupled(game, lambda *q: sum(q) - capacity, players=3)
    optimizer, limits = mm.OptimisticGDA(mm.sgd(0.15)), mm.Limits(tolerance=1e-3)
    found = mm.solve(shared, start | {"toll": torch.tensor(0.0)}, optimizer, limits=limits)
    return {name: float(value) for name, value in found.players.items()}


def exact(capacity: float) -> dict[str, float]:
    """By hand: a toll of 8 - 4K/3 while that is positive, which adds to everybody's cost."""
    toll = max(0.0, 8 - 4 * capacity / 3)
    return {name: 10 - cost - toll - min(capacity, 6.0) for name, cost in costs.items()} | {"toll": toll}


capacities = [3.0, 4.0, 5.0, 6.0, 7.0]
found = [on_a_road(capacity) for capacity in capacities]

sns.set_theme(style="ticks", palette="colorblind")
figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for name in (*costs, "toll"):
    style = {"lw": 2, "ls": "--" if name == "toll" else "-"}
    (line,) = ax.plot(capacities, [exact(K)[name] for K in capacities], label=name, **style)
    ax.plot(capacities, [each[name] for each in found], "o", color=line.get_color())
ax.axvline(6, color="0.7", zorder=0)
ax.text(6.05, 3.9, "from here on\nthe road is wide enough", va="top", color="0.4")
ax.set(xlabel="capacity of the road (units)", ylabel="quantity (units), toll (money per unit)")
ax.legend(frameon=False)
sns.despine(figure)

# %%
# Lines: the exact answer. Dots: played.

for capacity, each in zip(capacities, found, strict=True):
    print(f"capacity {capacity}:", {name: round(value, 3) for name, value in each.items()})
    assert all(abs(each[name] - value) < 1e-2 for name, value in exact(capacity).items())

plt.show()
