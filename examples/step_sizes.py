"""Two hundred step sizes at once: where does each method stop converging, and what does theory say?"""

import torch

import minimax as mm

closed = mm.games.scsc(mu=1.0, sigma=3.0)  # x²/2 + 3xy - y²/2
limits = mm.diagnostics.stable_step(closed.game, closed.equilibrium)
steps = torch.linspace(0.005, 1.0, 200)
methods = {
    "simultaneous": mm.SimultaneousGDA(mm.sgd(steps)),  # a rate per member
    "alternating": mm.AlternatingGDA(mm.sgd(steps)),
    "extragradient": mm.ExtraGradient(mm.sgd(steps)),
    "optimistic": mm.OptimisticGDA(mm.sgd(steps)),
}
for name, optimizer in methods.items():
    found = mm.ensemble(closed.game, optimizer, [closed.start] * len(steps), steps=600, limits=mm.Limits(growth=1e3))
    size = torch.stack(found.players).norm(dim=0)
    converging = (size < 1e-2) & ~found.diverged
    largest = float(steps[converging].max())
    print(f"{name:14} {int(found.diverged.sum()):3} of {len(found)} diverged; converges up to {largest:.3f}", end="")
    print(f", theory {limits[name]:.3f}")
    assert abs(largest - limits[name]) < 0.02
    assert converging[steps < 0.9 * limits[name]][5:].all() and not converging[steps > 1.1 * limits[name]].any()
