r"""How much penalty? Critical damping, read off a spectrum
==========================================================

A GAN without a penalty is a pendulum without friction. R1 and consensus optimization both add friction, by a weight
:math:`\gamma`: too little and play swings on, too much and one direction creeps. The eigenvalues say where in between.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch

import minimax as mm

h, γ = 0.8, np.linspace(0.0, 6.0, 61)
zero = torch.zeros(2, dtype=torch.float64).unbind()
dirac = mm.games.dirac_gan()


def with_r1(γ: float) -> mm.Game:
    """The Dirac-GAN with γ/2 ψ² on its critic's loss."""
    return mm.games.dirac_gan(gamma=γ).game


def with_consensus(γ: float) -> mm.Game:
    """The Dirac-GAN whose players also pay γ/2 |F|²: consensus optimization."""
    return mm.transforms.consensus(dirac.game, γ)


# %%
# Left, where the eigenvalues go as :math:`\gamma` grows. R1 leaves the two on a circle until they meet at
# :math:`\gamma = 1`, from where one goes back towards 0. Consensus moves both to the right together. Right, by what a
# step of plain play multiplies the distance: the largest :math:`|1 - h\lambda|`.

found = {
    name: np.stack([mm.diagnostics.spectrum(make(g), zero).eigenvalues.numpy() for g in γ])
    for name, make in {"R1": with_r1, "consensus": with_consensus}.items()
}
factor = {name: abs(1 - h * λ).max(1) for name, λ in found.items()}

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for (name, λ), marker in zip(found.items(), "os", strict=True):
    points = left.scatter(λ.real, λ.imag, c=np.repeat(γ, 2), marker=marker, s=22, cmap="viridis", label=name)
    right.plot(γ, factor[name], lw=2.5, label=name)
    where = factor[name].argmin()
    right.plot(γ[where], factor[name][where], "*", color="black", markersize=14)
figure.colorbar(points, ax=left, label="weight γ")
left.axvline(0, color="0.7", zorder=0)
left.set(
    xlabel="real part of λ: pull",
    ylabel="imaginary part of λ: rotation",
    xlim=(-0.1, 2.2),
    title="Eigenvalues of the Dirac-GAN",
)
left.legend(frameon=False)
right.axhline(1, color="0.7", zorder=0)
right.set(
    xlabel="weight γ",
    ylabel="distance after a step / before",
    ylim=(0.3, 1.4),
    title=f"Plain play with h = {h}; ★ is best",
)
right.legend(frameon=False)
sns.despine(figure)

# %%
# For R1 the best weight is the critical one, at which the eigenvalues meet: with less play swings, with more the slow
# direction creeps, and the fast one soon needs smaller steps. For consensus it is :math:`4/h`, one over the step size
# and the square of the rotation: what is best depends on the step, and on rotations of other speeds it is another one.

best = {name: float(γ[values.argmin()]) for name, values in factor.items()}
print(
    {
        name: f"best γ {best[name]:.2f}: factor {factor[name].min():.3f} instead of {factor[name][0]:.3f}"
        for name in best
    }
)
root = np.sqrt(γ**2 / 4 - 0.25 + 0j)
assert np.allclose(found["R1"].real.min(1), (γ / 2 - root).real)
assert np.allclose(found["consensus"].real.max(1), γ / 4) and np.allclose(abs(found["consensus"].imag), 0.5)
assert best["R1"] == 1.0 and np.isclose(best["consensus"], 4 / h)
start = (zero[0] + 1e-3, zero[1] + 1e-3)
for name, make in {"R1": with_r1, "consensus": with_consensus}.items():
    played = mm.solve(make(0.5), start, mm.SimultaneousGDA(mm.sgd(h)), steps=200).records["norm"]
    rate = (max(played[160:]) / max(played[60:100])) ** 0.01
    assert abs(rate - factor[name][5]) < 5e-3, (name, rate)

plt.show()
