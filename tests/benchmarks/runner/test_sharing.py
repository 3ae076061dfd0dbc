"""What several commands, or one with other options, do to one folder of results. With real processes."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import locks, problems, record, run
from benchmarks.record import Folder
from benchmarks.reporting import suite
from benchmarks.runner import plan, spec
from benchmarks.runner.engines import processes
from benchmarks.runner.session import Session

ROOT = Path(__file__).parents[3]
TINY = str(Path(__file__).parents[1] / "tiny.py")
FAILING = str(Path(__file__).parents[1] / "failing.py")


PLAIN = (
    "import sys; from benchmarks import run; from benchmarks.reporting import suite; "
    "suite.write = lambda *_: []; sys.exit(run.main())"
)
"""The command, without its figures, which take longest."""


@pytest.fixture
def command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def words(*more, results=tmp_path):
        usual = ["--import", TINY, "--results", str(results), "--device", "cpu", "-o", "simultaneous"]
        return [*usual, "--preset", "smoke", *more]

    return words


@pytest.fixture
def untold(monkeypatch):
    monkeypatch.setattr(suite, "write", lambda *_: [])


@pytest.fixture
def start(tmp_path):
    running = []

    def begin(words):
        how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL, "text": True}
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        running.append(subprocess.Popen([sys.executable, "-c", PLAIN, *words], cwd=tmp_path, env=environment, **how))
        return running[-1]

    yield begin
    (tmp_path / "cured").touch()
    for process in running:
        process.kill()
        process.communicate(timeout=60)


def cells(home):
    return [Folder(path.parent) for path in sorted(home.glob("custom/cells/*/cell.json"))]


def wait(happened):
    deadline = time.monotonic() + 100
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def playing(home):
    return [folder for folder in cells(home) if locks.Watch().busy(folder) and pid(folder)]


def pid(folder):
    lease = folder.path / ".lease"
    found = re.search(r'"pid": (\d+), .*}', lease.read_text()) if lease.exists() else None
    return int(found[1]) if found else None


def line(process, says):
    """What a process prints up to a line that says this."""
    told = ""
    while says not in told:
        read = process.stdout.readline()
        assert read, told
        told += read
    return told


def kind(folder):
    return folder.path.name.partition("-simultaneous")[0]


def numbers(folder):
    rows, whole = record.read_rows(folder.curve)
    assert whole
    found = {(row["step"], row["metric"]): row["value"] for row in rows}
    assert len(found) == len(rows)
    return found


def test_force_waits_for_the_command_that_plays_a_cell_and_then_plays_it_anew(command, start, tmp_path, untold):
    words = command("-p", "tiny-hanging", "--seeds", "0")
    first = start(words)
    wait(lambda: playing(tmp_path))
    second = start([*words, "--force", "*"])
    told = line(second, "another command is playing it")
    (tmp_path / "cured").touch()
    outs = [first.communicate(timeout=60)[0], told + second.communicate(timeout=60)[0]]
    assert (first.returncode, second.returncode) == (0, 0), outs
    assert outs[1].count("another command is playing it") == 1 and "goes on at step" not in outs[1]
    assert all(out.count(": ok at step 4") == 1 and "again:" not in out and "error" not in out for out in outs)
    (shared,) = cells(tmp_path)
    assert run.main(command("-p", "tiny-hanging", "--seeds", "0", results=tmp_path / "alone")) == 0
    (alone,) = cells(tmp_path / "alone")
    assert numbers(shared) == numbers(alone) and alone.path.name == shared.path.name


def test_two_commands_share_the_cells_of_one_folder(command, start, tmp_path):
    words = command("-p", "tiny-hanging", "--seeds", "0-4", "-j", "1")
    both = [start(words) for _ in range(2)]
    wait(lambda: len(playing(tmp_path)) == 2)
    (tmp_path / "cured").touch()
    outs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    ended = [set(re.findall(r"(\S+): ok at step 4", out)) for out in outs]
    assert all(ended) and ended[0] | ended[1] == {folder.path.name for folder in cells(tmp_path)}
    for out in outs:
        waits = re.findall(r"(\S+): another command is playing it", out)
        assert "error" not in out and len(waits) == len(set(waits))
    assert all(numbers(folder) for folder in cells(tmp_path))


def test_a_cell_whose_player_is_killed_is_taken_over(command, start, tmp_path):
    words = command("-p", "tiny-hanging", "--seeds", "0")
    first = start(words)
    wait(lambda: playing(tmp_path))
    (folder,) = playing(tmp_path)
    second = start(words)
    line(second, "another command is playing it")
    os.kill(pid(folder), signal.SIGKILL)
    out = line(first, "again:")
    assert "SIGKILL" in out
    (tmp_path / "cured").touch()
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0 and ": ok at step 4" in out, out
    assert numbers(folder)


def test_the_lock_outlives_a_reset(tmp_path):
    folder = Folder(tmp_path / "cell")
    with locks.locked(folder):
        for path in (folder.curve, folder.checkpoint, folder.log, folder.path / "left over"):
            path.write_text("x")
        record.write_json(folder.cell, {"run_id": "cell"})
        plan.reset(folder, True)
        assert locks.Watch().busy(folder)
        assert {path.name for path in folder.path.iterdir()} == {*locks.LOCKS, "cell.json", "log.txt"}
        assert folder.log.read_text() == ""
    assert not locks.Watch().busy(folder) and not locks.Watch().busy(Folder(tmp_path / "none"))


def test_cells_that_end_badly_leave_their_neighbours_as_they_are_alone(command, tmp_path, untold, monkeypatch, capsys):
    """Out of memory, killed by the kernel, hung, crashed, not finite, without space: one of each, and a sound one."""
    monkeypatch.setattr(processes, "GRACE", 2.0)
    bad = ["tiny-hungry", "killed", "tiny-hanging", "crashing", "undefined", "full"]
    names = [word for name in ["tiny", *bad, "alone"] for word in ("-p", name)]
    tasks = Session.tasks
    late = lambda task: replace(task, timeout=8.0) if task.cell.problem == "tiny-hanging" else task
    monkeypatch.setattr(Session, "tasks", lambda self, ready: [late(task) for task in tasks(self, ready)])
    words = command(*names, "--import", FAILING, "--seeds", "100", "-j", "2")
    assert run.main(words) == 1
    out = capsys.readouterr().out
    ended = {kind(folder): record.status_of(folder) for folder in cells(tmp_path)}
    expected = ["oom", "interrupted", "timeout", "interrupted", "diverged", "error"]
    assert ended == {"tiny": "ok", "alone": "ok", **dict(zip(bad, expected, strict=True))}
    for name, why in (("killed", "SIGKILL (out of memory?)"), ("crashing", "SIGSEGV"), ("full", "the disk is full")):
        assert re.search(rf"{name}-simultaneous-\S+: error.*{re.escape(why)}", out), out
    sound = {"tiny", "alone"}
    assert run.main(command("-p", "tiny", "-p", "alone", "--seeds", "100", results=tmp_path / "apart")) == 0
    apart = {folder.path.name: numbers(folder) for folder in cells(tmp_path / "apart")}
    assert {folder.path.name: numbers(folder) for folder in cells(tmp_path) if kind(folder) in sound} == apart
    (hung,) = (folder for folder in cells(tmp_path) if kind(folder) == "tiny-hanging")
    status, log = record.read_json(hung.status), hung.log.read_text()
    assert "hung and was killed" in status["reason"] and "timeout of 8 s" in status["reason"] and status["wall_s"] >= 10
    assert "most recent call first" in log  # where it hangs
    capsys.readouterr()
    assert run.main(command("-p", "tiny-hanging", "--seeds", "100")) == 0
    assert "1 cells, 0 to do" in capsys.readouterr().out


def test_a_worker_has_one_thread_however_many_there_are(command, tmp_path, untold):
    ids = []
    torch.set_num_threads(2)
    for number in ("1", "2"):
        assert run.main(command("-p", "alone", "--seeds", "0", "-j", number, results=tmp_path / number)) == 0
        (folder,) = cells(tmp_path / number)
        assert record.read_json(folder.status)["threads"] == 1
        ids.append(folder.path.name)
    assert ids[0] == ids[1]
    assert torch.get_num_threads() == 1  # what the command prepares is read by all its cells
    assert run.main(command("-p", "alone", "--seeds", "0", "--threads", "2", results=tmp_path / "more")) == 0
    (folder,) = cells(tmp_path / "more")
    assert record.read_json(folder.status)["threads"] == 2 and folder.path.name != ids[0]


def test_the_identity_of_a_folder_of_images_is_its_content(command, tmp_path, capsys):
    def planned(path, data):
        path.mkdir(parents=True)
        for name, content in data.items():
            (path / name).write_bytes(content)
        assert run.main(command("-p", "dcgan", "-n", "--seeds", "0", "--data", f"folder:{path}")) == 0
        return capsys.readouterr().out.split()[2]

    pictures = {f"{k}.png": f"{k:03}".encode() for k in range(60)}
    first = planned(tmp_path / "a" / "my $faces", pictures)
    assert first.startswith("dcgan-folder-my-faces-") and str(tmp_path) not in first
    assert planned(tmp_path / "b" / "my $faces", pictures | {"notes.txt": b"!"}) == first
    moved = {name.replace("59", "60"): content for name, content in pictures.items()}
    others = [pictures | {"1.png": b"00X"}, moved, pictures | {"0.png": b"0000", "1.png": b"01"}]
    assert len({first, *(planned(tmp_path / str(k) / "my $faces", one) for k, one in enumerate(others))}) == 4
    assert planned(tmp_path / "c" / ("x" * 200), pictures).startswith(f"dcgan-folder-{'x' * 40}-")


def test_the_identity_holds_device_and_threads():
    found = problems.discover([TINY])["alone"]
    ids = {
        plan.cells([found], spec.parse("simultaneous"), [0], plan.Sizes("cpu", device=device, threads=threads))[
            0
        ].run_id
        for device, threads in (("cpu", 1), ("cuda", 1), ("cpu", 2))
    }
    assert len(ids) == 3


def test_the_parts_of_a_plan_make_the_whole(command, tmp_path, untold, capsys):
    words = ("-p", "tiny", "-p", "alone", "-o", "extragradient", "--seeds", "0-1")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run.main(command(*words, results=whole)) == 0
    sizes = []
    for part in ("1/3", "3/3", "2/3"):
        assert run.main(command(*words, "--shard", part, results=parts)) == 0
        sizes.append(len(cells(parts)))
    assert sizes == [3, 5, 8]  # the first of three has one more of eight cells than the last

    def played(home):
        found = {}
        for folder in cells(home):
            rows, sound = record.read_rows(folder.curve)
            assert sound and record.status_of(folder) == "ok"
            found[folder.path.name] = [{name: row[name] for name in row if name != "train_time_s"} for row in rows]
        return found

    assert played(parts) == played(whole)
    capsys.readouterr()
    assert run.main(command(*words, "--shard", "9/9", results=parts)) == 0
    assert "--shard 9/9: the plan has fewer cells, nothing to do" in capsys.readouterr().out
