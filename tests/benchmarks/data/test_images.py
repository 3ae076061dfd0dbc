import gzip
import os
import pickle
import random
import struct
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import data, writing
from benchmarks.data import DataError, Images


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder in which nothing is prepared."""
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(scope="module")
def digits() -> Images:
    data.prepare("digits")
    return data.load("digits")


def write_idx(path: Path, array: np.ndarray, zipped: bool = False) -> None:
    content = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    if zipped:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


def write_mnist(folder: Path) -> np.ndarray:
    images = np.random.RandomState(0).randint(256, size=(5, 28, 28)).astype(np.uint8)
    for split in ("train", "t10k"):
        write_idx(folder / f"{split}-images-idx3-ubyte", images)
        write_idx(folder / f"{split}-labels-idx1-ubyte", np.arange(5, dtype=np.uint8), zipped=True)
    return images


def test_digits_are_scaled_split_and_complete(digits: Images) -> None:
    assert digits.train.shape == (1200, 1, 8, 8)
    assert digits.test.shape == (597, 1, 8, 8)
    assert (digits.size, digits.channels, digits.classes, digits.name) == (8, 1, 10, "digits")
    assert digits.train.dtype == torch.float32
    assert (digits.train.min().item(), digits.train.max().item()) == (-1, 1)
    source = import_module("sklearn.datasets").load_digits()
    everything = torch.cat((digits.train, digits.test)).flatten(1)
    labels = torch.cat((digits.train_labels, digits.test_labels))
    rows = {(*((x + 1) * 8).int().tolist(), int(y)) for x, y in zip(everything, labels, strict=True)}
    assert rows == {(*map(int, x), int(y)) for x, y in zip(source.data, source.target, strict=True)}


def test_the_digits_split_is_mixed(digits: Images) -> None:
    counts = digits.test_labels.bincount(minlength=10)
    assert counts.min() >= 40


def test_choices_see_training_images_alone(digits: Images) -> None:
    """A set for tuning splits the training images; no test image of the whole is among them."""
    tuning = data.load("digits-tuning")
    assert tuning.name == "digits-tuning" and data.file("digits-tuning") == data.file("digits")
    assert (len(tuning.train), len(tuning.test)) == (len(digits.train) - len(digits.train) // 4, len(digits.train) // 4)
    whole, labels = torch.cat((tuning.train, tuning.test)), torch.cat((tuning.train_labels, tuning.test_labels))

    def rows(x: torch.Tensor, y: torch.Tensor) -> list[list[float]]:
        return sorted(torch.cat((x.flatten(1), y[:, None]), dim=1).tolist())

    assert rows(whole, labels) == rows(digits.train, digits.train_labels)
    assert torch.equal(tuning.test, data.load("digits-tuning").test)


def test_a_problem_is_the_same_on_the_set_for_tuning(digits: Images) -> None:
    from benchmarks.problems.gans.nsgan import NSGAN

    NSGAN.prepare("digits-tuning", None, download=False)
    whole, part = NSGAN("cpu"), NSGAN("cpu", "digits-tuning")
    assert part.preset == whole.preset and part.title == "nsgan/digits-tuning"
    assert part.classifier.digest == whole.classifier.digest and part.classifier.name == whole.classifier.name
    assert all(metric.target is None for metric in part.metrics)


def test_batches_are_pure_and_keep_labels_beside_their_images(digits: Images) -> None:
    one, labels = digits.batch(data.stream(0, 4), 32)
    two, _ = digits.batch(data.stream(0, 4), 32)
    assert torch.equal(one, two)
    for x, y in zip(one, labels, strict=True):
        same = (digits.train == x).flatten(1).all(1)
        assert (digits.train_labels[same] == y).all()


def test_upscaling_is_bilinear(digits: Images) -> None:
    big = data.load("digits", size=16)
    assert (big.size, big.name) == (16, "digits")
    x, y = digits.train[0, 0], big.train[0, 0]
    corner = 0.75 * (0.75 * x[0, 0] + 0.25 * x[0, 1]) + 0.25 * (0.75 * x[1, 0] + 0.25 * x[1, 1])
    torch.testing.assert_close(y[1, 1], corner)
    assert big.train.abs().max() <= 1


@pytest.mark.parametrize("spec", ["mnist", "fashion-mnist", "cifar10"])
def test_missing_data_are_one_sentence_with_the_options(empty: Path, spec: str) -> None:
    with pytest.raises(DataError, match=r"^[^\n]*--data-root DIR[^\n]*--download\.$"):
        data.prepare(spec, empty)


def test_unknown_and_unprepared_data_are_one_sentence(empty: Path) -> None:
    with pytest.raises(DataError, match=r"^--data imagenet is unknown: [^\n]*mnist[^\n]*\.$"):
        data.prepare("imagenet")
    with pytest.raises(DataError, match=r"^mnist is not prepared: [^\n]*--data-root[^\n]*\.$"):
        data.load("mnist")


def test_idx_files_are_read_plain_and_zipped(empty: Path) -> None:
    pixels = write_mnist(empty / "FashionMNIST" / "raw")
    data.prepare("fashion-mnist", empty)
    images = data.load("fashion-mnist")
    expected = torch.from_numpy(pixels).float()[:, None] / 127.5 - 1
    torch.testing.assert_close(images.train, expected, atol=1e-6, rtol=0)
    assert images.test_labels.tolist() == [0, 1, 2, 3, 4]
    assert images.name == "fashion-mnist"


def test_damaged_files_are_one_sentence(empty: Path) -> None:
    write_mnist(empty / "MNIST" / "raw")
    (empty / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"^mnist in [^\n]* is damaged [^\n]*\.$"):
        data.prepare("mnist", empty)
    assert not data.file("mnist").exists()


def test_cifar_pickles_are_read_and_hostile_ones_refused(empty: Path) -> None:
    folder = empty / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": [3, 9]}, protocol=2))
    data.prepare("cifar10", empty)
    images = data.load("cifar10")
    assert images.train.shape == (10, 3, 32, 32)
    assert images.test_labels.tolist() == [3, 9]
    assert images.test[0, 1, 0, 0].item() == pytest.approx(pixels[0, 1024] / 127.5 - 1)

    data.file("cifar10").unlink()
    (folder / "test_batch").write_bytes(pickle.dumps(os.getcwd))
    with pytest.raises(DataError, match="does not belong in a data file"):
        data.prepare("cifar10", empty)


@pytest.mark.parametrize("spec", ["digits", "mnist"])
def test_a_damaged_file_of_the_cache_is_named_and_made_again(empty: Path, spec: str) -> None:
    write_mnist(empty / "MNIST" / "raw")
    path = data.prepare(spec, empty)
    whole, expected = path.read_bytes(), data.load(spec)
    chance = random.Random(0)
    for position in [*chance.sample(range(len(whole)), 20), None]:
        if position is None:
            path.write_bytes(whole[:-1])
        else:
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(DataError, match=f"^{path} is damaged: the next run makes it anew, or delete it.$"):
            data.load(spec)
        assert data.prepare(spec, empty) == path
        assert torch.equal(data.load(spec).train, expected.train)


def test_what_a_killed_run_left_in_the_cache_is_swept(empty: Path) -> None:
    left = data.cache() / f".digits.npz.{writing.machine()}-0123.tmp"
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_text("half")
    data.prepare("digits")
    assert not left.exists()


def test_a_worker_needs_no_decoder(digits: Images, cache: Path) -> None:
    code = (
        "import sys; from benchmarks import data, networks; from benchmarks.quality import image_scores; "
        "data.load('digits', 16); print({'sklearn', 'torchvision', 'PIL', 'pandas'} & set(sys.modules))"
    )
    root = Path(__file__).resolve().parents[3]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert (run.stdout.strip(), run.stderr) == ("set()", "")


def test_mnist_itself(empty: Path, data_root: Path) -> None:
    if not (data_root / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST in {data_root}")
    data.prepare("mnist", data_root)
    images = data.load("mnist")
    assert (images.train.shape, images.test.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    assert images.train_labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert ((images.train.double().mean() + 1) / 2).item() == pytest.approx(0.1307, abs=1e-4)  # the familiar constant
