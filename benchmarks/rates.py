"""Every optimizer on every closed-form game: steps and gradients to 1e-6, and the measured rate beside the theory's.

`python -m benchmarks.rates` writes `rates.csv` and `figures/rates.png` to results/games in a few minutes. All methods
take plain gradient steps (mirror-prox aside) of one size per game, h = 1/(4L); none is tuned.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minimax as mm
from benchmarks import plots
from minimax import games, tree
from minimax.games import ClosedForm
from minimax.optimizers import BY_NAME
from minimax.solve import magnitude

Matrix: TypeAlias = NDArray[np.float64]
Blocks: TypeAlias = list[slice]

TOLERANCE = 1e-6


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


def residual(game: mm.Game, players: tuple[torch.Tensor, ...]) -> float:
    """|z - P(z - F(z))|: |F| without constraints, and zero at the solutions of the game with them."""
    oracle, z = game.enter(players)
    ξ, _ = oracle.field(z, None)
    back = [oracle.project(i, tree.sub(z_i, ξ_i)) for i, (z_i, ξ_i) in enumerate(zip(z, ξ, strict=True))]
    return float(tree.norm(tree.sub(tree.join(z), tree.join(tuple(back)))))


def play(form: ClosedForm, optimizer: mm.GameOptimizer, steps: int) -> dict[str, Any]:
    """One run: how it ended, steps and gradients (a product counts as two per player), and its measured rate."""
    start, n = float(magnitude(form.start)), len(form.start)
    values, ended = [residual(form.game, form.start)], "budget"
    cost = mm.Cost()
    for it in islice(mm.iterate(form.game, form.start, optimizer), steps):
        values.append(residual(form.game, it.players))
        cost = it.cost
        if (verdict := mm.Limits().judge(it, torch.tensor(start))) and verdict.kind == "diverged":
            ended = "diverged"
            break
        if values[-1] <= TOLERANCE:
            ended = "converged"
            break
    gradients = cost.gradients + 2 * n * cost.hvps
    return {"ended": ended, "steps": len(values) - 1, "gradients": gradients, "rate": tail_rate(values)}


def tail_rate(values: list[float]) -> float:
    """The factor per step over the second half of a run, (r_T / r_{T/2})^{2/T}."""
    half = len(values) // 2
    first, last = values[half], values[-1]
    return (last / first) ** (1 / (len(values) - 1 - half)) if half and first > 0 < last < math.inf else math.nan


# --- what theory says: the spectral radius of one step on the linearised game -----------------------------------------


def radius(M: Matrix, J: Matrix) -> float:
    """The largest modulus of the eigenvalues of M on the directions that J sees; nan if there are none."""
    values, vectors = np.linalg.eig(M)
    seen = np.linalg.norm(J @ vectors[: len(J)], axis=0) > 1e-9
    return float(np.abs(values[seen]).max()) if seen.any() else math.nan


def maps(J: Matrix, blocks: Blocks, h: float) -> dict[str, Callable[[], float]]:
    """Per method with a linear step, its factor per step on F(z) = J z with the optimizer's default parameters."""
    eye, off = np.eye(len(J)), J.copy()
    for part in blocks:
        off[part, part] = 0
    skew = (J - J.T) / 2
    two = len(blocks) == 2

    def field(P: Matrix) -> Callable[[], float]:
        return lambda: radius(eye - h * P, J)

    def sweep() -> float:
        M = eye.copy()
        for part in blocks:
            M[part] -= h * J[part] @ M
        return radius(M, J)

    def leader(weight: float) -> Matrix:
        x, y = blocks
        P = J.copy()
        P[x] += weight * J[y, x].T @ J[y]
        return P

    def past() -> float:
        return radius(np.block([[eye - 2 * h * J, h * J], [eye, 0 * eye]]), J)

    found = {
        "simultaneous": field(J),
        "alternating": sweep,
        "extragradient": lambda: radius(eye - h * J + h**2 * J @ J, J),
        "optimistic": past,
        "past-extragradient": past,
        "lookahead": lambda: radius(0.5 * eye + 0.5 * np.linalg.matrix_power(eye - h * J, 5), J) ** 0.2,
        "consensus": field(J + 0.1 * J.T @ J),
        "hamiltonian": field(J.T @ J),
        "jare": field(J + 0.1 * off.T @ J),
        "sga": field(J + skew.T @ J),
        "lookahead-gradient": field(J - 0.1 * off @ J),
        "cgd": lambda: radius(eye - h * np.linalg.solve(eye + h * off, J), J),
    }
    if two:
        found["nagarajan-kolter"] = field(leader(0.2))
    if two and np.allclose(J[blocks[0], blocks[1]], -J[blocks[1], blocks[0]].T):
        found["lola"] = field(J - 0.2 * off @ J)
        if abs(np.linalg.det(J[blocks[1], blocks[1]])) > 1e-12:
            x, y = blocks
            ridge, total = J.copy(), J.copy()
            inverse = np.linalg.inv(J[y, y])
            ridge[y] -= inverse @ J[y, x] @ J[x]
            total[x] -= J[x, y] @ inverse @ J[y]
            found |= {"follow-the-ridge": field(ridge), "stackelberg": field(total)}
    return found


def theory(form: ClosedForm, name: str, h: float) -> float:
    """The factor per step that theory predicts near the equilibrium; nan where the method or the game has none."""
    if form.game.constraints is not None or not form.eigenvalues:
        return math.nan
    J = mm.diagnostics.jacobian(form.game, form.equilibrium).numpy()
    ends = np.cumsum([player.numel() for player in form.equilibrium])
    blocks = [slice(int(end) - player.numel(), int(end)) for end, player in zip(ends, form.equilibrium, strict=True)]
    predicted = maps(J, blocks, h)
    return predicted[name]() if name in predicted else math.nan


def rows(steps: int) -> Iterator[dict[str, Any]]:
    """The table, row by row; a method that is not defined for a game says so."""
    for form in closed_forms():
        h = 0.25 / form.lipschitz if 0 < form.lipschitz < math.inf else 0.1
        print(f"{form.name}: h = {h:.3g}", flush=True)
        for name, kind in BY_NAME.items():
            row = {"game": form.name, "optimizer": name, "h": h, "theory": theory(form, name, h)}
            try:
                yield row | play(form, kind.of(mm.sgd(h)), steps)
            except mm.GameError as error:
                yield row | {"ended": "undefined", "reason": str(error)}


def draw(table: pd.DataFrame) -> Figure:
    """Left, gradients to 1e-6 (✗ diverged, blank not within the budget); right, measured against predicted rate."""
    with plots.style():
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
        known = table[table.ended == "converged"].dropna(subset=["theory", "rate"])
        sns.scatterplot(known, x="theory", y="rate", hue="game", ax=right, s=22, legend="brief")
        ends = (float(known[["theory", "rate"]].min().min()), float(known[["theory", "rate"]].max().max()))
        right.plot(ends, ends, color="0.5", linewidth=0.8, zorder=0)
        right.set(xlabel="predicted factor per step", ylabel="measured", title="factor per step, converged runs")
        right.legend(fontsize="x-small", loc="best")
    return figure


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rates", description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1000, help="budget of every run (default 1000)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where games/ lies (default results)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    table = pd.DataFrame(rows(options.steps))
    home = options.results / "games"
    (home / "figures").mkdir(parents=True, exist_ok=True)
    table.to_csv(home / "rates.csv", index=False, float_format="%.6g")
    for path in (home / "rates.csv", *plots.save(draw(table), home / "figures" / "rates")):
        print(path)


if __name__ == "__main__":
    main()
