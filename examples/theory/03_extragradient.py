r"""Why extragradient works
=======================

A game's eigenvalues :math:`\lambda` lie near the imaginary axis. A method that takes plain steps multiplies by
:math:`1 - h\lambda`, and the disk where that is at most 1 only touches the axis. Looking ahead adds
:math:`h^2\lambda^2`, which bends the region of convergence around a piece of it.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch

import minimax as mm


def optimistic(z: np.ndarray) -> np.ndarray:
    """The larger root of r² - (1 - 2z) r - z = 0."""
    root = np.sqrt((1 - 2 * z) ** 2 + 4 * z)
    return np.maximum(abs(1 - 2 * z + root), abs(1 - 2 * z - root)) / 2


modulus = {
    "simultaneous, 1 - z": lambda z: abs(1 - z),
    "extragradient, 1 - z + z²": lambda z: abs(1 - z + z**2),
    "optimistic, r² - (1 - 2z) r = z": optimistic,
    "implicit, 1/(1 + z)": lambda z: 1 / abs(1 + z),
}

# %%
# Left, where each method converges, in the plane of :math:`z = h\lambda`: inside of its line, and for the implicit
# step everywhere outside. Right, by what a step multiplies the distance on the imaginary axis, where a bilinear game
# with the singular value :math:`\sigma` lives.

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
x, y = np.meshgrid(np.linspace(-0.7, 2.3, 500), np.linspace(-1.5, 1.5, 500))
s = np.linspace(0.001, 1.4, 400)
lines = []
for (name, map_), color in zip(modulus.items(), sns.color_palette("colorblind"), strict=False):
    left.contour(x, y, map_(x + 1j * y), levels=[1], colors=[color], linewidths=2.5)
    lines += right.plot(s, map_(1j * s), color=color, lw=2.5, label=name)
left.axvline(0, color="0.7", zorder=0)
left.axhline(0, color="0.7", zorder=0)
left.plot([0, 0], [1, 1 / 3**0.5], "o", color="black")
left.text(0.06, 0.97, "i")
left.text(0.06, 1 / 3**0.5 - 0.2, "i/√3")
left.set(xlabel="real part of z = hλ: pull", ylabel="imaginary part of z: rotation", aspect="equal")
left.set_title("Where the step contracts")
right.axhline(1, color="0.7", zorder=0)
right.set(xlabel="s = hσ", ylabel="distance after a step / before", ylim=(0.5, 1.5), title="On pure rotation, z = ihσ")
figure.legend(handles=lines, loc="outside lower center", ncols=4, frameon=False)
sns.despine(figure)

# %%
# The implicit step :math:`z^+ = z - hF(z^+)` contracts everything that does not repel. Its map starts :math:`1 - z +
# z^2 - \dots`: plain steps agree with it to first order, extragradient to second, and that is why.

small = 1e-3 * np.exp(1j * np.linspace(0, 2 * np.pi, 9))
assert np.allclose(abs((1 - small) - 1 / (1 + small)), 1e-6, rtol=0.01)
assert np.allclose(abs((1 - small + small**2) - 1 / (1 + small)), 1e-9, rtol=0.01)

# %%
# ``diagnostics.stable_step`` finds the ends of the pieces, here for :math:`\sigma = 1`; the best step is :math:`h =
# 1/\sqrt 2`, and play confirms both.

game, z = mm.zero_sum(lambda x, y: x * y), torch.ones(2, dtype=torch.float64).unbind()
limits = mm.diagnostics.stable_step(game, z)
print({name: round(limits[name], 4) for name in ("simultaneous", "extragradient", "optimistic", "proximal")})
assert limits["simultaneous"] == 0 and limits["proximal"] == np.inf
assert np.isclose(limits["extragradient"], 1) and np.isclose(limits["optimistic"], 1 / 3**0.5)
sizes = torch.linspace(0.05, 0.95, 181, dtype=torch.float64)
played = mm.ensemble(game, mm.ExtraGradient(mm.sgd(sizes)), [z] * 181, steps=50)
assert torch.stack(played.players).norm(dim=0).argmin() == (sizes - 0.5**0.5).abs().argmin()

plt.show()
