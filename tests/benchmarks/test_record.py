import errno
import resource
import signal

import numpy as np
import pytest
from PIL import Image

from benchmarks import record
from benchmarks.record import Curve, Folder, RecordError


def row(step, value=0.1):
    return {name: step if name == "step" else value for name in record.COLUMNS}


def append(path, rows, offset=0):
    curve = Curve(path, offset)
    curve.append(rows)
    return curve.offset


def test_a_curve_keeps_what_it_is_told_and_reads_back_to_the_last_digit(tmp_path):
    path = tmp_path / "curve.jsonl"
    covered = append(path, [row(0, 1 / 3), row(0, float("inf"))])
    append(path, [row(1)], covered)
    rows, good = record.read_rows(path)
    assert good and rows[0]["value"] == 1 / 3 and [one["step"] for one in rows] == [0, 0, 1]
    assert record.read_rows(path, covered) == (rows[:2], True)
    append(path, [row(9)], covered)
    assert [one["step"] for one in record.read_rows(path)[0]] == [0, 0, 9]


@pytest.mark.parametrize("damage", [b'{"run_id": "a', b"nonsense\n", b'{"run_id": "a"}\n', b"\xff\xfe\n"])
def test_a_damaged_row_ends_the_rows_and_is_noticed(tmp_path, damage):
    path = tmp_path / "curve.jsonl"
    append(path, [row(0)])
    path.write_bytes(path.read_bytes() + damage)
    rows, good = record.read_rows(path)
    assert len(rows) == 1 and not good


def test_a_curve_shorter_than_its_checkpoint_says_is_damaged(tmp_path):
    append(tmp_path / "curve.jsonl", [row(0)])
    assert record.read_rows(tmp_path / "curve.jsonl", 10_000) == ([], False)
    assert record.read_rows(tmp_path / "none.jsonl") == ([], True)


def test_rows_that_did_not_fit_on_the_disk_are_taken_back(tmp_path):
    path = tmp_path / "curve.jsonl"
    append(path, [row(0)])
    size = path.stat().st_size
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with pytest.raises(OSError):
            append(path, [row(1)], size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert record.read_rows(path) == ([row(0)], True)


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "status.json"
    record.write_json(path, {"status": "ok", "value": float("nan")})

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError) as error:
        record.write_json(path, {"status": "error"})
    assert record.full_disk(error.value) and record.read_json(path)["status"] == "ok"
    assert [one.name for one in tmp_path.iterdir()] == ["status.json"]


def test_a_cell_stands_as_its_files_say(tmp_path):
    folder = Folder(tmp_path)
    assert record.status_of(folder) == "new"
    append(folder.curve, [row(0)])
    assert record.status_of(folder) == "interrupted"
    folder.status.write_text('{"status": "o')
    assert record.status_of(folder) == "interrupted"
    record.write_json(folder.status, {"status": "diverged"})
    assert record.status_of(folder) == "diverged"


def test_a_cell_is_played_by_one_process(tmp_path):
    twice = record.locked(Folder(tmp_path))
    with record.locked(Folder(tmp_path)), pytest.raises(RecordError, match="another process"), twice:
        pass
    with record.locked(Folder(tmp_path)):
        pass


def test_results_of_another_version_are_left_alone(tmp_path):
    record.check_schema(tmp_path)
    assert not list(tmp_path.iterdir())
    record.check_schema(tmp_path, create=True)
    record.check_schema(tmp_path, create=True)
    record.write_json(tmp_path / "cells" / "schema.json", {"schema": 999})
    with pytest.raises(RecordError, match=r"schema 999.*--results"):
        record.check_schema(tmp_path, create=True)


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 3)])
def test_pictures_are_png_files(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    record.write_picture(tmp_path / "samples-00000001", pixels)
    with Image.open(tmp_path / "samples-00000001.png") as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_points_are_npy_files_and_nothing_else_is_a_picture(tmp_path):
    record.write_picture(tmp_path / "points-1", np.ones((3, 2)))
    assert np.load(tmp_path / "points-1.npy").shape == (3, 2)
    with pytest.raises(ValueError, match="uint8"):
        record.write_picture(tmp_path / "bad", np.ones((3, 3)))
