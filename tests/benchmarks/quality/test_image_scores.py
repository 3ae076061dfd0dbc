import math

import pytest
import torch

from benchmarks import data
from benchmarks.quality import features
from benchmarks.quality.image_scores import image_metrics, image_scores


@pytest.fixture(scope="module")
def digits() -> data.Images:
    data.prepare("digits")
    features.prepare("digits")
    return data.load("digits")


@pytest.fixture(scope="module")
def digits64(digits: data.Images) -> features.Features:
    return features.load("digits")


@pytest.mark.parametrize("count", [64, 200])
@pytest.mark.parametrize("asked", [False, True])
def test_scores_are_those_that_are_declared(
    digits: data.Images, digits64: features.Features, count: int, asked: bool
) -> None:
    labels = digits.train_labels[:count] if asked else None
    scores = image_scores(digits64, digits.test[:count], digits.train[:count], labels)
    declared = {metric.name: metric for metric in image_metrics(digits64, count, asked)}
    assert list(scores) == list(declared)
    assert ("fd" in scores, "agreement" in scores) == (count >= 128, asked)
    for name, value in scores.items():
        low, high = declared[name].range
        assert low <= value <= high
    assert scores.get("agreement", 1.0) > 0.95


def test_images_that_are_not_finite_score_nan(digits: data.Images, digits64: features.Features) -> None:
    broken = torch.full_like(digits.test[:200], math.nan)
    scores = image_scores(digits64, digits.test[:200], broken)
    assert all(math.isnan(value) for value in scores.values())
