"""A user's folder of images."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import data
from benchmarks.data import DataError, folders
from benchmarks.quality import features
from benchmarks.quality.image_scores import Scorer


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder in which nothing is prepared."""
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / "cache"))
    return tmp_path


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
    images = data.load(spec)
    scores = Scorer(images, features.load(spec), features.load(spec, seed=1), 6)(images.train[:6])
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
