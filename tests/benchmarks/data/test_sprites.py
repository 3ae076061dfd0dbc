import math
import time

import pytest
import torch

from benchmarks import data
from benchmarks.data import Images, sprites


@pytest.fixture(scope="module")
def images() -> Images:
    data.prepare("mini-sprites")
    return data.load("mini-sprites")


def test_all_combinations_are_there_once_and_look_different() -> None:
    began = time.process_time()
    values = sprites.factors()
    drawn = sprites.drawn(values)
    assert time.process_time() - began < 1
    count = math.prod(sprites.FACTORS.values())
    assert len(values) == len(values.unique(dim=0)) == count
    assert [len(column.unique()) for column in values.T] == list(sprites.FACTORS.values())
    assert len(drawn.flatten(1).unique(dim=0)) == count
    assert len((2 * drawn > sprites.TOP).flatten(1).unique(dim=0)) == count  # binarised too


def test_sprites_have_the_size_and_the_place_that_their_factors_say() -> None:
    """Areas in units of the circle's squared radius; every shape's centroid is the circle's middle."""
    values = sprites.factors()
    grey = sprites.drawn(values)[:, 0].double() / sprites.TOP
    x, y, size, shape, _ = values.T
    low, high = sprites.RADII
    radius = low + size * (high - low) / (sprites.FACTORS["size"] - 1)
    area = torch.tensor([2, math.pi / 2, 3 * math.sqrt(3) / 4])[shape] * radius**2
    # Points a quarter of a pixel apart miss an area by up to the outline's length times an eighth.
    assert ((grey.sum((1, 2)) - area).abs() < 4 * math.sqrt(2) * radius / 8).all()
    place = torch.arange(sprites.SIDE) + 0.5
    across, down = (grey.sum(axis) @ place.double() / grey.sum((1, 2)) for axis in (1, 2))
    torch.testing.assert_close(across, (high + x).double(), atol=0.15, rtol=0)
    torch.testing.assert_close(down, (high + y).double(), atol=0.15, rtol=0)


def test_sprites_turn() -> None:
    """A square turned by 45 degrees stands on its corner; turned by as much as it looks like itself, it is itself."""
    square, ellipse, triangle = sprites.corner()[2, :, 0, :10, :10]
    assert torch.equal(square, square.flip(0)) and torch.equal(square, square.T)
    assert torch.equal(ellipse, ellipse.flip(0)) and not torch.equal(ellipse, ellipse.T)
    assert torch.equal(triangle, triangle.flip(0)) and triangle[:, -1].any() and not triangle[:, 0].any()  # along x
    diamond = sprites.corner()[2, 0, 2, :10, :10]
    assert torch.equal(diamond, diamond.T) and torch.equal(diamond, diamond.flip(0))
    assert diamond[0].any() and not square[0].any()


def test_as_an_image_set_they_are_labelled_by_shape_and_split(images: Images) -> None:
    assert (images.channels, images.size, images.classes, images.name) == (1, 16, 3, "mini-sprites")
    assert (len(images.train), len(images.test)) == (1323, 441)
    values = sprites.factors()
    rows = (sprites.drawn(values).double() / sprites.TOP * 2 - 1).flatten(1)
    shapes = {tuple(row): int(shape) for row, shape in zip(rows.tolist(), values[:, 3], strict=True)}
    both = torch.cat((images.train, images.test)).flatten(1).tolist()
    labels = torch.cat((images.train_labels, images.test_labels)).tolist()
    assert {tuple(row): label for row, label in zip(both, labels, strict=True)} == shapes
