"""Reading a spectrum: why the Dirac-GAN circles, what R1 does to it, and the same question asked of a network.

`python examples/spectrum.py PICTURE.png` also draws it (needs seaborn).
"""

import sys

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from minimax import diagnostics

# Eigenvalues on the imaginary axis: pure rotation. R1 pulls them to the right, until they meet on the real axis.
spectra = {}
for gamma in (0.0, 0.3, 1.5):
    dirac = mm.games.dirac_gan(gamma=gamma)
    spectra[f"γ = {gamma}"] = found = diagnostics.spectrum(dirac.game, dirac.equilibrium)
    limit = diagnostics.stable_step(dirac.game, dirac.equilibrium)["simultaneous"]
    print(f"γ = {gamma}: λ = {found.eigenvalues.numpy().round(3)}, simultaneous play is stable up to h = {limit:.3f}")
assert spectra["γ = 0.0"].leftmost == 0 and spectra["γ = 0.0"].angle == 90
assert spectra["γ = 0.3"].leftmost > 0 and spectra["γ = 1.5"].angle == 0

if len(sys.argv) > 1:
    diagnostics.draw_spectrum(spectra, step=0.5).figure.savefig(sys.argv[1])

# A network has too many parameters for a matrix: leading Ritz values, from products alone.
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
