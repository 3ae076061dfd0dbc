from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from benchmarks import pictures, record


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 3)])
def test_pictures_are_png_files(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pictures.write(tmp_path, "samples", 1, pixels)
    path = tmp_path / "samples-00000001.png"
    with Image.open(path) as image:
        image.load()
        assert np.array_equal(np.asarray(image), pixels)
    assert np.array_equal(pictures.read(path).array, pixels)


def test_labels_travel_with_the_pixels_and_older_pictures_have_none(tmp_path):
    labelled = pictures.Picture(np.zeros((4, 6), np.uint8), ("ä", "to b"), ("-2", "", "2"), "rows; $columns")
    pictures.write(tmp_path, "p", 1, labelled)
    found = pictures.read(tmp_path / "p-00000001.png")
    assert found[1:] == labelled[1:] and np.array_equal(found.array, labelled.array)
    record.write_sealed(tmp_path / "old-00000001.png", pictures.png(labelled.array))
    assert pictures.read(tmp_path / "old-00000001.png")[1:] == ((), (), "")


@pytest.mark.parametrize(
    "text",
    [
        *("", "[" * 10**5, "[]", '{"rows": [1], "columns": [], "about": ""}'),
        *('{"rows": "ab", "columns": [], "about": ""}', '{"rows": [], "columns": []}'),
        *('{"rows": [], "columns": [], "about": null}', '{"rows": [], "columns": {}}'),
    ],
    ids=lambda text: text[:30],
)
def test_labels_that_somebody_else_wrote_are_no_labels(tmp_path, text):
    record.write_sealed(tmp_path / "p-00000001.png", pictures.png(np.zeros((4, 6), np.uint8), text))
    with pytest.raises(record.DamagedError, match="is no picture"):
        pictures.read(tmp_path / "p-00000001.png")


def test_a_png_file_is_one_by_what_it_holds(tmp_path):
    file = BytesIO()
    Image.new("L", (2, 2)).save(file, "GIF")
    record.write_sealed(tmp_path / "p-00000001.png", file.getvalue())
    with pytest.raises(record.DamagedError, match="is no picture"):
        pictures.read(tmp_path / "p-00000001.png")


def test_points_are_npy_files_and_nothing_else_is_a_picture(tmp_path):
    pictures.write(tmp_path, "points", 1, np.ones((3, 2)))
    path = tmp_path / "points-00000001.npy"
    assert np.load(path).shape == pictures.read(path).array.shape == (3, 2)
    with pytest.raises(ValueError, match="uint8"):
        pictures.write(tmp_path, "bad", 1, np.ones((3, 3)))
    with pytest.raises(ValueError, match="only pixels have rows"):
        pictures.write(tmp_path, "bad", 1, pictures.Picture(np.ones((3, 2)), about="a cloud"))


@pytest.mark.parametrize("name", ["a/b", "../x", "/tmp/x", "..", ".hidden", "", "a\n", "a\0b", "x" * 101])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"picture name .* use up to 100 letters"):
        pictures.write(tmp_path / "samples", name, 1, np.zeros((2, 2), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "samples of 3", "real-1", "ä+b", "x" * 100])
def test_a_name_is_read_back_with_its_step(tmp_path, name):
    for step in (0, 10**9):
        pictures.write(tmp_path, name, step, np.zeros((2, 2), np.uint8))
    assert sorted(pictures.told(path) for path in tmp_path.iterdir()) == [(name, 0), (name, 10**9)]


@pytest.mark.parametrize("name", ["Thumbs.db", "samples.png", "samples-1.png", "a-00000001.txt", ".a-00000001.png"])
def test_other_files_are_no_pictures(tmp_path, name):
    assert pictures.told(tmp_path / name) is None


@pytest.mark.parametrize("kind", ["png", "npy"])
def test_every_flipped_bit_and_every_cut_of_a_picture_is_noticed(tmp_path, kind):
    pictures.write(tmp_path, "p", 1, np.zeros((2, 3), np.uint8) if kind == "png" else np.zeros((2, 2)))
    path = tmp_path / f"p-00000001.{kind}"
    data = path.read_bytes()
    for position in range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]
        for changed in (flipped, data[:position]):
            path.write_bytes(changed)
            with pytest.raises(record.DamagedError, match=f"{path} is damaged"):
                pictures.read(path)
