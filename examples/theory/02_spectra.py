r"""A method is a map of eigenvalues
================================

Near an equilibrium a game is its Jacobian :math:`J = DF`, and a step of a method is a matrix made from it. Play
converges where all the matrix's eigenvalues lie inside the unit circle, as fast as the outermost one tells.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch

import minimax as mm

# %%
# A game that pulls a little and turns a lot, :math:`\frac{\mu}{2}|x|^2 + x^\top A y - \frac{\mu}{2}|y|^2`: its
# eigenvalues are :math:`\mu \pm i\sigma`, one pair for each singular value :math:`\sigma` of A.

μ, σ, h = 0.05, torch.linspace(0.5, 1.0, 5, dtype=torch.float64), 0.55
game = mm.zero_sum(lambda x, y: μ / 2 * (x @ x) + x @ (σ * y) - μ / 2 * (y @ y))
start = (torch.ones(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64))
methods = [
    *(method(mm.sgd(h)) for method in (mm.SimultaneousGDA, mm.AlternatingGDA, mm.ExtraGradient)),
    *(mm.OptimisticGDA(mm.sgd(h)), mm.ConsensusOptimization(mm.sgd(h), gamma=0.5)),
    mm.CompetitiveGradientDescent(mm.sgd(h)),
]

# %%
# ``diagnostics.expand`` writes the game out, ``optimizer.linear`` the step. Methods that remember their last step have
# two eigenvalues for each of the game's.

at = mm.diagnostics.expand(game, (0 * start[0], 0 * start[1]))
λ = torch.linalg.eigvals(at.J).numpy()
found = {each.name: torch.linalg.eigvals(each.linear(at).matrix).numpy() for each in methods}
radius = {name: float(abs(values).max()) for name, values in found.items()}
runs = {each.name: mm.solve(game, start, each, steps=100) for each in methods}

sns.set_theme(style="ticks", palette="colorblind")
figure = plt.figure(figsize=(12, 6), layout="constrained")
grid = figure.add_gridspec(2, 5)
colors = dict(zip(found, sns.color_palette("colorblind"), strict=False))
for k, (name, values) in enumerate(found.items()):
    ax = figure.add_subplot(grid[k // 3, k % 3])
    ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.4"))
    ax.scatter(values.real, values.imag, color=colors[name], s=30, zorder=3)
    ax.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal", xticks=(-1, 0, 1), yticks=(-1, 0, 1))
    ax.set(title=f"{name}\nlargest modulus {radius[name]:.3f}", xlabel="real part", ylabel="imaginary part")
    ax.label_outer()
right = figure.add_subplot(grid[:, 3:])
for name, run in runs.items():
    norms = np.array(run.records["norm"]) / run.records["norm"][0]
    right.semilogy(norms, color=colors[name], label=name)
    late = np.arange(40, len(norms))
    right.semilogy(late, norms[40] * radius[name] ** (late - 40.0), ":", color="black", lw=1.5)
right.set(xlabel="step", ylabel="|F|, relative to its start", title="Play (lines) as predicted (dots)")
right.legend(fontsize="small", frameon=False)
sns.despine(figure)

# %%
# The maps are known in closed form, and play in the long run goes by their largest modulus.

formulas = {"simultaneous": 1 - h * λ, "extragradient": 1 - h * λ + (h * λ) ** 2}
formulas["consensus"] = 1 - h * (λ + 0.5 * abs(λ) ** 2)
for name, values in formulas.items():
    assert np.allclose(sorted(values, key=np.imag), sorted(found[name], key=np.imag))
for name, run in runs.items():
    slope = (run.records["norm"][-1] / run.records["norm"][-51]) ** (1 / 50)
    print(f"{name:14} eigenvalues say {radius[name]:.4f} a step, play {slope:.4f}")
    assert abs(slope - radius[name]) < 0.01

plt.show()
