r"""Noise: why extragradient fails on samples, and what repairs it
=================================================================

With the exact field extragradient comes home. With a new sample at each of its half steps it may diverge: it looks
ahead in one game and moves in another. Larger steps for looking than for moving repair that, and so does variance
reduction, where the noise dies out with the distance.
"""

import math
from itertools import islice

import matplotlib.pyplot as plt
import seaborn as sns
import torch

import minimax as mm

# %%
# The game :math:`E\,(1 + e)\,xy` with coins :math:`e = \pm 1`: half of the samples are 2xy, the other half say
# nothing. One run is an anecdote, so the players are 200 pairs of numbers, each with coins of its own: 200 games side
# by side.

runs, steps, h = 200, 300, 0.3
game = mm.zero_sum(lambda x, y, e: ((1 + e) * x * y).sum())
coins = 2 * torch.randint(2, (2 * steps, runs), generator=torch.Generator().manual_seed(0)).double() - 1
exact = torch.zeros(runs, dtype=torch.float64)  # the mean of all coins
start = (torch.ones_like(exact), torch.ones_like(exact))
methods = {
    "one sample for both half steps": mm.ExtraGradient(mm.sgd(h)),
    "a sample each": mm.ExtraGradient(mm.sgd(h), fresh=True),
    "a sample each, looks 15 times further": mm.ExtraGradient(mm.sgd(h / 15), explore=15.0, fresh=True),
    "variance reduction (SVRE)": mm.SVRE(mm.sgd(h), iterations=1),
}
distance = {}
for name, optimizer in methods.items():
    pairs = zip([exact] * steps, coins[:steps], strict=True)  # the snapshot of SVRE sees the mean
    batches = [e for pair in pairs for e in pair] if isinstance(optimizer, mm.SVRE) else list(coins)
    path = [torch.stack(it.players).norm(dim=0) for it in islice(mm.iterate(game, start, optimizer, batches), steps)]
    distance[name] = torch.stack(path) / 2**0.5

# %%
# The median of the runs, and the middle 80 % of them.

sns.set_theme(style="ticks", palette="colorblind")
figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for name, values in distance.items():
    low, middle, high = values.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64), dim=1)
    (line,) = ax.semilogy(range(1, steps + 1), middle, lw=2.5, label=name)
    ax.fill_between(range(1, steps + 1), low, high, color=line.get_color(), alpha=0.15, linewidth=0)
ax.axhline(1, color="0.6", zorder=0)
ax.set(xlabel="step", ylabel="distance from the solution / at the start", ylim=(1e-6, 1e3), title="f = E (1 + e) xy")
ax.legend(frameon=False, loc="lower left")
sns.despine(figure)

# %%
# With :math:`c = 1 + e`, which is 0 or 2, a step multiplies the squared distance by :math:`(1 - \rho h^2 c_1 c_2)^2 +
# h^2 c_2^2`, where :math:`\rho` says how much further it looks. So the mean is :math:`1 - 2(\rho - 1)h^2 + 4\rho^2
# h^4` for a sample each, above 1 if :math:`\rho = 1` *whatever the step size*, and :math:`1 - 2h^2 + 8h^4` for the
# same one. All cases are as likely, so that one step from each gives the exact mean.


def mean_square(optimizer: mm.GameOptimizer) -> float:
    """By what one step multiplies |z|², on average over all coins: runs 0 to 3 get one case each."""
    cases = torch.tensor([[-1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, -1.0, 1.0]], dtype=torch.float64)
    z = (torch.ones_like(cases[0]), torch.ones_like(cases[0]))
    drawn = [0 * cases[0], cases[0]] if isinstance(optimizer, mm.SVRE) else list(cases[: optimizer.draws])
    z, _, _ = optimizer.step(game, z, optimizer.init(game, z), drawn if optimizer.draws > 1 else drawn[0])
    return float(torch.stack(z).square().sum()) / 8


h2, ρ = h**2, 15.0
theory = [1 - 2 * h2 + 8 * h2**2, 1 + 4 * h2**2, 1 - 2 * (ρ - 1) * h2 / ρ**2 + 4 * h2**2 / ρ**2, 1 - h2 + 2 * h2**2]
for (name, optimizer), mean in zip(methods.items(), theory, strict=True):
    print(f"{name:38} mean |z|² times {mean:.4f} a step; the median run ends at {distance[name][-1].median():.2g}")
    assert math.isclose(mean_square(optimizer), mean, rel_tol=1e-9)
    assert (distance[name][-1].median() < 1) == (mean < 1)

plt.show()
