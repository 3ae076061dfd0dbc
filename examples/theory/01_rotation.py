r"""A game rotates where a minimum attracts
=======================================

In a minimum both players walk downhill together. In the game :math:`\min_x \max_y xy` each walks downhill too, on its
own loss, and together they turn: the field :math:`F = (y, -x)` is a rotation, and no step along a rotation leads home.
"""

from itertools import islice

import matplotlib.pyplot as plt
import seaborn as sns
import torch

import minimax as mm

h = 0.3
start = torch.ones(2, dtype=torch.float64).unbind()
minimum = mm.cooperative(lambda x, y: (x**2 + y**2) / 2, players=2)
game = mm.zero_sum(lambda x, y: x * y)
methods = [mm.SimultaneousGDA(mm.sgd(h)), mm.AlternatingGDA(mm.sgd(h)), mm.ExtraGradient(mm.sgd(h))]

# %%
# The same three methods, from the same start with the same step size. The grey lines are where tiny steps would go.

sns.set_theme(style="ticks", palette="colorblind")
figure, axes = plt.subplots(1, 2, figsize=(10, 6), layout="constrained", sharey=True)
titles = ("Both minimise (x² + y²)/2", "x minimises xy, y maximises it")
for ax, each, title in zip(axes, (minimum, game), titles, strict=True):
    mm.diagnostics.draw_phase(
        each, methods, start, steps=25, points=17, limits=(-2.6, 2.6), equilibrium=(0.0, 0.0), ax=ax
    )
    ax.get_legend().remove()
    ax.set(title=title, xlabel="x, the first player", ylabel="y, the second player")
axes[1].set_ylabel("")
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)

# %%
# How far from home? A step of simultaneous play multiplies the distance by :math:`\sqrt{1 + h^2}`, whatever the step
# size. Players who move in turn stay for ever on the ellipse :math:`x^2 + y^2 - hxy`. Extragradient, which looks where
# a step would lead and moves by what it saw there, comes closer by :math:`\sqrt{1 - h^2 + h^4}` a step.


def path(optimizer: mm.GameOptimizer) -> torch.Tensor:
    """The points of 200 steps, shape (201, 2)."""
    moves = islice(mm.iterate(game, start, optimizer), 200)
    return torch.stack([torch.stack(start), *(torch.stack(it.players) for it in moves)])


out, around, home = map(path, methods)
growth = out.norm(dim=1).diff().add(out.norm(dim=1)[:-1]) / out.norm(dim=1)[:-1]
ellipse = around.square().sum(1) - h * around.prod(1)
print(f"distance after 200 steps: {out[-1].norm():.3g}, {around[-1].norm():.3g}, {home[-1].norm():.3g}")
assert torch.allclose(growth, torch.full_like(growth, (1 + h**2) ** 0.5))
assert torch.allclose(ellipse, ellipse[0].expand(201))
assert torch.isclose(home[-1].norm(), 2**0.5 * torch.tensor(1 - h**2 + h**4, dtype=torch.float64) ** 100)

plt.show()
