"""All of it on one page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minimax.diagnostics._equilibrium import Equilibrium, classify
from minimax.diagnostics._local import Local
from minimax.diagnostics._rotation import Alignment, Rotation, alignment, rotation
from minimax.diagnostics._spectrum import Spectrum, spectrum
from minimax.diagnostics._stability import bearable, stable_step
from minimax.game import Game
from minimax.oracle import Players
from minimax.validation import whole


@dataclass(frozen=True, eq=False)
class Report:
    """What `report` found; prints as a page.

    `stable_step` is that of the function of this name, `bearable_step` the same for the λ among these with Re λ > 0
    alone: where others leave the point, as in networks that learn, it says up to which step the rest is calm.
    """

    sizes: tuple[int, ...]
    losses: tuple[float, ...]
    norms: tuple[float, ...]
    equilibrium: Equilibrium
    rotation: Rotation
    alignment: Alignment
    spectrum: Spectrum
    stable_step: dict[str, float]
    bearable_step: dict[str, float]

    def __str__(self) -> str:
        lines = [_title(self.sizes), "", *_players(self.losses, self.norms), "", *_point(self.equilibrium), ""]
        return "\n".join(
            [
                *lines,
                *_rotation(self.rotation, self.alignment),
                "",
                *_spectrum(self.spectrum),
                "",
                *_steps(self.stable_step, self.bearable_step),
            ]
        )


def report(game: Game, players: Players, batch: Any = None, *, products: int = 70, seed: int = 0) -> Report:
    """Losses, kind of equilibrium, rotation, spectrum and stable step sizes at a point, to be printed.

    Costs about five n (up to 512 parameters) or 4 `products` Hessian-vector products.

    Args:
        game: the losses.
        players: the point; tensors or modules.
        batch: as the losses take it; large enough to stand for the data.
        products: Hessian-vector products for the spectrum of a large game.
        seed: of the random vectors.

    Raises:
        GameError: players that do not fit the game.
        ValueError: products or a seed that are no counts.

    Example:
        >>> import torch, minimax as mm
        >>> zero = (torch.tensor(0.0), torch.tensor(0.0))
        >>> found = report(mm.zero_sum(lambda x, y: x**2 / 2 + 3 * x * y - y**2 / 2), zero)
        >>> found.equilibrium.kind, found.rotation.ratio
        ('local Nash', 3.0)
    """
    whole("products", products, at_least=1)
    whole("seed", seed, at_least=0)
    local = Local(game, players, batch)
    options: dict[str, Any] = {"products": products, "seed": seed}
    found = spectrum(game, players, batch, k=min(10, products), **options)
    λ = found.eigenvalues.numpy()
    return Report(
        sizes=local.sizes,
        losses=tuple(float(loss) + 0.0 for loss in local.linear.losses),
        norms=tuple(float(part.norm()) for part in local.field.split(local.sizes)),
        equilibrium=classify(game, players, batch, seed=seed),
        rotation=rotation(game, players, batch, seed=seed),
        alignment=alignment(game, players, batch),
        spectrum=found,
        stable_step=stable_step(game, players, batch, **options),
        bearable_step=bearable(λ[λ.real > 0]),
    )


def _title(sizes: tuple[int, ...]) -> str:
    who = "1 player" if len(sizes) == 1 else f"{len(sizes)} players"
    return f"A game of {who} with {' + '.join(map(str, sizes))} = {sum(sizes)} parameters"


def _players(losses: tuple[float, ...], norms: tuple[float, ...]) -> list[str]:
    pairs = zip(losses, norms, strict=True)
    return [f"  player {i}     loss {loss: .5g}, gradient norm {norm:.3g}" for i, (loss, norm) in enumerate(pairs)]


def _point(point: Equilibrium) -> list[str]:
    curved = [f"{value:.3g}" + ("" if value > 0 else " (not a minimum)") for value in point.own]
    reach = "draws gradient play in" if point.leftmost > 0 else "does not draw gradient play in"
    lines = [f"  point        {point.kind} ({point.measure} = {point.norm:.3g})"]
    lines += [f"               smallest curvature of each player's loss: {', '.join(curved)}"]
    if point.leader is not None:
        lines += [f"               and of the leader's, the follower answering: {point.leader:.3g}"]
    return [*lines, f"               smallest Re λ of DF: {point.leftmost:.3g}, so to first order it {reach}"]


def _rotation(found: Rotation, pointing: Alignment) -> list[str]:
    error = "" if found.exact else f" ± {found.error:.2g}"
    return [
        f"  rotation     |A|/|S| = {found.ratio:.3g}{error}, {found.angle:.0f}° from potential (0°) to rotation (90°)",
        f"               cos(F, ∇½|F|²) = {pointing.field:.3f}: a small step of gradient play makes |F| "
        + ("smaller" if pointing.field > 0 else "larger" if pointing.field < 0 else "neither smaller nor larger"),
    ]


def _spectrum(found: Spectrum) -> list[str]:
    kind = f"all {found.n} eigenvalues" if found.exact else f"leading Ritz values from {found.hvps} products"
    shown = found.eigenvalues[:10].tolist()
    more = "" if len(found.eigenvalues) == len(shown) else f", the first {len(shown)}"
    lines = [f"  spectrum     of DF, {kind}{more}", "               λ                      |λ|       residual"]
    for λ, residual in zip(shown, found.residuals.tolist(), strict=False):
        exact = "exact" if found.exact else f"{residual:.1e}"
        lines.append(f"               {λ.real: 9.3g} {λ.imag:+9.3g}i   {abs(λ):9.3g}   {exact:>8}")
    return lines


def _steps(stable: dict[str, float], bearable: dict[str, float]) -> list[str]:
    lines = ["  stable step  of SGD, on the linearised game"]
    for name, limit in sorted(stable.items(), key=lambda item: item[1]):
        rest = bearable.get(name, 0.0)
        apart = f", but for the λ that leave {_upto(rest)}" if limit == 0 < rest else ""
        lines.append(f"               {name:14} {_upto(limit)}{apart}")
    return lines


def _upto(limit: float) -> str:
    return "none" if limit == 0 else "any" if limit == float("inf") else f"up to {limit:.3g}"
