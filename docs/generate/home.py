"""The picture of the first page."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import seaborn as sns
import torch

import minimax as mm

STEP = 0.3


def save(path: Path) -> None:
    """Draw three methods on the bilinear game, unless they are drawn already."""
    if path.is_file():
        return
    methods = [kind(mm.sgd(STEP)) for kind in (mm.SimultaneousGDA, mm.AlternatingGDA, mm.ExtraGradient)]
    start = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))
    with sns.axes_style("ticks"), sns.plotting_context("notebook"):
        figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
        game = mm.zero_sum(lambda x, y: x * y)
        mm.diagnostics.draw_phase(game, methods, start, steps=30, limits=(-3, 3), equilibrium=(0.0, 0.0), ax=ax)
        ax.get_legend().remove()
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        ax.set(title="min over x, max over y of xy", xlabel="x", ylabel="y")
        sns.despine(figure)
        figure.savefig(path, dpi=150)
        plt.close(figure)
