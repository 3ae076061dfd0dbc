import gzip
import math
import os
import pickle
import random
import struct
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import data
from benchmarks.data import DataError, Density, Gaussian, Grid, Images, Mixture, Moons, Ring, folders
from benchmarks.quality import features
from benchmarks.quality.image_scores import image_scores


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


# --- densities ------------------------------------------------------------------------------------------------------


def test_ring_has_eight_distinct_modes_on_its_circle() -> None:
    means = Ring().means()
    distances = torch.pdist(means)
    assert means.shape == (8, 2)
    torch.testing.assert_close(means.norm(dim=1), torch.full((8,), 2.0))
    torch.testing.assert_close(distances.min(), torch.tensor(4 * np.sin(np.pi / 8)).float())


def test_grid_is_centred() -> None:
    means = Grid().means()
    assert means.shape == (25, 2)
    assert means.unique(dim=0).shape == (25, 2)
    assert means.mean(0).tolist() == [0, 0]
    assert (means.min().item(), means.max().item()) == (-4, 4)


@pytest.mark.parametrize("name", data.DENSITIES)
def test_a_density_integrates_to_one(name: str) -> None:
    density = data.DENSITIES[name]
    if name == "gaussian":
        x = torch.linspace(-8, 8, 1001, dtype=torch.float64)[:, None]
        volume = 16 / 1000
    else:
        # Steps below every std: for smooth functions the rectangle rule is then exact to many digits.
        side, half = {"ring-8": (301, 2.4), "grid-25": (301, 4.5), "moons": (151, 2.4)}[name]
        line = torch.linspace(-half, half, side, dtype=torch.float64)
        x, volume = torch.cartesian_prod(line, line), (2 * half / (side - 1)) ** 2
    total = torch.cat([density.log_density(part).exp() for part in x.split(10_000)]).sum() * volume
    assert total.item() == pytest.approx(1, abs=1e-3)


def test_a_mixture_of_one_is_the_normal_density() -> None:
    x = torch.randn(20, 3, dtype=torch.float64)
    normal = torch.distributions.Normal(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64), 0.7)
    torch.testing.assert_close(Gaussian((1.0, -2.0, 0.5), 0.7).log_density(x), normal.log_prob(x).sum(1))


@pytest.mark.parametrize("density", [Ring(), Grid(), Gaussian((1.0, 2.0), 0.5), Moons()], ids=repr)
def test_samples_follow_their_density(density: Density) -> None:
    """The mean of log p over samples of p is minus the entropy, and any other sampler's mean is another number."""
    x = density.sample(data.stream(0), 5_000).double()
    found = density.log_density(x).mean().item()
    if isinstance(density, Mixture):  # modes so far apart that the entropy is log K plus a Gaussian's
        entropy = np.log(len(density.means())) + np.log(2 * np.pi * np.e * density.std**2)
        assert found == pytest.approx(-entropy, abs=0.05)
    else:
        again = density.log_density(density.sample(data.stream(1), 5_000).double()).mean().item()
        shifted = density.log_density(x + 0.1).mean().item()
        assert found == pytest.approx(again, abs=0.05)
        assert shifted < found - 0.5


def test_a_draw_is_a_function_of_seed_and_draw() -> None:
    for density in data.DENSITIES.values():
        torch.rand(1)  # the global generator must not matter
        one, two = (density.sample(data.stream(3, 7), 50) for _ in range(2))
        assert torch.equal(one, two)
        assert not torch.equal(one, density.sample(data.stream(3, 8), 50))
        assert not torch.equal(one, density.sample(data.stream(4, 7), 50))


def test_streams_do_not_overlap_along_diagonals() -> None:
    seeds = {data.stream(seed, draw).initial_seed() for seed in range(30) for draw in range(30)}
    assert len(seeds) == 900


# --- images ---------------------------------------------------------------------------------------------------------


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


def test_moving_moves_everything(digits: Images) -> None:
    moved = digits.to("meta")
    tensors = (moved.train, moved.train_labels, moved.test, moved.test_labels)
    assert all(x.device.type == "meta" for x in tensors)


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


def test_a_folder_of_images(empty: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for group, colour in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        (empty / "pictures" / group).mkdir(parents=True)
        for k in range(30):
            image.new("RGB", (40 + k, 50), colour).save(empty / "pictures" / group / f"{k}.png")
    spec = f"folder:{empty / 'pictures'}"
    data.prepare(spec)
    images = data.load(spec, size=32)
    assert images.name.startswith("folder-pictures-")
    assert (len(images.train), len(images.test), images.channels, images.size, images.classes) == (54, 6, 3, 32, 2)
    red = images.train_labels == 1
    torch.testing.assert_close(images.train[red][:, 0], torch.ones(int(red.sum()), 32, 32))
    torch.testing.assert_close(images.train[~red][:, 0], -torch.ones(int((~red).sum()), 32, 32))

    (empty / "pictures" / "red" / "0.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"^[^\n]*0\.png is no readable image[^\n]*\.$"):
        data.prepare(spec)
    with pytest.raises(DataError, match="is no folder"):
        data.prepare(f"folder:{empty / 'nowhere'}")


def test_a_folder_is_called_by_its_content_and_never_by_its_path(empty: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    names = {
        folders.name(Path(fill(empty / name, image.new("L", (8, 8))).partition(":")[2])) for name in ("a", "$x$ b")
    }
    assert {name[:-13] for name in names} == {"folder-a", "folder-x-b"} and len({name[-12:] for name in names}) == 1


def fill(folder: Path, picture: Any, count: int = 60, **how: Any) -> str:
    """A folder of so many copies of a picture, as a data set."""
    folder.mkdir()
    for k in range(count):
        picture.save(folder / f"{k:02}.png", **how)
    return f"folder:{folder}"


def test_a_folder_of_too_few_images_is_refused_before_anything_is_played(empty: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    spec = fill(empty / "few", image.new("L", (8, 8)), 59)
    with pytest.raises(DataError, match=r"^[^\n]*few holds 59 images, [^\n]* need at least 60: [^\n]*folder:PATH\.$"):
        data.prepare(spec)
    image.new("L", (8, 8)).save(empty / "few" / "59.png")
    data.prepare(spec)
    features.prepare(spec)
    images, classifier = data.load(spec), features.load(spec)
    scores = image_scores(classifier, images.test, images.train[: len(images.test)])
    assert len(images.test) == 6 and all(math.isfinite(value) for value in scores.values())


def test_sixteen_bits_of_grey_are_scaled(empty: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    ramp = np.linspace(0, 65535, 64).round().astype(np.uint16)
    spec = fill(empty / "deep", image.fromarray(np.tile(ramp, (64, 1))))
    data.prepare(spec)
    (row, *_) = data.load(spec).train[0, 0]
    torch.testing.assert_close(row, torch.linspace(-1, 1, 64), atol=1 / 255, rtol=0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16"])
def test_what_is_transparent_lies_on_white(empty: Path, mode: str) -> None:
    image = pytest.importorskip("PIL.Image")
    black = image.new("RGBA", (64, 64), (0, 0, 0, 255))
    black.paste((0, 0, 0, 0), (0, 0, 32, 64))  # its left half is black, and transparent
    if mode == "I;16":
        deep = image.fromarray(np.repeat(np.uint16([7, 0]), 32)[None].repeat(64, 0))
        spec = fill(empty / "clear", deep, transparency=7)
    else:
        spec = fill(empty / "clear", black.quantize() if mode == "P" else black.convert(mode))
    data.prepare(spec)
    images = data.load(spec)
    assert (images.train[..., :32] == 1).all() and (images.train[..., 32:] == -1).all() and images.channels == 1


def test_half_of_an_alpha_is_half_of_white(empty: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    data.prepare(spec := fill(empty / "veiled", image.new("RGBA", (8, 8), (0, 0, 0, 128))))
    assert data.load(spec).train.mean().item() == pytest.approx(2 * 127 / 255 - 1, abs=1e-6)


def test_pipes_and_the_like_among_images_are_passed_over(empty: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    spec = fill(empty / "pipes", image.new("L", (8, 8)))
    os.mkfifo(empty / "pipes" / "pipe.png")
    (empty / "pipes" / "folder.png").mkdir()
    (empty / "pipes" / "link.png").symlink_to(empty / "pipes" / "pipe.png")
    data.prepare(spec)
    assert len(data.load(spec).train) == 54


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
    left = data.cache() / ".digits.npz.0123.tmp"
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
