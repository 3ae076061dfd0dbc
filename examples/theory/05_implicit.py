r"""The step that all of them want to be
====================================

The implicit step :math:`z^+ = z - hF(z^+)` moves by the field *where it arrives*. It converges for every step size on
every monotone game, the faster the larger h, but it is an equation. Solve it by repetition, :math:`w \leftarrow z -
hF(w)` from :math:`w = z`: one repetition is simultaneous play, two are extragradient.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from torch import Tensor

import minimax as mm

game = mm.zero_sum(lambda x, y: x * y)
start = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))


def repeated(z: tuple[Tensor, ...], h: float, times: int) -> list[tuple[Tensor, ...]]:
    """w_0 = z, w_1, ..., each a step from z along the field at the one before."""
    points = [z]
    for _ in range(times):
        points.append(tuple(z_i - h * g for z_i, g in zip(z, game.field(points[-1]), strict=True)))
    return points


def gain(h: float, times: int) -> float:
    """By what such a step multiplies the distance."""
    return float(torch.stack(repeated(start, h, times)[-1]).norm() / torch.stack(start).norm())


# %%
# Left, one step of size 0.7 on f = xy: the repetitions spiral into the implicit point, from which the field points
# back along the step. Right, what each is worth: more repetitions follow the implicit step further, up to h = 1, where
# the repetition itself stops converging.

h, sizes, counts = 0.7, np.linspace(0.01, 1.3, 130), (1, 2, 3, 5, 9)
points = torch.tensor([[float(x) for x in w] for w in repeated(start, h, 9)])
implicit = torch.tensor([1.0, h]) / (1 + h**2)

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
left.plot(*points.T, color="0.7", lw=1, zorder=1)
shades = dict(zip(counts, sns.color_palette("viridis_r", len(counts)), strict=True))
for times, color in shades.items():
    left.scatter(*points[times], color=color, s=60, zorder=3)
    right.plot(sizes, [gain(s, times) for s in sizes], color=color, lw=2, label=f"{times}")
left.plot((1, implicit[0]), (0, implicit[1]), color="black", lw=2)
left.plot(*implicit, "*", color="black", markersize=16, zorder=4)
left.plot(1, 0, "o", color="black")
left.plot(0, 0, "+", color="black", markersize=12)
for text, (x, y) in {"start": (1.03, -0.02), "equilibrium": (0.03, -0.06)}.items():
    left.text(x, y, text, va="center")
left.set(xlabel="x", ylabel="y", xlim=(-0.1, 1.3), ylim=(-0.15, 0.85), title=f"One step with h = {h}")
right.plot(sizes, 1 / np.sqrt(1 + sizes**2), "--", color="black", lw=2, label="implicit (★)")
right.axhline(1, color="0.7", zorder=0)
right.set(xlabel="step size h", ylabel="distance after the step / before", ylim=(0.5, 1.6), title="On f = xy")
figure.legend(title="repetitions", loc="outside lower center", ncols=6, frameon=False)
sns.despine(figure)

# %%
# Competitive gradient descent solves a linear system instead, and on a bilinear game that is the implicit step.

for times, method in {1: mm.SimultaneousGDA(mm.sgd(h)), 2: mm.ExtraGradient(mm.sgd(h))}.items():
    there = mm.solve(game, start, method, steps=1).players
    assert torch.allclose(torch.stack(there), torch.stack(repeated(start, h, times)[-1]))
there = mm.solve(game, start, mm.CompetitiveGradientDescent(mm.sgd(h)), steps=1).players
assert torch.allclose(torch.stack(there), implicit.double())
errors = (points - implicit).norm(dim=1)
assert torch.allclose(errors[1:] / errors[:-1], torch.tensor(h), atol=1e-4)  # each repetition is nearer by h
assert gain(10.0, 9) > 1e8 and gain(0.05, 9) < 1
big = mm.solve(game, start, mm.CompetitiveGradientDescent(mm.sgd(10.0)), steps=1).players
print(f"one implicit step with h = 10 leaves {torch.stack(big).norm():.4f} of the distance")
assert torch.isclose(torch.stack(big).norm(), torch.tensor(101.0, dtype=torch.float64) ** -0.5)

plt.show()
