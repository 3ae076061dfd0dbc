r"""Learning to learn: a start from which two steps are enough
==========================================================

Sine waves of any height and phase, ten points of each: no network fits them all, but one can be *two steps away* from
all of them (MAML). The steps are a player of its own, the adaptation, who answers every task anew; the other player is
differentiated through its answer: ``transforms.best_response(..., through=True)``.
"""

import math

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from torch import Tensor

import minimax as mm

torch.manual_seed(0)
Weights = dict[str, Tensor]
sizes = {"A": (1, 32), "B": (32, 32), "C": (32, 1)}
network = {name: torch.randn(size) * size[0] ** -0.5 for name, size in sizes.items()}
network |= {name.lower(): torch.zeros(size[1]) for name, size in sizes.items()}


def outputs(w: Weights, x: Tensor) -> Tensor:
    """A network for every task: weights (tasks, ...), inputs (tasks, n, 1)."""
    hidden = (x @ w["A"] + w["a"].unsqueeze(-2)).tanh()
    return (hidden @ w["B"] + w["b"].unsqueeze(-2)).tanh() @ w["C"] + w["c"].unsqueeze(-2)


def tasks(count: int) -> dict[str, Tensor]:
    """Waves, with ten points to adapt to and ten to be judged by."""
    height, phase = 0.5 + torch.rand(count, 1, 1), math.pi * torch.rand(count, 1, 1)
    x = 6 * torch.rand(2, count, 10, 1) - 3
    return {"x": x, "y": height * (x - phase).sin(), "height": height, "phase": phase}


def error(θ: Weights, δ: Weights, b: dict[str, Tensor], part: int) -> Tensor:
    """The squared error of each task's own weights, θ + δ."""
    return (outputs({name: θ[name] + δ[name] for name in θ}, b["x"][part]) - b["y"][part]).square().mean((1, 2))


def nothing(b: dict[str, Tensor]) -> Weights:
    """What is added to θ at first, per task."""
    return {name: torch.zeros(b["x"].shape[1], *leaf.shape) for name, leaf in network.items()}


# %%
# The outer player θ pays for the points it is judged by, the adaptation δ for those it sees.

game = mm.Game(lambda θ, δ, b: error(θ, δ, b, 1).mean(), lambda θ, δ, b: error(θ, δ, b, 0).sum())
maml = mm.transforms.best_response(game, 1, nothing, mm.sgd(0.1), steps=2, through=True)
learned = mm.solve(maml, (network,), mm.SimultaneousGDA(mm.adam(5e-3)), lambda k: tasks(16), steps=200, every=100)
(θ,) = learned.players

# %%
# A new wave: the network before it has seen any of it, and after two and ten steps on ten points.

new, few = tasks(200), (0, 2, 10)
adapted = {k: mm.transforms.response(game, (θ,), 1, nothing, mm.sgd(0.1), k, batch=new) for k in few}
naive = mm.transforms.response(game, (network,), 1, nothing, mm.sgd(0.01), 10, batch=new)  # it bears no more
errors = {k: float(error(θ, δ, new, 1).mean()) for k, δ in adapted.items()}

sns.set_theme(style="ticks", palette="colorblind")
figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained", sharey=True)
line = torch.linspace(-3, 3, 200).reshape(1, -1, 1).expand(200, -1, 1)
for wave, ax in enumerate(axes):
    ax.plot(line[0], (new["height"] * (line - new["phase"]).sin())[wave], color="0.6", lw=3, label="truth")
    ax.plot(new["x"][0, wave], new["y"][0, wave], "o", color="black", label="the ten points")
    for (k, δ), style in zip(adapted.items(), (":", "--", "-"), strict=True):
        drawn = outputs({name: θ[name] + δ[name] for name in θ}, line)[wave]
        ax.plot(line[0], drawn, style, lw=2, label=f"after {k} steps")
    ax.set(xlabel="x", ylabel="y", title=f"New wave {wave + 1}")
    ax.label_outer()
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
sns.despine(figure)

print("error on 200 new waves after k steps:", {k: round(value, 2) for k, value in errors.items()})
print(f"from a start that was not learned, after 10 steps: {float(error(network, naive, new, 1).mean()):.2f}")
assert errors[2] < errors[0] / 2 and errors[10] < errors[2]
assert errors[10] < float(error(network, naive, new, 1).mean()) / 2

plt.show()
