from pathlib import Path

import pytest
import torch

from benchmarks import data, record, tensors
from benchmarks.data import stream
from benchmarks.quality import distances, features, labels


@pytest.fixture(scope="module")
def digits64() -> features.Features:
    data.prepare("digits")
    features.prepare("digits")
    return features.load("digits")


def test_digits_features_are_accurate_and_named(digits64: features.Features) -> None:
    images = data.load("digits")
    x, p = digits64.read(images.test)
    assert (digits64.name, digits64.dim, len(digits64.digest)) == ("digits64", 64, 12)
    assert digits64.accuracy >= 0.98
    assert labels.agreement(p, images.test_labels) == pytest.approx(digits64.accuracy)
    assert x.shape == (597, 64)
    assert digits64(images.train).square().mean().item() == pytest.approx(1, rel=1e-4)
    assert (x.std(0) > 0).all()
    assert not x.requires_grad


def test_features_see_the_same_digit_at_another_size(digits64: features.Features) -> None:
    images = data.load("digits", size=16)
    assert labels.agreement(digits64.read(images.test)[1], images.test_labels) >= 0.98


def test_features_do_not_depend_on_the_batch(digits64: features.Features) -> None:
    x = data.load("digits").test[:20]
    torch.testing.assert_close(digits64.read(x, batch=3)[0], digits64(x))


def test_scores_order_real_noisy_and_random_images(digits64: features.Features) -> None:
    images = data.load("digits")
    real, other = digits64(images.test), digits64(images.train[:597])
    noise = 2 * torch.rand(images.test.shape, generator=stream(0)) - 1
    noisy = digits64((images.train[:597] + noise).clamp(-1, 1))
    for score in (distances.fd, distances.kid):
        scores = [score(real, other), score(real, noisy), score(real, digits64(noise))]
        assert 3 * scores[0] < scores[1] < scores[2] / 3
    assert distances.prdc(real, other)["recall"] > 0.8 > distances.prdc(real, digits64(noise))["recall"]


def test_training_repeats_bit_for_bit_and_weights_make_the_digest(digits64: features.Features, cache: Path) -> None:
    recipe = features.Recipe(epochs=1)
    images = data.load("digits")
    state = torch.get_rng_state()
    one, two, other = (features.train(images, recipe, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    (path,) = cache.glob("features-digits-*.safetensors")
    whole = path.read_bytes()
    content = tensors.loaded(record.read_sealed(path))
    content["state"]["head.bias"][0] += 1
    record.write_sealed(path, tensors.dumped(content))
    assert features.load("digits").digest != digits64.digest
    path.write_bytes(whole)


@pytest.mark.parametrize(("spec", "digest"), [("digits", "afb4be192601"), ("mini-sprites", "492b2dbc13cc")])
def test_the_networks_of_sets_that_ship_are_the_same_everywhere(
    spec: str, digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of today's recipe and images, so that nothing is trained."""
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path))
    monkeypatch.setattr(features, "train", None)
    data.prepare(spec)
    features.prepare(spec)
    assert features.load(spec).digest == digest
    assert {path.name for path in features.SHIPPED.glob(f"features-{spec}*")} == {
        features._file(spec, seed).name for seed in features.SEEDS
    }


def test_a_damaged_network_is_named_and_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path))
    monkeypatch.setitem(features.RECIPES, "digits", features.Recipe(epochs=1))
    data.prepare("digits")
    path, other = features.prepare("digits")
    whole, digest = path.read_bytes(), features.load("digits").digest
    for position in (0, 1000, len(whole) // 2, len(whole) - 20, len(whole) - 1):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(data.DataError, match=f"^{path} is damaged: the next run makes it anew"):
            features.load("digits")
    assert features.prepare("digits") == [path, other] and features.load("digits").digest == digest


def test_features_that_are_not_trained_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path))
    with pytest.raises(data.DataError, match=r"^the feature network of mnist is not trained[^\n]*\.$"):
        features.load("mnist")


def test_images_without_classes_get_random_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / "cache"))
    for k in range(60):
        image.new("L", (64, 64), 4 * k).save(tmp_path / f"{k}.png")
    spec = f"folder:{tmp_path}"
    data.prepare(spec)
    first, path = features.prepare(spec), features.prepare(spec)
    assert first == path
    network = features.load(spec)
    assert network.name == "random64"
    assert network(data.load(spec, size=32).train).shape == (54, 64)
    digest = network.digest
    for k in range(30):
        image.new("L", (64, 64), 255).save(tmp_path / f"{k}.png")
    data.prepare(spec)
    features.prepare(spec)
    assert features.load(spec).digest != digest  # other pictures, another scale
