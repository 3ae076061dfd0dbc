"""What a reader calls a metric: its name, which way is better, its unit. Needs no torch."""

from __future__ import annotations

from typing import NamedTuple

NAMES = {
    "kid": "kernel distance (KID)",
    "kid_second": "kernel distance, second features",
    "kid_pixels": "kernel distance, pixels",
    "fd": "Fréchet distance",
    "sliced_w2": "sliced Wasserstein distance",
    "w2": "Wasserstein distance",
    "code_w2": "Wasserstein distance of codes",
    "tv": "total variation",
    "ndb": "bins that differ",
    "memorised": "memorised images",
    "classifier_score": "classifier score",
    "class_kl": "imbalance of classes (KL)",
    "critic_wins": "critic tells apart",
    "critic_overfits": "critic overfits",
    "fair_modes": "modes with a fair share",
    "reverse_kl": "reverse KL over modes",
    "mode_jsd": "Jensen–Shannon over modes",
    "jsd": "Jensen–Shannon divergence",
    "share": "samples near a mode",
    "mi": "mutual information",
    "mi_continuous": "mutual information, continuous code",
    "code_accuracy": "codes name the class",
    "code_accuracy_test": "codes name the class, test images",
    "nll": "negative log likelihood",
    "elbo": "evidence bound (ELBO)",
    "kl": "KL divergence",
    "cycle_l1": "cycle error (L1)",
    "truth_l1": "error against the truth (L1)",
    "psnr": "peak signal to noise",
    "auc": "area under the ROC curve",
    "rmse": "root mean squared error",
    "field": "norm of the field",
    "field_norm": "norm of the field",
    "distance": "distance to the equilibrium",
}
"""Of metrics whose own name does not say it; others are read as they are, with spaces."""
ARROWS = {"lower": "↓", "higher": "↑"}


class Words(NamedTuple):
    """A metric in words.

    Args:
        name: for people.
        arrow: which way is better, as a sign; empty where neither is.
        direction: the same as words.
        unit: what it is counted in; empty for a pure number.
    """

    name: str
    arrow: str
    direction: str
    unit: str

    def __str__(self) -> str:
        """All of it in a line.

        >>> str(words("kid", "lower", "digits64"))
        'kernel distance (KID) ↓ [digits64]'
        """
        return " ".join(filter(None, [self.name, self.arrow, f"[{self.unit}]" if self.unit else ""]))


def words(metric: str, better: object = None, unit: object = "") -> Words:
    """A metric in words.

    Args:
        metric: its name in the tables.
        better: lower, higher, or neither.
        unit: as the problem declares it.
    """
    way = better if better in ("lower", "higher") else ""
    direction = f"{way} is better" if way else ""
    name = NAMES.get(metric, metric.replace("_", " "))
    return Words(name, ARROWS.get(str(way), ""), direction, unit if isinstance(unit, str) else "")
