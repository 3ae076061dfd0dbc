"""Pictures. matplotlib and seaborn are imported when one is drawn: the library does not need them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from minimax.diagnostics._looks import looks
from minimax.diagnostics._spectrum import Spectrum, spectrum
from minimax.errors import GameError
from minimax.game import Game
from minimax.optimizer import GameOptimizer, checked
from minimax.oracle import Players
from minimax.validation import real, shown, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(
    game: Game,
    players: Players,
    batch: Any = None,
    *,
    optimizers: Mapping[str, GameOptimizer] | Sequence[GameOptimizer] = (),
    start: Players | None = None,
    step: float | None = None,
) -> Figure:
    """The spectrum at the players and, beside it, the paths of optimizers: in the phase portrait or on a plane.

    Two players of one number each have a phase portrait, with the players starred; the paths of others are drawn if
    there are optimizers, on the plane that shows most of them.

    Costs what `spectrum`, `draw_phase` and `draw_paths` cost; all can be drawn alone.

    Args:
        game: the losses.
        players: where to look, an equilibrium say.
        batch: as the losses take it.
        optimizers: whose paths to draw: by label, or their names are the labels.
        start: where these paths start; (1, 1) by default for two numbers, else it must be given.
        step: h; draws the disk in which simultaneous play with this step is stable.

    Raises:
        ImportError: matplotlib and seaborn are not installed.
        TypeError: optimizers that are none.
        ValueError: no start for optimizers of larger games, or a step that is not above 0.

    Example:
        >>> import torch, minimax as mm
        >>> form = mm.games.scsc()
        >>> figure = draw(form.game, form.equilibrium, optimizers=[mm.ExtraGradient(mm.sgd(0.05))], step=0.05)
        >>> [ax.get_xlabel() for ax in figure.axes]
        ['Re λ', 'player 1']
    """
    plt, _ = _libraries()
    named, portrait = _named(optimizers), _numbers(players)
    width = 2 if portrait or named else 1
    figure, axes = plt.subplots(1, width, figsize=(5 * width, 5), layout="constrained", squeeze=False)
    draw_spectrum(spectrum(game, players, batch), axes[0, 0], step)
    if portrait:
        draw_phase(game, named, start, batch, equilibrium=players, ax=axes[0, 1])
        axes[0, 1].set_title("The flow -F")
    elif named:
        draw_paths(game, named, start, batch, center=players, ax=axes[0, 1])
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
        ValueError: a step that is not above 0.

    Example:
        >>> import torch, minimax as mm
        >>> dirac = mm.games.dirac_gan(gamma=0.3)
        >>> ax = draw_spectrum(mm.diagnostics.spectrum(dirac.game, dirac.equilibrium), step=0.2)
        >>> ax.get_xlabel()
        'Re λ'
    """
    if step is not None:
        real("step", step, above=0)
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
    start: Players | None = None,
    batch: Any = None,
    *,
    steps: int = 100,
    limits: tuple[float, float] = (-2.0, 2.0),
    points: int = 25,
    equilibrium: Players | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The flow -F of a game of two numbers, and the paths of optimizers through it, each in the look of its name.

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
        GameError: a game of other players; see `draw_paths`.
        ImportError: matplotlib and seaborn are not installed.
        TypeError: optimizers that are none.
        ValueError: no steps, fewer than two points, or limits that are no interval.

    Example:
        >>> import minimax as mm
        >>> ax = draw_phase(mm.zero_sum(lambda x, y: x * y), [mm.ExtraGradient(mm.sgd(0.2))], points=5)
        >>> ax.get_legend().get_texts()[0].get_text()
        'extragradient'
    """
    named = _named(optimizers)
    whole("steps", steps, at_least=1)
    whole("points", points, at_least=2)
    real("limits[0]", limits[0])
    real("limits[1]", limits[1], above=limits[0])
    plt = _libraries()[0]
    start = (torch.tensor(1.0), torch.tensor(1.0)) if start is None else _values(start)
    if not _numbers(start):
        raise GameError("a phase portrait is of two players with one number each: use draw_paths.")
    ax = _axes(plt, ax)
    grid = torch.linspace(*limits, points)
    x, y = (side.to(start[0]) for side in torch.meshgrid(grid, grid, indexing="xy"))
    u, v = _flow(game, start, x.reshape(-1), y.reshape(-1), batch, x.shape)
    ax.streamplot(grid.numpy(), grid.numpy(), u, v, color="0.75", linewidth=0.7, density=1.1, arrowsize=0.8, zorder=1)
    for name, style in looks(named).items():
        path = _path(game, named[name], start, batch, steps, 10 * max(map(abs, limits)))
        ax.plot(*path.T, **style, linewidth=1.6, markersize=3.5, label=name, zorder=3)
    ax.plot(*(float(s) for s in start), "o", color="black", markersize=5, zorder=4)
    if equilibrium is not None:
        ax.plot(*(float(s) for s in _values(equilibrium)), "*", color="black", markersize=12, zorder=4)
    ax.set(xlim=limits, ylim=limits, xlabel="player 1", ylabel="player 2", aspect="equal")
    if named:
        ax.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize="small", loc="upper right")
    return ax


def draw_paths(
    game: Game,
    optimizers: Mapping[str, GameOptimizer] | Sequence[GameOptimizer],
    start: Players | None = None,
    batch: Any = None,
    *,
    steps: int = 100,
    center: Players | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The paths of optimizers through a game of any size, seen on one plane, each in the look of its name.

    It is the plane through the center that shows most of all paths together: the two leading right singular vectors of
    their points less the center. The axes say how much of the squared distances each shows; what is left is not seen.

    Costs what the optimizers spend, and a copy of the players per step and optimizer, on the CPU.

    Args:
        game: the losses.
        optimizers: whose paths to draw: by label, or their names are the labels.
        start: where the paths start; tensors or modules, which are left alone.
        batch: as the losses take it, the same everywhere.
        steps: of every path. A path that goes three times as far from the center as its start ends; from a start in
            the center, one that goes ten times as far as this is from 0.
        center: players, an equilibrium say, marked by a star; the start by default, without a star.
        ax: where to draw; by default a new figure.

    Raises:
        ImportError: matplotlib and seaborn are not installed.
        TypeError: optimizers that are none.
        ValueError: no optimizers, no start, or no steps.

    Example:
        >>> import torch, minimax as mm
        >>> form = mm.games.bilinear(dim=3, condition=2.0)
        >>> draw_paths(form.game, [mm.ExtraGradient(mm.sgd(0.3))], form.start, center=form.equilibrium).get_title()
        'Paths, on the plane that shows most of them'
    """
    named = _named(optimizers)
    whole("steps", steps, at_least=1)
    if not named or start is None:
        raise ValueError("paths of optimizers need optimizers, and a start: pass start=players.")
    plt = _libraries()[0]
    game, start = game.functional(start)
    origin = _flat(start if center is None else game.functional(center)[1])
    away = float((_flat(start) - origin).norm())
    far = 3 * away if away > 0 else 10 * max(1.0, float(origin.norm()))
    paths = {name: _path(game, each, start, batch, steps, far, origin) - origin for name, each in named.items()}
    plane, shares = _plane(torch.cat(list(paths.values())))
    ax = _axes(plt, ax)
    for name, style in looks(named).items():
        ax.plot(*(paths[name] @ plane).T, **style, linewidth=1.6, markersize=3.5, label=name, zorder=3)
    ax.plot(*((_flat(start) - origin) @ plane), "o", color="black", markersize=5, zorder=4)
    if center is not None:
        ax.plot(0, 0, "*", color="black", markersize=12, zorder=4)
    labels = [f"direction {k} ({share:.0%} of the paths)" for k, share in enumerate(shares, 1)]
    ax.set(xlabel=labels[0], ylabel=labels[1], title="Paths, on the plane that shows most of them")
    ax.legend(frameon=True, framealpha=0.9, edgecolor="none", fontsize="small")
    return ax


def _plane(points: Tensor) -> tuple[Tensor, list[float]]:
    """Two orthonormal directions, shape (n, 2), and the share of the squared distances that each shows."""
    _, σ, V = torch.linalg.svd(points, full_matrices=False)
    V, σ = V[:2].T, σ.square() / σ.square().sum().clamp(min=1e-300)
    if V.shape[1] < 2:  # one number in all
        V, σ = torch.nn.functional.pad(V, (0, 1)), torch.nn.functional.pad(σ, (0, 1))
    return V * V.sum(0).sign().where(V.sum(0) != 0, 1.0), σ[:2].tolist()  # a singular vector has no sign of its own


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


def _named(optimizers: Mapping[str, GameOptimizer] | Sequence[GameOptimizer]) -> dict[str, GameOptimizer]:
    """Every optimizer by a label of its own."""
    if not isinstance(optimizers, Mapping | list | tuple):
        raise TypeError(
            f"optimizers must be a list of optimizers, or a dict of them by label, got {shown(optimizers)}."
        )
    if isinstance(optimizers, Mapping):
        return {str(name): checked(each) for name, each in optimizers.items()}
    names = Counter(checked(each).name for each in optimizers)
    labels = [each.name if names[each.name] == 1 else f"{k}: {each.name}" for k, each in enumerate(optimizers, 1)]
    return dict(zip(labels, optimizers, strict=True))


def _values(players: Players) -> tuple[Any, ...]:
    return tuple(players.values() if isinstance(players, Mapping) else players)


def _numbers(players: Players) -> bool:
    values = _values(players)
    return len(values) == 2 and all(isinstance(x, Tensor) and x.numel() == 1 for x in values)


def _flat(players: Players) -> Tensor:
    """All numbers of the players, on the CPU."""
    return torch.cat([leaf.detach().reshape(-1).double().cpu() for leaf in pytree.tree_leaves(players)])


def _flow(game: Game, start: Players, x: Tensor, y: Tensor, batch: Any, shape: torch.Size) -> tuple[Any, Any]:
    ξ = [game.field((a.reshape(start[0].shape), b.reshape(start[1].shape)), batch) for a, b in zip(x, y, strict=True)]
    u, v = (torch.stack([field[i].reshape(()) for field in ξ]).reshape(shape) for i in range(2))
    return -u.cpu().numpy(), -v.cpu().numpy()


def _path(
    game: Game,
    optimizer: GameOptimizer,
    players: Players,
    batch: Any,
    steps: int,
    far: float,
    origin: Tensor | float = 0.0,
) -> Tensor:
    """The points of a path, shape (steps + 1, n), or fewer if it goes far from the origin."""
    state = optimizer.init(game, players)
    drawn = batch if optimizer.draws == 1 or batch is None else [batch] * optimizer.draws
    points = [_flat(players)]
    for _ in range(steps):
        players, state, _ = optimizer.step(game, players, state, drawn)
        if not bool(torch.isfinite(_flat(players)).all()):
            break
        points.append(_flat(players))
        if not float((points[-1] - origin).abs().max()) < far:
            break
    return torch.stack(points)


def _libraries() -> tuple[Any, Any]:
    try:
        import matplotlib.pyplot as plt
        import seaborn as sns
    except ImportError as error:
        raise ImportError("drawing needs matplotlib and seaborn: pip install seaborn.") from error
    return plt, sns


def _axes(plt: Any, ax: Axes | None) -> Any:
    return plt.subplots(figsize=(5, 5), layout="constrained")[1] if ax is None else ax
