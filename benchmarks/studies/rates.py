"""Every optimizer on every closed-form game: steps and gradients to 1e-6, and the measured rate beside the theory's.

`python -m benchmarks.studies.rates` writes `rates.csv` and `figures/rates.png` to results/games in a few minutes. All
methods take plain gradient steps of one size per game, h = 1/(4L); none is tuned. Each row names the `law` of its
residual: linear, with the factor per step in `theory`; O(1/k) or sublinear, with the measured power of the step in
`exponent`; adaptive, where the step depends on the past; or why there is none.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import minimax as mm
from benchmarks.reporting import figures
from minimax import games, tree
from minimax.games import ClosedForm
from minimax.optimizers import BY_NAME
from minimax.solve import magnitude

Matrix: TypeAlias = NDArray[np.float64]
Blocks: TypeAlias = list[slice]

TOLERANCE = 1e-6
ELSEWHERE = "undefined: the equilibrium is not its fixed point"


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


def beside(form: ClosedForm, by: float = 0.1) -> tuple[torch.Tensor, ...]:
    """The game's start moved a little, always the same: exactly there the slowest mode may happen to be absent."""
    seeded = torch.Generator().manual_seed(0)
    moved = tuple(z + by * torch.randn(z.shape, generator=seeded, dtype=z.dtype) for z in form.start)
    oracle, z = form.game.enter(moved)
    return oracle.leave(tuple(oracle.project(i, z_i) for i, z_i in enumerate(z)))


def play(form: ClosedForm, optimizer: mm.GameOptimizer, steps: int) -> dict[str, Any]:
    """One run: how it ended, steps and gradients (a product counts as two per player), and its measured rate."""
    z, n = beside(form), len(form.start)
    start, values, ended = magnitude(z), [residual(form.game, z)], "budget"
    cost = mm.Cost()
    for it in islice(mm.iterate(form.game, z, optimizer), steps):
        values.append(residual(form.game, it.players))
        cost = it.cost
        if (verdict := mm.Limits().judge(it, start)) and verdict.kind == "diverged":
            ended = "diverged"
            break
        if values[-1] <= TOLERANCE:
            ended = "converged"
            break
    gradients = cost.gradients + 2 * n * cost.hvps
    ends = {"ended": ended, "steps": len(values) - 1, "gradients": gradients}
    return ends | {"rate": math.exp(slope(values)), "exponent": slope(values, of=np.log)}


def slope(values: list[float], of: Callable[[Matrix], Matrix] = np.asarray) -> float:
    """The slope of the log residual, on the step or on its log, over the second half of a run; nan for one point."""
    half = len(values) // 2
    k, r = np.arange(half, len(values), dtype=float), np.array(values[half:])
    good = (k > 0) & (r > 0) & (r < math.inf)
    return float(np.polyfit(of(k[good]), np.log(r[good]), 1)[0]) if good.sum() > 1 else math.nan


# --- what theory says: the spectral radius of one step on the linearised game -----------------------------------------


def radius(M: Matrix, J: Matrix) -> float:
    """The largest modulus of the eigenvalues of M, without the directions that no residual J z ever shows."""
    shown = np.concatenate([J @ np.linalg.matrix_power(M, k)[: len(J)] for k in range(len(M))])
    _, σ, V = np.linalg.svd(shown, full_matrices=False)
    seen = V[σ > 1e-8 * σ[0]]
    return float(np.abs(np.linalg.eigvals(seen @ M @ seen.T)).max())


@dataclass(frozen=True)
class Local:
    """A game to second order at its equilibrium: the Hessian and the gradient of every player's loss there.

    Args:
        H: the Hessians in all players' parameters, (n, n) each; rows i of H_i are the rows i of J = DF.
        g: the gradients, (n,) each; the parts that are not a player's own need not be zero.
        blocks: where each player's parameters lie.
        bent: whether ∂_y∂_y L_2 is another one nearby.
    """

    H: list[Matrix]
    g: list[Matrix]
    blocks: Blocks
    bent: bool = False

    @property
    def J(self) -> Matrix:
        """DF."""
        return np.concatenate([H_i[part] for H_i, part in zip(self.H, self.blocks, strict=True)])

    @property
    def off(self) -> Matrix:
        """DF without its own-player blocks."""
        off = self.J
        for part in self.blocks:
            off[part, part] = 0
        return off

    def raised(self, i: int, by: Matrix) -> Matrix:
        """J with something added to player i's rows."""
        J = self.J
        J[self.blocks[i]] += by
        return J

    def shaped(self, i: int) -> bool:
        """Whether player i gains, at the equilibrium, by how the others answer its move."""
        pulls = [self.J[part, self.blocks[i]].T @ self.g[i][part] for j, part in enumerate(self.blocks) if j != i]
        return max(float(np.abs(pull).max()) for pull in pulls) > 1e-9


def expand(form: ClosedForm, players: tuple[torch.Tensor, ...]) -> Local:
    """The losses of a game to second order at any point."""
    oracle, ends = form.game.enter(players)[0], np.cumsum([player.numel() for player in players])

    def alone(i: int) -> mm.Game:
        return mm.cooperative(lambda *z: oracle.loss(tuple([part] for part in z), i, None), players=len(players))

    every = [alone(i) for i in range(len(players))]
    return Local(
        H=[mm.diagnostics.jacobian(game, players).numpy() for game in every],
        g=[np.concatenate([part.numpy().reshape(-1) for part in game.field(players)]) for game in every],
        blocks=[slice(int(end) - player.numel(), int(end)) for end, player in zip(ends, players, strict=True)],
    )


def local(form: ClosedForm) -> Local | str:
    """What the factors near the equilibrium are computed from, or the law that rules instead."""
    if not form.eigenvalues:
        return "undefined: F has no derivative at the equilibrium"
    at = expand(form, form.equilibrium)
    if not at.J.any():
        return "sublinear: DF = 0"
    oracle, z = form.game.enter(form.equilibrium)
    for direction in 1e-3 * np.concatenate([at.J, at.J.T]):  # where play moves must be inside, so that nothing projects
        moved = [z_i[0].reshape(-1) + torch.from_numpy(direction[part]) for z_i, part in zip(z, at.blocks, strict=True)]
        if any(not torch.allclose(oracle.project(i, [w])[0], w) for i, w in enumerate(moved)):
            return "undefined: the constraints bind at the equilibrium"
    near = expand(form, tuple(player + 0.01 for player in form.equilibrium))
    y = at.blocks[-1]
    return replace(at, bent=not np.allclose(near.J[y, y], at.J[y, y]))


def lola(at: Local, o: Any) -> Matrix | str:
    """The field of LOLA, with χ_i = Σ_{j≠i} (∂_i∂_j L_j)ᵀ ∂_j L_i."""
    P = at.J - o.alpha * at.off @ at.J
    for i, x in enumerate(at.blocks):
        P[x] -= o.alpha * sum(at.J[y, x].T @ at.H[i][y] for y in at.blocks if y != x)
    return ELSEWHERE if any(at.shaped(i) for i in range(len(at.blocks))) else P


def unrolled(at: Local, o: Any, h: float) -> Matrix | str:
    """The leader descends L_1(x, y_K) with y_K = R y + D x; all the followers are y."""
    x, y = at.blocks[0], slice(at.blocks[0].stop, None)
    step = np.eye(len(at.J))
    step[y] -= h * at.J[y]
    ahead = np.linalg.matrix_power(step, o.steps)  # [[I, 0], [D, R]]
    leader = (at.H[0][x] + ahead[y, x].T @ at.H[0][y]) @ ahead
    return ELSEWHERE if at.shaped(0) else at.raised(0, leader - at.J[x])


def implicit(at: Local, o: Any) -> Matrix | str:
    """Follow-the-Ridge and Stackelberg, which solve in J_yy by conjugate gradients from zero.

    Where J_yy is zero throughout they stay at zero, as the pseudoinverse does, and both are simultaneous play.
    """
    if len(at.blocks) != 2:
        return "undefined: for two players"
    x, y = at.blocks
    own, μ = at.J[y, y], o.damping * np.eye(len(at.J[y]))
    if abs(np.linalg.det(own)) < 1e-12 and (own.any() or at.bent):
        return "undefined: J_yy is singular at the equilibrium"
    if o.name == "follow-the-ridge":
        return at.raised(1, -np.linalg.pinv(own @ own + μ) @ own @ at.J[y, x] @ at.J[x])
    return ELSEWHERE if at.shaped(0) else at.raised(0, -at.J[y, x].T @ np.linalg.pinv(own + μ) @ at.H[0][y])


def fields(at: Local, o: Any, h: float) -> dict[str, Callable[[], Matrix | str]]:
    """Per method with one move per step, z⁺ = z - h P z: P on the linearised game, or why there is none."""
    J, off, blocks = at.J, at.off, at.blocks

    def penalised() -> Matrix:
        x = blocks[o.generator]
        return at.raised(o.generator, 2 * o.eta * sum(J[y, x].T @ J[y] for y in blocks if y != x))

    return {
        "simultaneous": lambda: J,
        "consensus": lambda: J + o.gamma * J.T @ J,
        "hamiltonian": lambda: J.T @ J,
        "jare": lambda: J + o.gamma * off.T @ J,
        "sga": lambda: J + o.lam * (J.T - J) / 2 @ J,
        "lookahead-gradient": lambda: J - o.alpha * off @ J,
        "sos": lambda: J - o.alpha * off @ J,  # LookAhead, as its share of shaping is at most |F|²
        "cgd": lambda: np.linalg.solve(np.eye(len(J)) + h * off, J),
        "nagarajan-kolter": penalised,
        "lola": lambda: lola(at, o),
        "unrolled": lambda: unrolled(at, o, h),
        "follow-the-ridge": lambda: implicit(at, o),
        "stackelberg": lambda: implicit(at, o),
    }


def passes(at: Local, o: Any, h: float) -> dict[str, Callable[[], Matrix | str]]:
    """Per method with several moves, or with memory: its step on the linearised game, lookahead's a round."""
    J, eye = at.J, np.eye(len(at.J))

    def in_turn(order: Sequence[slice]) -> Matrix:
        M = eye.copy()
        for part in order:
            M[part] -= h * J[part] @ M
        return M

    def beam() -> Matrix | str:  # one candidate's play, if the others join it before they are chosen again
        v = at.blocks[-1]
        M = in_turn([v] * o.steps + [slice(0, v.start)])
        apart = float(np.abs(1 - h * np.linalg.eigvalsh(J[v, v])).max()) ** o.steps
        joined = apart < 1 - 1e-12 and apart < radius(M, J) + 1e-9
        return M if joined else "undefined: the candidates merge too slowly or never"

    def rounds() -> Matrix | str:
        M = step_map(at, o.inner, h)
        return M if isinstance(M, str) else (1 - o.alpha) * eye + o.alpha * np.linalg.matrix_power(M, o.k)

    def extragradient(scale: float = 1, explore: float = 1) -> Matrix:
        return eye - scale * h * J + scale * explore * h**2 * J @ J

    return {
        "alternating": lambda: in_turn(at.blocks),
        "k-beam": beam,
        "extragradient": lambda: extragradient(explore=o.explore),
        "optimistic": lambda: np.block([[eye - 2 * h * J, h * J], [eye, 0 * eye]]),  # of z and the last z
        "past-extragradient": lambda: np.block([[eye - h * J, -h * o.explore * J], [-h * J, -h * o.explore * J]]),
        "lookahead": rounds,
        "svre": lambda: np.linalg.matrix_power(extragradient(), o.iterations),  # without samples there is no noise
        "averaging": lambda: step_map(at, o.inner, h),
        "halpern": lambda: step_map(at, o.inner, h),  # this and the next two: when the anchor's weight has vanished
        "extra-anchored-gradient": extragradient,
        "fast-extragradient": lambda: extragradient(1 + 2 * o.rho),
    }


def step_map(at: Local, o: Any, h: float) -> Matrix | str:
    """One step of the optimizer near the equilibrium, or why it has no linear map there."""
    known = passes(at, o, h)
    if o.name in known:
        return known[o.name]()
    P = fields(at, o, h).get(o.name, lambda: "undefined: no formula here")()
    return P if isinstance(P, str) else np.eye(len(P)) - h * P


def theory(at: Local | str, o: Any, h: float) -> tuple[float, str]:
    """The factor per step near the equilibrium and its law, which says why where the factor is nan."""
    if o.name in ("golden-ratio", "anderson-mixing"):
        return math.nan, "adaptive"
    M = at if isinstance(at, str) else step_map(at, o, h)
    if isinstance(at, str) or isinstance(M, str):
        return math.nan, str(M)
    factor = radius(M, at.J)
    if o.name in ("halpern", "extra-anchored-gradient", "fast-extragradient") and factor <= 1:
        return math.nan, "O(1/k)"
    law = "linear; its mean O(1/k)" if o.name == "averaging" else "linear"
    return factor ** (1 / o.k if o.name == "lookahead" else 1), law


def rows(steps: int) -> Iterator[dict[str, Any]]:
    """The table, row by row; a method that is not defined for a game says so."""
    for form in closed_forms():
        h = 0.25 / form.lipschitz if 0 < form.lipschitz < math.inf else 0.1
        at = local(form)
        print(f"{form.name}: h = {h:.3g}", flush=True)
        for name, kind in BY_NAME.items():
            optimizer = kind.of(mm.sgd(h))
            factor, law = theory(at, optimizer, h)
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
    parser.add_argument("--results", type=Path, default=Path("results"), help="where games/ lies (default results)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    table = pd.DataFrame(rows(options.steps))
    home = options.results / "games"
    (home / "figures").mkdir(parents=True, exist_ok=True)
    table.to_csv(home / "rates.csv", index=False, float_format="%.6g")
    for path in (home / "rates.csv", *figures.save(draw(table), home / "figures" / "rates")):
        print(path)


if __name__ == "__main__":
    main()
