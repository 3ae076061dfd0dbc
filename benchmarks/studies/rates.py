"""Every optimizer on every closed-form game: steps and gradients to 1e-6, and the measured rate beside the theory's.

`python -m benchmarks.studies.rates` writes `rates.csv` and `figures/rates.png` to runs/games in a few minutes. All
methods take plain gradient steps of one size per game, h = 1/(4L); none is tuned. Each row names the `law` of its
residual: linear, with the factor per step in `theory`; O(1/k) or sublinear, with the measured power of the step in
`exponent`; adaptive, where the step depends on the past; or why there is none.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch.utils import _pytree as pytree

import minimax as mm
from benchmarks import exchange, record
from benchmarks.reporting import figures
from benchmarks.reporting.looks import place
from minimax import games, tree
from minimax.games import ClosedForm
from minimax.info import Info
from minimax.linear_maps import Expansion
from minimax.optimizers import BY_NAME
from minimax.playing import magnitude
from minimax.recording import ReadsNumbers, Recording
from minimax.types import State

Floats: TypeAlias = NDArray[np.float64]

TOLERANCE = 1e-6
ROUNDING = 1e-6
"""By how much the modulus of a double eigenvalue 1 may miss it: the square root of that of a simple one, and more."""


def closed_forms() -> list[ClosedForm]:
    """The games, from pure rotation to pure descent and on to those that plain play gets wrong."""
    return [
        games.bilinear(dim=4, condition=4.0),
        games.cyclic(3),
        games.dirac_gan(),
        replace(games.dirac_gan(gamma=0.3), name="Dirac-GAN, R1"),
        replace(games.dirac_nsgan(gamma=0.3), name="Dirac-NSGAN, R1"),
        games.scsc(),
        games.rotated_saddle(),
        games.linear_quadratic_gan(),
        games.cooperative(),
        games.tandem(),
        games.hidden_minimax(),
        games.spurious_point(),
        games.monkey_saddle(),
        games.matching_pennies(),
        games.rock_paper_scissors(),
    ]


def residual(game: mm.Game, players: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """|z - P(z - F(z))|: |F| without constraints, and zero at the solutions of the game with them."""
    oracle, z = game.enter(players)
    ξ, _ = oracle.field(z, None)
    back = [oracle.project(i, tree.sub(z_i, ξ_i)) for i, (z_i, ξ_i) in enumerate(zip(z, ξ, strict=True))]
    return tree.norm(tree.sub(tree.join(z), tree.join(tuple(back))))


def beside(form: ClosedForm, by: float = 0.1) -> tuple[torch.Tensor, ...]:
    """The game's start moved a little, always the same: exactly there the slowest mode may happen to be absent."""
    seeded = torch.Generator().manual_seed(0)
    moved = tuple(z + by * torch.randn(z.shape, generator=seeded, dtype=z.dtype) for z in form.start)
    oracle, z = form.game.enter(moved)
    inside: tuple[torch.Tensor, ...] = oracle.leave(tuple(oracle.project(i, z_i) for i, z_i in enumerate(z)))
    return inside


def walk(game: mm.Game, players: Any, optimizer: mm.GameOptimizer) -> Iterator[tuple[list[float], mm.Cost]]:
    """Step by step the residual before it, |z| after it, a number that is finite if all it saw was, and its cost.

    A step that reads no numbers is recorded at the second one: its operators alone take about half of the time.
    """

    def step(players: Any, state: State) -> tuple[tuple[Any, State], torch.Tensor, mm.Cost]:
        moved, state, info = optimizer.step(game, players, state)
        before = info.residual if info.at == Info.at else residual(game, players)  # most look at where they start
        seen = torch.stack([before, magnitude(moved), info.norm + tree.total(info.losses)])
        return (moved, state), seen, info.cost

    at, seen, cost = step(players, optimizer.init(game, players))
    yield seen.tolist(), cost
    try:
        graph, leaves = Recording(step, *at).graph, pytree.tree_leaves(at)
    except ReadsNumbers:
        while True:
            at, seen, cost = step(*at)
            yield seen.tolist(), cost
    while True:
        with torch.inference_mode():
            out = graph(*leaves)
        leaves, (seen, *spent) = out[: len(leaves)], out[len(leaves) :]
        yield seen.tolist(), mm.Cost(*spent)


def play(form: ClosedForm, optimizer: mm.GameOptimizer, steps: int) -> dict[str, Any]:
    """One run: how it ended, its steps and its cost in gradients, and its measured rate."""
    z = beside(form)
    next(mm.iterate(form.game, z, optimizer))  # for what it refuses
    limit = mm.Limits().growth * max(1.0, float(magnitude(z)))
    values, ended, spent = list[float](), "budget", mm.Cost()
    for ((before, size, seen), cost), ((after, *_), _) in islice(pairwise(walk(form.game, z, optimizer)), steps):
        values, spent = values or [before], spent + cost
        values.append(after)
        if not math.isfinite(size + seen) or size > limit:
            ended = "diverged"
            break
        if after <= TOLERANCE:
            ended = "converged"
            break
    gradients = exchange.theory(len(z)).units(spent)
    ends = {"ended": ended, "steps": len(values) - 1, "gradients": gradients}
    return ends | {"rate": math.exp(slope(values)), "exponent": slope(values, of=np.log)}


def slope(values: list[float], of: Callable[[Floats], Floats] = np.asarray) -> float:
    """The slope of the log residual, on the step or on its log, over the second half of a run; nan for one point."""
    half = len(values) // 2
    k, r = np.arange(half, len(values), dtype=float), np.array(values[half:])
    good = (k > 0) & (r > 0) & (r < math.inf)
    return float(np.polyfit(of(k[good]), np.log(r[good]), 1)[0]) if good.sum() > 1 else math.nan


# --- what theory says: the spectral radius of one step on the linearised game -----------------------------------------


def local(form: ClosedForm) -> Expansion | str:
    """What the factors near the equilibrium are computed from, or the law that rules instead."""
    if not form.eigenvalues:
        return "undefined: F has no derivative at the equilibrium"
    at = mm.diagnostics.expand(form.game, form.equilibrium)
    if not at.J.any():
        return "sublinear: DF = 0"
    oracle, z = form.game.enter(form.equilibrium)
    for direction in 1e-3 * torch.cat([at.J, at.J.T]):  # where play moves must be inside, so that nothing projects
        moved = [z_i[0].reshape(-1) + direction[part] for z_i, part in zip(z, at.blocks, strict=True)]
        if any(not torch.allclose(oracle.project(i, [w])[0], w) for i, w in enumerate(moved)):
            return "undefined: the constraints bind at the equilibrium"
    return at


def theory(at: Expansion | str, optimizer: mm.GameOptimizer) -> tuple[float, str]:
    """The factor per step near the equilibrium and its law, which says why where the factor is nan."""
    if optimizer.adaptive:
        return math.nan, "adaptive"
    found = at if isinstance(at, str) else optimizer.linear(at)
    if isinstance(at, str) or isinstance(found, str):
        return math.nan, str(found)
    factor = found.factor(at)
    if found.sublinear and factor <= 1 + ROUNDING:
        return math.nan, "O(1/k)"
    return factor, "linear; its mean O(1/k)" if found.mean else "linear"


def rows(steps: int) -> Iterator[dict[str, Any]]:
    """The table, row by row; a method that is not defined for a game says so."""
    for form in closed_forms():
        h = 0.25 / form.lipschitz if 0 < form.lipschitz < math.inf else 0.1
        at = local(form)
        print(f"{form.name}: h = {h:.3g}", flush=True)
        for name in sorted(BY_NAME, key=place):
            optimizer = BY_NAME[name].of(mm.sgd(h))
            factor, law = theory(at, optimizer)
            row = {"game": form.name, "optimizer": name, "h": h, "law": law, "theory": factor}
            try:
                run = play(form, optimizer, steps)
                yield row | run | ({} if law.startswith(("O(1/k)", "sublinear")) else {"exponent": math.nan})
            except mm.GameError as error:
                yield row | {"ended": "undefined", "reason": str(error)}


def draw(table: pd.DataFrame) -> Figure:
    """Left, gradients to 1e-6 (✗ diverged, blank not within the budget); right, measured against predicted factor."""
    with figures.style():
        figure = Figure(figsize=(15, 6.4), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(2.3, 1))
        order = list(dict.fromkeys(table.game)), list(dict.fromkeys(table.optimizer))
        solved = table.gradients.where(table.ended == "converged")
        grid = table.assign(value=np.log10(solved)).pivot(index="game", columns="optimizer", values="value")
        marks = table.assign(mark=table.ended.map({"diverged": "✗", "undefined": "·"}).fillna(""))
        text = marks.pivot(index="game", columns="optimizer", values="mark")
        grid, text = (frame.reindex(index=order[0], columns=order[1]) for frame in (grid, text))
        sns.heatmap(
            grid, cmap="crest", linewidths=0.5, ax=left, xticklabels=True, cbar_kws={"label": "log10 gradients"}
        )
        left.grid(False)
        for i, game in enumerate(order[0]):
            for j, optimizer in enumerate(order[1]):
                left.text(j + 0.5, i + 0.5, text.loc[game, optimizer], ha="center", va="center", color="0.3")
        left.set(xlabel="", ylabel="", title="gradients to 1e-6; ✗ diverged, · undefined, blank: not within the budget")
        left.set_xticks(left.get_xticks(), order[1], rotation=50, ha="right", rotation_mode="anchor")
        compare(right, table[table.ended == "converged"])
    return figure


def compare(ax: Axes, runs: pd.DataFrame, within: float = 0.01) -> None:
    """Measured against predicted factors as decades per step; runs that are further off than `within` by name."""
    known = runs[runs.theory.between(1e-12, 1 - 1e-12) & runs.rate.between(1e-12, 1 - 1e-12)]
    x, y = -np.log10(known.theory), -np.log10(known.rate)
    ax.scatter(x, y, s=14, alpha=0.5, linewidths=0)
    for i in known.index[(known.theory - known.rate).abs() > within][:10]:
        ax.annotate(f"{known.game[i]}, {known.optimizer[i]}  ", (x[i], y[i]), fontsize="x-small", ha="right")
    ax.axline((1e-2, 1e-2), (1e-1, 1e-1), color="0.5", linewidth=0.8, zorder=0)
    ax.set(xscale="log", yscale="log", xlabel="predicted decades per step", ylabel="measured")
    for axis in (ax.xaxis, ax.yaxis):
        figures.plain(axis)
    ax.set_title(f"-log10 of the factor per step, {len(known)} converged runs")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.rates", description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1000, help="budget of every run (default 1000)")
    parser.add_argument("--results", type=Path, default=Path("runs"), help="where games/ lies (default runs)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    table = pd.DataFrame(rows(options.steps))
    home = options.results / "games"
    record.write_atomic(home / "rates.csv", table.to_csv(index=False, float_format="%.6g").encode())
    for path in (home / "rates.csv", *figures.save(draw(table), home / "figures" / "rates")):
        print(path)


if __name__ == "__main__":
    main()
