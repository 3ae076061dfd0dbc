"""Who plays a cell: within one machine, and between machines whose locks do not reach each other."""

import errno
import json
import os
import socket
import threading
import time

import pytest

from benchmarks import locks, record, writing
from benchmarks.locks import Watch, locked
from benchmarks.record import Folder, RecordError


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "cell")


@pytest.fixture
def apart(monkeypatch):
    """A file system without locks, seen by machines of which one is this process, until it is called another."""

    def unknown(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(writing.fcntl, "flock", unknown)

    def be(name):
        monkeypatch.setattr(locks, "machine", lambda: name)

    be("here")
    return be


def test_a_cell_is_played_by_one_process_which_is_named(folder):
    with locked(folder):
        with (
            pytest.raises(RecordError, match=f"by process {os.getpid()} on {socket.gethostname()}: wait"),
            locked(folder),
        ):
            pass
        assert Watch().busy(folder)
    assert not Watch().busy(folder) and {path.name for path in folder.path.iterdir()} == {".lock"}
    with locked(folder):
        pass


def test_a_lease_that_a_killed_process_of_this_machine_left_is_no_obstacle(folder, monkeypatch):
    monkeypatch.setattr(locks, "TORN", 0.0)
    folder.path.mkdir()
    for left in (json.dumps({"machine": locks.machine(), "host": "h", "pid": 1, "token": "t"}), '{"machine": "he', ""):
        (folder.path / ".lease").write_text(left)
        with locked(folder):
            assert locks.holder(folder).startswith(f"process {os.getpid()} ")
        assert not (folder.path / ".lease").exists()


def test_a_lease_is_tidied_away_where_its_cell_has_ended_and_nobody_plays_it(folder):
    lease = folder.path / ".lease"
    folder.path.mkdir()
    (folder.path / ".lock").touch()
    here = locks.machine()
    for machine, ended, gone in ((here, False, False), (here, True, True), ("other", True, False)):
        lease.write_text(json.dumps({"machine": machine, "host": "h", "pid": 1, "token": "t"}))
        folder.status.unlink(missing_ok=True)
        if ended:
            folder.status.touch()
        locks.tidy(folder)
        assert lease.exists() is not gone
    lease.unlink()
    with locked(folder):
        locks.tidy(folder)
        assert lease.exists()


def test_another_machine_waits_while_the_lease_is_renewed_and_takes_over_when_it_is_not(folder, apart, monkeypatch):
    now, lease = [0.0], folder.path / ".lease"
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch, told = Watch(), []
    with locked(folder, lambda: told.append("lost")):
        apart("there")
        assert watch.busy(folder)
        for k in range(5):
            now[0] += 0.9 * locks.LEASE
            os.utime(lease, ns=(k, k))
            assert watch.busy(folder)
            with pytest.raises(RecordError, match="is being played by process"), locked(folder):
                pass
        now[0] += 0.9 * locks.LEASE
        assert watch.busy(folder) and Watch().busy(folder)  # a watch that has just begun knows nothing yet
        now[0] += 0.2 * locks.LEASE
        assert not watch.busy(folder)
        with locked(folder):
            mine = lease.read_text()
            apart("here")
            assert watch.busy(folder) and lease.read_text() == mine
    assert not lease.exists() and not list(folder.path.glob("*.tmp"))


def test_who_has_lost_a_cell_is_told_and_leaves_the_others_lease(folder, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.01)
    lost = threading.Event()
    with locked(folder, lost.set):
        before = (folder.path / ".lease").stat().st_mtime_ns
        deadline = time.monotonic() + 30
        while (folder.path / ".lease").stat().st_mtime_ns == before:
            assert time.monotonic() < deadline and not lost.is_set()
            time.sleep(0.01)
        record.write_atomic(folder.path / ".lease", b'{"token": "another"}')
        assert lost.wait(30)
    assert (folder.path / ".lease").read_bytes() == b'{"token": "another"}'


def test_a_file_that_another_machine_may_be_writing_is_swept_after_a_day(tmp_path):
    mine, young, old = (tmp_path / f".a.{name}-0123.tmp" for name in (writing.machine(), "00000000", "00000001"))
    for path in (mine, young, old):
        path.touch()
    os.utime(old, (time.time() - 2 * writing.DAY,) * 2)
    record.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [young]
