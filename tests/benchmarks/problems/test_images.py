"""What the problems on images share."""

from dataclasses import replace

import pytest
import torch

from benchmarks.problem import Preset, Problem
from benchmarks.problems import discover
from benchmarks.problems._images import ImageProblem, grid
from benchmarks.problems.conditional import infogan
from benchmarks.problems.gans import gan, wgan
from benchmarks.quality.features import Classifier

KINDS = {name: found.kind for name, found in discover().items() if issubclass(found.kind, ImageProblem)}


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    gan.GAN.prepare(None, None, download=False)


def test_presets_grow_with_the_data() -> None:
    assert gan.GAN("cpu", "mnist").preset.steps > gan.GAN("cpu", "digits").preset.steps
    assert gan.GAN("smoke", "mnist").preset == gan.GAN("smoke").preset
    assert isinstance(gan.GAN("gpu", "mnist").preset, Preset)


def test_targets_are_stated_for_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    digits, other = infogan.InfoGAN("smoke"), infogan.InfoGAN("smoke")
    monkeypatch.setattr(other, "data", "mnist")
    assert {m.name: m.target for m in digits.aimed(*digits.metrics) if m.target} == {"code_accuracy": 0.75, "mi": 2.0}
    assert not any(metric.aim for metric in other.aimed(*digits.metrics))


def test_scores_are_named_after_their_feature_space() -> None:
    declared = {metric.name: metric for metric in gan.GAN("cpu").metrics}
    units = {name: metric.unit for name, metric in declared.items()}
    spaces = ("kid", "kid_second", "kid_pixels")
    assert [units[name] for name in spaces] == ["digits64", "digits64b", "pixels8"]
    assert {"fd", "precision", "recall", "coverage", "classes", "ndb", "memorised", "saturation"} < set(declared)
    assert "saturation" not in {metric.name for metric in wgan.WGAN("cpu").metrics}  # its critic gives no logits
    assert [name for name, metric in declared.items() if metric.headline] == ["kid"]
    assert [name for name, metric in declared.items() if metric.coverage] == ["coverage"]
    assert "fd" not in {metric.name for metric in gan.GAN("smoke").metrics}  # too few images for it


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3)])
def test_fits_other_images(kind: type[Problem], size: int, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if channels > 1 and "cifar10" not in kind.datasets:
        pytest.skip(f"{kind.name} takes grey images")
    kind.prepare(None, None, download=False)
    it = kind("smoke")
    small = it.images  # type: ignore[attr-defined]
    names = ("train", "test")
    grown = {k: torch.nn.functional.interpolate(getattr(small, k)[:64], size).repeat(1, channels, 1, 1) for k in names}
    known = {k: getattr(small, k)[:64] for k in ("train_labels", "test_labels")}
    monkeypatch.setitem(vars(it), "images", replace(small, **grown, **known))
    net = Classifier(channels, size, small.classes)  # some losses compare features
    monkeypatch.setitem(vars(it), "classifier", replace(it.classifier, size=size, net=net))  # type: ignore[attr-defined]
    losses = it.game().losses(it.players(0), it.batch(0, 0, it.memory(0)))
    assert all(torch.isfinite(loss) for loss in losses)


def test_grid_lays_images_out_in_rows() -> None:
    images = torch.linspace(-1, 1, 4).reshape(4, 1, 1, 1).expand(4, 1, 2, 2)
    assert grid(images, columns=2)[::3, ::3].tolist() == [[0, 85], [170, 255]]
    assert grid(torch.zeros(4, 3, 2, 2), columns=2).shape == (6, 6, 3)
