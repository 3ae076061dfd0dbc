"""What images score in a feature space, and how these scores are declared."""

from __future__ import annotations

import math
from dataclasses import replace

from torch import Tensor

from benchmarks.problem import Metric
from benchmarks.quality import distances, labels
from benchmarks.quality.features import Features


def image_scores(features: Features, real: Tensor, fake: Tensor, asked: Tensor | None = None) -> dict[str, float]:
    """Every score of generated images against as many real ones; all but agreement read nothing but their features.

    Args:
        features: the feature space, which also tells classes.
        real: images, (n, channels, side, side) in [-1, 1].
        fake: images, likewise.
        asked: the classes that the generated images were to be of, (n,); brings `agreement`.
    """
    x, (y, probabilities) = features(real), features.read(fake)
    scores = {"kid": distances.kid(x, y)}
    if _enough(features, len(real)):
        scores["fd"] = distances.fd(x, y)
    scores |= distances.prdc(x, y)
    scores |= {"sliced_w2": distances.sliced_w2(x, y), "classifier_score": distances.classifier_score(probabilities)}
    return scores if asked is None else {**scores, "agreement": labels.agreement(probabilities, asked)}


def image_metrics(features: Features, count: int, asked: bool = False, headline: str = "") -> tuple[Metric, ...]:
    """The declarations of what `image_scores` yields for so many images.

    Args:
        features: the feature space.
        count: how many images are compared; `fd` needs twice as many as there are features.
        asked: whether classes are asked for.
        headline: the name of the score that leads, if one of these does.
    """
    unit, share = features.name, (0.0, 1.0)
    declared = (
        Metric("kid", unit=unit),
        Metric("fd", unit=unit, range=(0, math.inf)),
        Metric("precision", "higher", unit, share),
        Metric("recall", "higher", unit, share, coverage=True),
        Metric("density", "higher", unit, (0, math.inf)),
        Metric("coverage", "higher", unit, share),
        Metric("sliced_w2", unit=unit, range=(0, math.inf)),
        Metric("classifier_score", "higher", unit, (1, features.classes)),
        Metric("agreement", "higher", unit, share),
    )
    absent = {name for name, there in (("fd", _enough(features, count)), ("agreement", asked)) if not there}
    return tuple(replace(m, headline=m.name == headline) for m in declared if m.name not in absent)


def _enough(features: Features, count: int) -> bool:
    return count >= 2 * features.dim
