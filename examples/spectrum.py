r"""Reading a spectrum: will it oscillate?
======================================

The eigenvalues of the field's Jacobian say what play does nearby: to the right it is drawn in, to the left it is
pushed away, up and down it turns. Exactly for small games, and for networks by Ritz values, from products alone.
"""

import matplotlib.pyplot as plt
import seaborn as sns
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from minimax import diagnostics

# %%
# The Dirac-GAN only turns. R1 pulls its eigenvalues to the right, until they meet on the real axis.

spectra = {}
for γ in (0.0, 0.3, 1.5):
    dirac = mm.games.dirac_gan(gamma=γ)
    spectra[f"R1, γ = {γ}"] = found = diagnostics.spectrum(dirac.game, dirac.equilibrium)
    limit = diagnostics.stable_step(dirac.game, dirac.equilibrium)["simultaneous"]
    print(f"γ = {γ}: λ = {found.eigenvalues.numpy().round(3)}, simultaneous play is stable up to h = {limit:.3f}")
assert spectra["R1, γ = 0.0"].leftmost == 0 and spectra["R1, γ = 0.0"].angle == 90
assert spectra["R1, γ = 0.3"].leftmost > 0 and spectra["R1, γ = 1.5"].angle == 0

# %%
# A small GAN of modules, on a batch, at its start. ``report`` is the page to print when training misbehaves.

torch.manual_seed(0)
G = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2))
D = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))


def losses(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Both players' losses from one forward pass."""
    fake = d(g(batch["noise"]))
    return softplus(-fake).mean(), softplus(-d(batch["real"])).mean() + softplus(fake).mean()


batch = {"real": torch.randn(128, 2), "noise": torch.randn(128, 2)}
page = diagnostics.report(mm.Game(losses), (G, D), batch)
print(page)
assert not page.spectrum.exact and page.spectrum.residuals.max() < 1e-3
assert page.rotation.ratio > 0

sns.set_theme(style="ticks", palette="colorblind")
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.2), layout="constrained")
diagnostics.draw_spectrum(spectra, left, step=0.8)
left.set_title("The Dirac-GAN, exactly")
diagnostics.draw_spectrum(page.spectrum, right)
right.set_title("A GAN of two networks, the ten largest")

plt.show()
