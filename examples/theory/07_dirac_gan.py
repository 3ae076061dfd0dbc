r"""The smallest GAN that fails, and what R1 does to it
===================================================

All data lie at 0, the generator puts its samples at :math:`\theta`, and the critic is the line :math:`D(x) = \psi x`.
In this *Dirac-GAN* everything can be seen: which loss circles, which creeps, and that a penalty on the critic's slope
at the data, R1, ends the argument.
"""

import math
from itertools import islice

import matplotlib.pyplot as plt
import seaborn as sns
import torch

import minimax as mm

gans = {
    "Minimax loss": mm.games.dirac_gan(),
    "Non-saturating loss": mm.games.dirac_nsgan(),
    "Non-saturating, R1 (γ = 0.3)": mm.games.dirac_nsgan(gamma=0.3),
    "WGAN-GP": mm.games.dirac_wgan_gp(weight=0.3),
}
start = torch.ones(2, dtype=torch.float64).unbind()
play = mm.SimultaneousGDA(mm.sgd(0.2))

# %%
# Simultaneous play, 500 steps of 0.2, from the same start. Near the solution the first two are the same rotation, with
# eigenvalues :math:`\pm i/2`; R1 moves them to :math:`\gamma/2 \pm \sqrt{\gamma^2/4 - 1/4}`. WGAN-GP wants a slope of
# 1, even at the solution, where there is nothing to tell apart, and circles for ever.

paths = {
    name: torch.stack([torch.stack(it.players) for it in islice(mm.iterate(gan.game, start, play), 500)])
    for name, gan in gans.items()
}
sns.set_theme(style="ticks", palette="colorblind")
figure = plt.figure(figsize=(12, 6.4), layout="constrained")
axes = figure.subplot_mosaic([[0, 1, 4], [2, 3, 4]], width_ratios=(1, 1, 1.3))
for k, (name, path) in enumerate(paths.items()):
    mm.diagnostics.draw_phase(
        gans[name].game, start=start, points=17, equilibrium=(0.0, 0.0), limits=(-3.4, 3.4), ax=axes[k]
    )
    axes[k].plot(*path.T, color=f"C{k}", lw=1.2)
    axes[k].set(title=name, xlabel="θ, the generator", ylabel="ψ, the critic's slope")
    axes[4].semilogy(path.norm(dim=1), color=f"C{k}", label=name)
axes[4].set(xlabel="step", ylabel="distance from the solution", ylim=(1e-6, 10), title="Who comes home?")
axes[4].legend(frameon=False, fontsize="small", loc="lower left")
sns.despine(ax=axes[4])

# %%
# The non-saturating loss draws in from afar, but steps of any size turn outwards, and it ends on a circle where the
# two are in balance. Even players who move in turn, which costs nothing, come home only as :math:`1/\sqrt{k}`.

last = {name: float(path[-1].norm()) for name, path in paths.items()}
print({name: f"{value:.3g}" for name, value in last.items()})
assert math.isclose(last["Minimax loss"], 3.09695, rel_tol=1e-4)
assert math.isclose(last["Non-saturating loss"], 0.640207, rel_tol=1e-4)
assert math.isclose(last["Non-saturating, R1 (γ = 0.3)"], 2.212e-6, rel_tol=1e-3)
assert paths["WGAN-GP"][-60:].norm(dim=1).min() > 0.1
for gan in list(gans.values())[:3]:
    found = mm.diagnostics.spectrum(gan.game, gan.equilibrium).eigenvalues
    assert torch.allclose(found, torch.tensor(gan.eigenvalues, dtype=found.dtype), atol=1e-6)
turns = mm.AlternatingGDA(mm.sgd(0.2))
norm = mm.solve(gans["Non-saturating loss"].game, start, turns, steps=800, every=200).records["norm"]
assert math.isclose(norm[3] / norm[0], (200 / 800) ** 0.5, rel_tol=0.1)

plt.show()
