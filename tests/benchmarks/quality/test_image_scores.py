import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks import data
from benchmarks.quality import features
from benchmarks.quality.image_scores import COLLAPSED, COPIED, OFF, Scorer

Rigged = Callable[[Scorer], Tensor]
FEW, MANY = 200, 512  # of the 597 test images; the first leaves others that can be scored


def scorer(count: int, asked: bool = False) -> Scorer:
    data.prepare("digits")
    features.prepare("digits")
    return Scorer(data.load("digits"), features.load("digits"), features.load("digits", seed=1), count, asked=asked)


@pytest.fixture(scope="module")
def digits() -> Scorer:
    return scorer(MANY)


@pytest.fixture(scope="module")
def half() -> Scorer:
    return scorer(FEW)


@pytest.mark.parametrize("count", [64, FEW])
@pytest.mark.parametrize("asked", [False, True])
def test_scores_are_those_that_are_declared(count: int, asked: bool) -> None:
    it = scorer(count, asked)
    known, labels = it.images.train[:count], it.images.train_labels[:count]
    scores = it(known, labels if asked else None)
    declared = {metric.name: metric for metric in it.metrics()}
    assert list(scores) == list(declared)
    assert ("fd" in scores, "agreement" in scores) == (count >= 128, asked)
    for name, value in scores.items():
        low, high = declared[name].range
        assert low <= value <= high
    assert scores.get("agreement", 1.0) > 0.95


def noise(it: Scorer) -> Tensor:
    stream = torch.Generator().manual_seed(0)
    return 2 * torch.rand(it.count, *it.images.train.shape[1:], generator=stream) - 1


def unseen(it: Scorer) -> Tensor:
    """Test images that no other is compared with."""
    hidden = Scorer(it.images, it.features, it.second, len(it.images.test))
    return hidden.real.pixels.unflatten(1, (1, 8, 8))[it.count : 2 * it.count]


def again(count: int) -> Rigged:
    return lambda it: it.images.train[torch.arange(it.count) % count]


def of_one_class(it: Scorer) -> Tensor:
    some = it.images.train[it.images.train_labels == 3]
    return some[torch.arange(it.count) % len(some)]


@pytest.mark.parametrize(
    ("rigged", "flags"),
    [
        (again(MANY), {COPIED}),
        (again(10), {COPIED, COLLAPSED}),
        (again(1), {COPIED, COLLAPSED}),
        (of_one_class, {COPIED, COLLAPSED}),
        (noise, {COLLAPSED, OFF}),
        (lambda it: torch.zeros_like(noise(it)), {COLLAPSED, OFF}),
    ],
    ids=["copies", "ten images", "one image", "one class", "noise", "grey"],
)
def test_a_rigged_generator_is_called_what_it_is(digits: Scorer, rigged: Rigged, flags: set[str]) -> None:
    scores = digits(rigged(digits))
    assert {metric.flag for metric in digits.metrics("kid") if metric.fails(scores[metric.name])} == flags


def test_samples_flag_nothing_where_something_else_leads(digits: Scorer) -> None:
    assert {metric.flag for metric in digits.metrics("kid") if metric.gate is not None} == {COPIED, COLLAPSED, OFF}
    assert not any(metric.coverage or metric.gate is not None for metric in digits.metrics())


def test_real_images_are_flagged_as_nothing(half: Scorer) -> None:
    scores = half(unseen(half))
    assert not [metric.flag for metric in half.metrics("kid") if metric.fails(scores[metric.name])]


def test_floors_hold_every_score_and_real_images_lie_in_their_own_band(half: Scorer) -> None:
    floors = list(half.floors())
    names = [metric.name for metric in half.metrics()]
    kinds = list(dict.fromkeys(floor.what for floor in floors))
    assert kinds == ["real", "class means", "10 images", "100 images", "blurred"]
    for what in kinds:
        assert [floor.metric for floor in floors if floor.what == what] == names
    scores = half(unseen(half))
    for floor in floors[: len(names)]:
        assert floor.low is not None and floor.high is not None and floor.low <= floor.value <= floor.high
        width = floor.high - floor.low
        assert floor.low - width <= scores[floor.metric] <= floor.high + width or floor.metric == "memorised"


def test_one_score_alone_is_gamed_and_another_tells(digits: Scorer) -> None:
    """Each trivial generator beats a fair one in some score, and fails in another."""
    value = {(floor.what, floor.metric): floor.value for floor in digits.floors()}
    assert value["class means", "precision"] > value["real", "precision"]
    assert value["class means", "recall"] < 0.1 and value["class means", "ndb"] > 0.5
    assert value["100 images", "kid"] < 0.05 < value["10 images", "kid"]
    assert value["100 images", "memorised"] == 1.0 and value["100 images", "coverage"] < value["real", "coverage"]


def test_images_that_are_not_finite_score_nan(digits: Scorer) -> None:
    scores = digits(torch.full_like(digits.images.test[:MANY], math.nan))
    assert all(math.isnan(value) for value in scores.values())
