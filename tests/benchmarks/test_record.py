import errno
import json
import resource
import signal
import subprocess
import sys
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import record
from benchmarks.record import Curve, Folder, RecordError


def row(step, value=0.1):
    return {name: step if name == "step" else value for name in record.COLUMNS}


def append(path, rows, offset=0):
    curve = Curve(path, offset)
    curve.append(rows)
    return curve.stamp


def test_a_curve_keeps_what_it_is_told_and_reads_back_to_the_last_digit(tmp_path):
    path = tmp_path / "curve.jsonl"
    covered = append(path, [row(0, 1 / 3), row(0, float("inf"))])
    append(path, [row(1)], covered[0])
    rows, good = record.read_rows(path)
    assert good and rows[0]["value"] == 1 / 3 and [one["step"] for one in rows] == [0, 0, 1]
    assert record.read_rows(path, covered) == (rows[:2], True)
    append(path, [row(9)], covered[0])
    assert [one["step"] for one in record.read_rows(path)[0]] == [0, 0, 9]


@pytest.mark.parametrize("damage", [b'{"run_id": "a', b"nonsense\n", b'{"run_id": "a"}\n', b"\xff\xfe\n"])
def test_a_damaged_row_ends_the_rows_and_is_noticed(tmp_path, damage):
    path = tmp_path / "curve.jsonl"
    append(path, [row(0)])
    path.write_bytes(path.read_bytes() + damage)
    rows, good = record.read_rows(path)
    assert len(rows) == 1 and not good


@pytest.mark.parametrize("bit", range(8))
def test_every_flipped_bit_of_a_curve_is_noticed_at_its_row(tmp_path, bit):
    path = tmp_path / "curve.jsonl"
    stamp = append(path, [row(0), row(1)])
    data, (whole, _) = path.read_bytes(), record.read_rows(path)
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1 :])
        rows, good = record.read_rows(path)
        assert not good and rows == whole[: data[:position].count(b"\n")]
        assert record.read_rows(path, stamp) == ([], False)


def test_rows_that_were_left_out_repeated_or_swapped_are_noticed(tmp_path):
    path = tmp_path / "curve.jsonl"
    append(path, [row(0), row(1), row(2)])
    a, b, c = path.read_bytes().splitlines(keepends=True)
    for order in ([b, c], [a, c], [a, a, b, c], [a, c, b], [c]):
        path.write_bytes(b"".join(order))
        assert not record.read_rows(path)[1]


def test_a_curve_is_json_for_other_readers_and_its_checksums_are_those_of_zlib(tmp_path):
    path = tmp_path / "curve.jsonl"
    stamp = append(path, [row(0), row(1)])
    data = path.read_bytes()
    assert stamp == (len(data), zlib.crc32(data))
    for line in data.splitlines():
        before = data[: data.index(line) + line.index(b', "crc"')]
        assert json.loads(line)["crc"] == zlib.crc32(before)


@given(
    st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.floats() | st.text(), min_size=1),
    st.sampled_from([None, 1]),
    st.data(),
)
def test_a_sealed_object_comes_back_and_no_other_does(value, indent, data):
    value.pop("crc", None)
    value |= {"a": {"b": [1]}}
    sealed = record.seal(value, indent=indent)
    assert json.dumps(record.unseal(sealed)) == json.dumps(value)
    assert json.loads(sealed)["crc"] >= 0
    position, bit = data.draw(st.integers(0, len(sealed) - 1)), data.draw(st.integers(0, 7))
    flipped = sealed[:position] + bytes([sealed[position] ^ 1 << bit]) + sealed[position + 1 :]
    assert record.unseal(flipped) is None and record.unseal(sealed[:position]) is None
    assert record.unseal(sealed, before=1) is None and record.unseal(sealed + b" ") is None


@given(st.binary(), st.data())
def test_sealed_bytes_come_back_and_no_others_do(tmp_path_factory, content, data):
    path = tmp_path_factory.mktemp("sealed") / "file"
    record.write_sealed(path, content)
    assert record.read_sealed(path) == content
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    for changed in (whole[:position], whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]):
        path.write_bytes(changed)
        with pytest.raises(record.DamagedError, match=f"{path} is damaged"):
            record.read_sealed(path)


@pytest.mark.parametrize("content", [b"{1", b"[" * 10**5, b"nonsense", b""])
def test_what_somebody_else_has_sealed_is_no_object(content):
    assert record.unseal(content + b', "crc": %d}\n' % zlib.crc32(content)) is None


def test_a_curve_shorter_than_its_checkpoint_says_is_damaged(tmp_path):
    append(tmp_path / "curve.jsonl", [row(0)])
    assert record.read_rows(tmp_path / "curve.jsonl", (10_000, 0)) == ([], False)
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


WRITER = """
import sys, time
from pathlib import Path
from benchmarks import record
record.os.replace = lambda *_: (print("written", flush=True), time.sleep(60))
record.write_atomic(Path(sys.argv[1]), b"half")
"""


def test_what_a_killed_writer_leaves_is_swept_and_what_one_is_writing_is_not(tmp_path):
    path = tmp_path / "cells" / "cell" / "samples" / "p.png"
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "written\n"
        (left,) = path.parent.iterdir()
        record.sweep(tmp_path)
        assert left.exists()
        writer.kill()
    record.sweep(tmp_path)
    assert not left.exists() and not list(path.parent.iterdir())
    record.write_atomic(path, b"whole")
    record.sweep(tmp_path)
    assert path.read_bytes() == b"whole"


def test_files_can_be_read_by_others(tmp_path):
    record.write_atomic(tmp_path / "file", b"")
    (tmp_path / "plain").touch()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_plans_are_numbered_whatever_the_clock_says(tmp_path):
    assert record.planned(tmp_path) == 0
    for name, number in (("a", 3), ("b", 7), ("c", 5)):
        record.write_json(tmp_path / "cells" / name / "cell.json", {"planned": number})
    (tmp_path / "cells" / "c" / "cell.json").write_text("torn")
    assert record.planned(tmp_path) == 7


def test_a_cell_stands_as_its_files_say(tmp_path):
    folder = Folder(tmp_path)
    assert record.status_of(folder) == "new"
    append(folder.curve, [row(0)])
    assert record.status_of(folder) == "interrupted"
    folder.status.write_text('{"status": "o')
    assert record.status_of(folder) == "interrupted"
    record.write_json(folder.status, {"status": "diverged"})
    assert record.status_of(folder) == "interrupted"  # of what, nobody knows
    record.write_json(folder.cell, {"run_id": tmp_path.name})
    assert record.status_of(folder) == "diverged"


def test_results_of_another_version_are_left_alone(tmp_path):
    record.check_schema(tmp_path)
    assert not list(tmp_path.iterdir())
    record.check_schema(tmp_path, create=True)
    record.check_schema(tmp_path, create=True)
    (tmp_path / "cells" / "schema.json").rename(tmp_path / "cells" / ".schema.json.01234567.tmp")
    record.check_schema(tmp_path, create=True)  # what was killed over its first file is nobody's results
    record.write_json(tmp_path / "cells" / "schema.json", {"schema": 999})
    with pytest.raises(RecordError, match=r"schema 999.*--results"):
        record.check_schema(tmp_path, create=True)
