"""Is this normal? What a critic's logits say about where a GAN stands, in one line."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from minimax.diagnostics._gaps import Gap
from minimax.diagnostics._rotation import Rotation
from minimax.validation import real, shown


@dataclass(frozen=True)
class Verdict:
    """Where a GAN stands; printed, it is a line.

    Args:
        kind: equilibrium, undecided, collapsed, saturated, stuck, lagging or playing (see `verdict`).
        bound: what the critic proves of the Jensen-Shannon divergence of data and samples, in nats: at least this.
        error: its standard error.
        reason: what was found, in words.
    """

    kind: Literal["equilibrium", "undecided", "collapsed", "saturated", "stuck", "lagging", "playing"]
    bound: float
    error: float
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}: JSD >= {self.bound:.3g} ± {self.error:.1g} of at most 0.693; {self.reason}."


def verdict(
    on_real: Tensor,
    on_fake: Tensor,
    *,
    gap: Gap | None = None,
    rotation: Rotation | None = None,
    level: float = 0.05,
) -> Verdict:
    r"""Whether losses that stand still are an equilibrium, a saturated critic or one that has collapsed.

    A critic with logits D proves JSD >= log 2 - ½ (E softplus(-D(real)) + E softplus(D(fake))), with equality for the
    best one. With `level` as a share of log 2, and of a nat for the gap:

    - saturated: the bound is at most `level` from log 2; all samples are told apart, and what the generator hears
      through log(1 - σ(D)) is next to nothing.
    - playing: the bound is between; the usual state of a GAN that learns.
    - stuck: the same, but the gap is about 0: samples are told apart, and yet nobody gains by moving alone. The
      generator is as good as it can be, or it is dead, which its gradient norm of 0 gives away.
    - lagging: the bound is below -`level`; guessing would do better, the critic has not caught up.
    - equilibrium: the bound is about 0, and so is the gap; no player could gain.
    - collapsed: the bound is about 0, but the gap is not; a better critic exists, this one has given up.
    - undecided: the bound is about 0, and no gap was given to tell these two apart.

    Args:
        on_real: logits of data, of any shape; the critic must be one whose loss is the logistic one.
        on_fake: logits of samples.
        gap: of `duality_gap`, in the same losses.
        rotation: of `rotation`, to say whether losses may be expected to cycle.
        level: in (0, ½).

    Raises:
        ValueError: logits that are empty or not finite, or a level out of its range.

    Example:
        >>> import torch
        >>> print(verdict(torch.full((8,), 9.0), torch.full((8,), -9.0)))
        saturated: JSD >= 0.693 ± 0 of at most 0.693; the critic tells all samples apart, E σ(D(fake)) = 0.000123.

    Source: Goodfellow et al., Generative Adversarial Nets, 2014.
    """
    real("level", level, above=0, below=0.5)
    terms = [softplus(-_logits("on_real", on_real)), softplus(_logits("on_fake", on_fake))]
    bound = log(2) - float(sum(term.mean() for term in terms)) / 2
    error = sqrt(sum(float(term.var(correction=0)) / len(term) for term in terms)) / 2
    turning = "" if rotation is None else f"; DF lies at {rotation.angle:.0f}° of 90° from potential to rotation"
    share = bound / log(2)
    if share >= 1 - level:
        heard = float(on_fake.double().sigmoid().mean())
        return Verdict(
            "saturated", bound, error, f"the critic tells all samples apart, E σ(D(fake)) = {heard:.3g}{turning}"
        )
    if share > level and bound > 2 * error:
        if gap is not None and gap.total <= level:
            why = (
                f"samples are told apart, and yet moving alone gains {gap.total:.3g}: a generator at its best, or dead"
            )
            return Verdict("stuck", bound, error, f"{why}{turning}")
        return Verdict(
            "playing", bound, error, f"the critic tells some samples apart, as it should while both learn{turning}"
        )
    if share < -level and bound < -2 * error:
        return Verdict("lagging", bound, error, f"guessing would do better than the critic: let it catch up{turning}")
    said = "the critic tells nothing apart"
    if gap is None:
        return Verdict(
            "undecided", bound, error, f"{said}: an equilibrium if no better critic exists, which gap= tells{turning}"
        )
    gain = f"the players could gain {gap.total:.3g} by moving alone"
    if gap.total > level:
        return Verdict("collapsed", bound, error, f"{said}, though {gain}{turning}")
    return Verdict("equilibrium", bound, error, f"{said}, and {gain}{turning}")


def _logits(name: str, logits: Tensor) -> Tensor:
    values = logits.detach().double().reshape(-1) if isinstance(logits, Tensor) else torch.zeros(0)
    if not len(values) or not bool(torch.isfinite(values).all()):
        raise ValueError(f"{name} must be finite logits, at least one, got {shown(logits)}.")
    return values
