"""Pictures. matplotlib and seaborn are imported when one is drawn: the library does not need them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from minimax.diagnostics.spectrum import Spectrum, spectrum
from minimax.game import Game, GameError, Players
from minimax.optimizer import GameOptimizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(
    game: Game,
    players: Players,
    batch: Any = None,
    *,
    optimizers: Mapping[str, GameOptimizer] | Sequence[GameOptimizer] = (),
    start: Players = None,
    step: float | None = None,
) -> Figure:
    """The spectrum at the players and, for two players of one number each, the phase portrait with the players starred.

    Costs what `spectrum` and `draw_phase` cost; both can be drawn alone.

    Args:
        game: the losses.
        players: where to look, an equilibrium say.
        batch: as the losses take it.
        optimizers: whose paths the portrait shows: by label, or their names are the labels.
        start: where these paths start; (1, 1) by default.
        step: h; draws the disk in which simultaneous play with this step is stable.

    Raises:
        ImportError: matplotlib and seaborn are not installed.

    Example:
        >>> import torch, minimax as mm
        >>> form = mm.games.scsc()
        >>> figure = draw(form.game, form.equilibrium, optimizers=[mm.ExtraGradient(mm.sgd(0.05))], step=0.05)
        >>> [ax.get_xlabel() for ax in figure.axes]
        ['Re λ', 'player 1']
    """
    plt, _ = _libraries()
    portrait = _numbers(players)
    width = 2 if portrait else 1
    figure, axes = plt.subplots(1, width, figsize=(5 * width, 5), layout="constrained", squeeze=False)
    draw_spectrum(spectrum(game, players, batch), axes[0, 0], step)
    if portrait:
        draw_phase(game, optimizers, start, batch, equilibrium=players, ax=axes[0, 1])
        axes[0, 1].set_title("The flow -F")
    return figure  # type: ignore[no-any-return]


def draw_spectrum(
    spectrum: Spectrum | Mapping[str, Spectrum], ax: Axes | None = None, step: float | None = None
) -> Axes:
    """Eigenvalues in the complex plane; the half plane that repels gradient play is shaded.

    Args:
        spectrum: of `spectrum`, or several by name. Ritz values carry a circle of the size of their residual.
        ax: where to draw; by default a new figure.
        step: h; draws the disk |1 - hλ| <= 1 in which simultaneous play with this step is stable.

    Raises:
        ImportError: matplotlib and seaborn are not installed.

    Example:
        >>> import torch, minimax as mm
        >>> dirac = mm.games.dirac_gan(gamma=0.3)
        >>> ax = draw_spectrum(mm.diagnostics.spectrum(dirac.game, dirac.equilibrium), step=0.2)
        >>> ax.get_xlabel()
        'Re λ'
    """
    plt, sns = _libraries()
    from matplotlib.patches import Circle

    named = spectrum if isinstance(spectrum, Mapping) else {"": spectrum}
    colors = sns.color_palette("colorblind", len(named))
    ax = _axes(plt, ax)
    for (name, found), color in zip(named.items(), colors, strict=True):
        λ = found.eigenvalues.numpy()
        ax.scatter(λ.real, λ.imag, s=36, color=color, edgecolor="white", linewidth=0.6, label=name or None, zorder=3)
        for center, radius in zip(λ, found.residuals.tolist(), strict=True):
            ax.add_patch(Circle((center.real, center.imag), radius, color=color, alpha=0.15, zorder=2))
    everything = torch.cat([found.eigenvalues for found in named.values()])
    reach = 1.2 * max(float(everything.real.abs().max()), float(everything.imag.abs().max())) or 1.0
    width = max(reach, 1e-12) if everything.real.abs().max() > 0.15 * reach else 0.5 * reach
    ax.set(xlim=(-width, width), ylim=(-reach, reach), xlabel="Re λ", ylabel="Im λ", aspect="equal")
    ax.axvspan(-width, 0, color="0.92", zorder=0)
    ax.text(0.02, 0.98, "repels", transform=ax.transAxes, va="top", color="0.4", fontsize="small")
    ax.axhline(0, color="0.6", linewidth=0.8, zorder=1)
    ax.axvline(0, color="0.6", linewidth=0.8, zorder=1)
    if step is not None:
        disk = Circle((1 / step, 0), 1 / step, fill=False, color="0.3", linestyle="--", label=f"stable at h = {step:g}")
        ax.add_patch(disk)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, fontsize="small", loc="lower right")
    ax.set_title("Eigenvalues of DF" if all(found.exact for found in named.values()) else "Leading Ritz values of DF")
    return ax


def draw_phase(
    game: Game,
    optimizers: Mapping[str, GameOptimizer] | Sequence[GameOptimizer] = (),
    start: Players = None,
    batch: Any = None,
    *,
    steps: int = 100,
    limits: tuple[float, float] = (-2.0, 2.0),
    points: int = 25,
    equilibrium: Players = None,
    ax: Axes | None = None,
) -> Axes:
    """The flow -F of a game of two numbers, and the paths of optimizers through it.

    Costs 2 `points`² gradients for the flow, and what the optimizers spend.

    Args:
        game: of two players, a number (0-dim or of shape (1,)) each.
        optimizers: whose paths to draw: by label, or their names are the labels.
        start: where the paths start; (1, 1) by default.
        batch: as the losses take it, the same everywhere.
        steps: of every path. A path that leaves the window ends at its frame.
        limits: of both axes.
        points: of the flow per axis.
        equilibrium: marked by a star.
        ax: where to draw; by default a new figure.

    Raises:
        GameError: a game of other players.
        ImportError: matplotlib and seaborn are not installed.

    Example:
        >>> import minimax as mm
        >>> ax = draw_phase(mm.zero_sum(lambda x, y: x * y), [mm.ExtraGradient(mm.sgd(0.2))], points=5)
        >>> ax.get_legend().get_texts()[0].get_text()
        'extragradient'
    """
    plt, sns = _libraries()
    start = (torch.tensor(1.0), torch.tensor(1.0)) if start is None else tuple(start)
    if not _numbers(start):
        raise GameError("a phase portrait is of two players with one number each.")
    ax = _axes(plt, ax)
    grid = torch.linspace(*limits, points)
    x, y = (side.to(start[0]) for side in torch.meshgrid(grid, grid, indexing="xy"))
    u, v = _flow(game, start, x.reshape(-1), y.reshape(-1), batch, x.shape)
    ax.streamplot(grid.numpy(), grid.numpy(), u, v, color="0.75", linewidth=0.7, density=1.1, arrowsize=0.8, zorder=1)
    named = optimizers if isinstance(optimizers, Mapping) else {each.name: each for each in optimizers}
    for (name, optimizer), color in zip(named.items(), sns.color_palette("colorblind", len(named)), strict=True):
        path = _path(game, optimizer, start, batch, steps, max(map(abs, limits)))
        ax.plot(*path, color=color, linewidth=1.6, marker=".", markersize=3.5, label=name, zorder=3)
    ax.plot(*(float(s) for s in start), "o", color="black", markersize=5, zorder=4)
    if equilibrium is not None:
        ax.plot(*(float(s) for s in equilibrium), "*", color="black", markersize=12, zorder=4)
    ax.set(xlim=limits, ylim=limits, xlabel="player 1", ylabel="player 2", aspect="equal")
    if named:
        ax.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize="small", loc="upper right")
    return ax


def draw_run(records: Mapping[str, Sequence[float]], title: str = "", measure: str = "|F|") -> Figure:
    """A run's losses, and the residual on a log axis, against the gradients spent.

    Args:
        records: `Solution.records`, or a history read back: `gradients`, `loss_0`, ... and `norm`.
        title: written above.
        measure: what `norm` is.

    Raises:
        ImportError: matplotlib and seaborn are not installed.
        ValueError: no step was recorded.

    Example:
        >>> draw_run({"gradients": [2, 4], "loss_0": [1.0, 0.5], "norm": [1.0, 0.1]}).axes[1].get_yscale()
        'log'
    """
    plt, sns = _libraries()
    if not len(records.get("gradients", ())):
        raise ValueError("there is nothing to plot: no step was recorded.")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    spent, losses = records["gradients"], [name for name in records if name.startswith("loss_")]
    marker = "." if len(spent) <= 50 else ""
    for name, color in zip(losses, sns.color_palette("colorblind", len(losses)), strict=True):
        left.plot(spent, records[name], color=color, marker=marker, label=f"player {name.removeprefix('loss_')}")
    left.legend(frameon=False, fontsize="small")
    left.set(xlabel="gradients", ylabel="loss")
    right.plot(spent, records["norm"], color="black", marker=marker)
    positive = any(0 < norm < math.inf for norm in records["norm"])
    right.set(xlabel="gradients", ylabel=measure, yscale="log" if positive else "linear")
    sns.despine(figure)
    figure.suptitle(title, fontsize="medium")
    return figure  # type: ignore[no-any-return]


def _numbers(players: Players) -> bool:
    return len(players) == 2 and all(isinstance(x, Tensor) and x.numel() == 1 for x in players)


def _flow(game: Game, start: Players, x: Tensor, y: Tensor, batch: Any, shape: torch.Size) -> tuple[Any, Any]:
    ξ = [game.field((a.reshape(start[0].shape), b.reshape(start[1].shape)), batch) for a, b in zip(x, y, strict=True)]
    u, v = (torch.stack([field[i].reshape(()) for field in ξ]).reshape(shape) for i in range(2))
    return -u.cpu().numpy(), -v.cpu().numpy()


def _path(
    game: Game, optimizer: GameOptimizer, players: Players, batch: Any, steps: int, window: float
) -> tuple[list[float], list[float]]:
    state = optimizer.init(game, players)
    drawn = batch if optimizer.draws == 1 or batch is None else [batch] * optimizer.draws
    xs, ys = [float(players[0])], [float(players[1])]
    for _ in range(steps):
        players, state, _ = optimizer.step(game, players, state, drawn)
        xs.append(float(players[0]))
        ys.append(float(players[1]))
        if not max(abs(xs[-1]), abs(ys[-1])) < 10 * window:
            break
    return xs, ys


def _libraries() -> tuple[Any, Any]:
    try:
        import matplotlib.pyplot as plt
        import seaborn as sns
    except ImportError as error:
        raise ImportError("drawing needs matplotlib and seaborn: pip install seaborn.") from error
    return plt, sns


def _axes(plt: Any, ax: Axes | None) -> Any:
    return plt.subplots(figsize=(5, 5), layout="constrained")[1] if ax is None else ax
