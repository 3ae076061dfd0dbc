"""What a disk, a hand or a kill may do to the files of a suite: it is noticed, or changes nothing that tables say."""

import io
import os
import pickle
import random
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import pictures, problems, record, report, run, writing
from benchmarks.record import Folder, RecordError
from benchmarks.reporting import suite, tables
from benchmarks.runner import plan, spec, worker
from benchmarks.runner.worker import Stop, Task
from tests.benchmarks.stopping import StopAfter

TINY = str(Path(__file__).with_name("tiny.py"))
FLIPS = 4  # bits of every file; with 40, too, none of 1849 damages was silent


@pytest.fixture(scope="module")
def found():
    return problems.discover([TINY])["tiny"]


def rows(task):
    found, good = record.read_rows(task.folder.curve)
    assert good
    return [{name: row[name] for name in row if name != "train_time_s"} for row in found]


def tasks(found, home):
    """Three seeds of one optimizer and one of another."""
    cells = plan.cells([found], spec.parse("extragradient"), [0, 1, 2], plan.Sizes("smoke"))
    cells += plan.cells([found], spec.parse("optimistic"), [0], plan.Sizes("smoke"))
    record.check_schema(home, create=True)
    out = []
    for cell in cells:
        folder = Folder(home / "cells" / cell.run_id)
        folder.path.mkdir(parents=True)
        record.write_json(folder.cell, plan.describe(cell, found.kind, 1))
        out.append(Task(cell, folder, pause=0.0))
    return out


def play(task, stop=None):
    events = []
    worker.perform(task, events.append, Stop() if stop is None else stop)
    return events


@pytest.fixture(scope="module")
def played(found, tmp_path_factory):
    """A folder with two finished cells, one that was stopped and one that was killed."""
    home = tmp_path_factory.mktemp("suite")
    first, second, stopped, killed = tasks(found, home)
    play(first)
    play(second)
    play(stopped, StopAfter(0))
    play(killed, StopAfter(0))
    killed.folder.status.unlink()
    return home


@pytest.fixture
def home(played, tmp_path):
    return shutil.copytree(played, tmp_path / "home")


def told(home):
    """What the tables say, and what they say they left out; a sentence alone if there are none."""
    try:
        found = tables.load(home)
    except RecordError as error:
        return str(error), [str(error)]
    frames = (found.runs, found.curves, found.floors, found.pictures, found.truths)
    return "\n".join(frame.to_csv() for frame in frames), found.notes


def files(home):
    return sorted(path.relative_to(home) for path in home.rglob("*") if path.is_file())


def damages(data):
    """Bits flipped all over a file, and cuts of it."""
    chance = random.Random(len(data))
    for bit in sorted(chance.sample(range(8 * len(data)), min(FLIPS, 8 * len(data)))):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", bytes(changed)
    for size in {0, len(data) // 2, len(data) - 1}:
        yield f"cut to {size}", data[:size]


def test_a_suite_that_is_whole_has_nothing_to_say(home):
    said, notes = told(home)
    assert not notes and "distance" in said
    assert {path.name for path in files(home)} >= {
        "cell.json",
        "curve.jsonl",
        "status.json",
        "checkpoint.safetensors",
        "players.safetensors",
    }


def test_every_flipped_bit_and_every_cut_is_noticed_or_changes_no_table(home):
    expected, _ = told(home)
    silent, count = [], 0
    first = min(home.glob("cells/*/samples")).relative_to(home)
    for name in files(home):
        if name.parent.name == "samples" and name.parent != first:
            continue  # the pictures of one cell will do
        data = (home / name).read_bytes()
        for what, changed in damages(data):
            (home / name).write_bytes(changed)
            said, notes = told(home)
            count += 1
            if said != expected and not notes:
                silent.append((name.name, what, (home / name).with_name("status.json").exists()))
        (home / name).write_bytes(data)
    # The empty curve of a cell that was killed is one that it did have.
    assert count > 150 and silent == [("curve.jsonl", "cut to 0", False)]


def test_the_rows_of_a_killed_cell_may_be_fewer_but_never_others(home):
    (path,) = (one.parent for one in home.glob("cells/*/cell.json") if not (one.parent / "status.json").exists())
    curve = Folder(path).curve
    data, (whole, good) = curve.read_bytes(), record.read_rows(curve)
    assert good
    for _, changed in damages(data):
        curve.write_bytes(changed)
        found, good = record.read_rows(curve)
        assert found == whole[: len(found)] and (not good or len(changed) < len(data))


@pytest.mark.parametrize("name", ["cell.json", "curve.jsonl"])
def test_a_file_that_is_gone_leaves_its_cell_out_with_a_sentence(home, name):
    victim = min(home.glob("cells/*extragradient*/"))
    (victim / name).unlink()
    found = tables.load(home)
    assert victim.name not in set(found.runs.run_id) and len(found.runs) == 3
    (note,) = found.notes
    assert str(victim / name) in note and "plays it again" in note


@pytest.mark.parametrize("name", ["cell.json", "curve.jsonl", "status.json"])
@pytest.mark.parametrize("how", ["flipped", "gone"])
def test_a_damaged_finished_cell_is_played_again_to_the_same_end(found, tmp_path, name, how):
    task, *_ = tasks(found, tmp_path)
    play(task)
    expected, ended = rows(task), record.read_json(task.folder.status)
    path, data = task.folder.path / name, (task.folder.path / name).read_bytes()
    path.unlink()
    if how == "flipped":
        path.write_bytes(data[:40] + bytes([data[40] ^ 4]) + data[41:])
    assert record.status_of(task.folder) == "interrupted"
    plan.reset(task.folder, False)  # as the command does, which then writes cell.json
    record.write_json(task.folder.cell, plan.describe(task.cell, found.kind, 2))
    play(task)
    again = record.read_json(task.folder.status)
    assert record.status_of(task.folder) == ended["status"] and rows(task) == expected
    assert (again["final"], again["steps"]) == (ended["final"], ended["steps"])


def test_a_flipped_checkpoint_is_never_gone_on_from(found, tmp_path):
    task, other, *_ = tasks(found, tmp_path)
    play(other)
    play(task, StopAfter(0))
    data = task.folder.checkpoint.read_bytes()
    for position in range(0, len(data), 29):
        changed = data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :]
        task.folder.checkpoint.write_bytes(changed)
        with pytest.raises(record.DamagedError):
            record.read_sealed(task.folder.checkpoint)
    events = play(task)
    assert "the checkpoint cannot be used (DamagedError" in events[0].text and "step 0" in events[0].text


def test_nothing_in_a_results_folder_is_ever_executed(home):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(home / "executed"),)

    hostile = pickle.dumps(Hostile())
    for name in files(home):
        if name.suffix in (".safetensors", ".png", ".npy"):
            record.write_sealed(home / name, hostile)
        else:
            (home / name).write_bytes(hostile)
    (cells,) = [home / "cells"]
    np.save(cells / "hostile.npy", np.array([Hostile()], dtype=object), allow_pickle=True)
    (path,) = cells.glob("*optimistic*")
    record.write_sealed(Folder(path).samples / "points-00000000.npy", (cells / "hostile.npy").read_bytes())
    told(home)
    for file in home.rglob("*.p*"):
        if file.parent.name == "samples":
            with pytest.raises(record.DamagedError, match="is no picture"):
                pictures.read(file)
    with pytest.raises(record.DamagedError, match="is no picture"):
        pictures.read(Folder(path).samples / "points-00000000.npy")
    assert not (home / "executed").exists()


def test_a_hostile_checkpoint_sends_a_cell_back_to_the_start(found, tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    task, *_ = tasks(found, tmp_path)
    play(task, StopAfter(0))
    record.write_sealed(task.folder.checkpoint, pickle.dumps(Hostile()))
    assert "starts again at step 0" in play(task)[0].text and not (tmp_path / "executed").exists()


def test_stray_files_and_damaged_pictures_are_said_and_stop_nothing(home):
    (cell,) = home.glob("cells/*optimistic*")
    (cell / "samples" / "Thumbs.db").write_bytes(b"stray")
    (cell / "samples" / "pixels-99999999.png").mkdir()
    torn = cell / "samples" / "pixels-00000000.png"
    torn.write_bytes(torn.read_bytes()[:30])
    (home / "cells" / "notes").mkdir()
    found = tables.load(home)
    assert len(found.runs) == 4 and len(found.notes) == 3
    assert [note for note in found.notes if str(torn) in note and "shown as damaged" in note]
    assert pd.isna(found.pictures.set_index(["run_id", "name", "step"]).path[cell.name, "pixels", 0])


@pytest.mark.parametrize("keep", [0, 1, 2, 5, 30])
def test_a_report_is_drawn_from_whatever_is_left(home, keep):
    """One cell, killed after its first rows; half of its pictures are damaged."""
    cell, *others = sorted(path.parent for path in home.glob("cells/*/cell.json"))
    for other in others:
        shutil.rmtree(other)
    Folder(cell).status.unlink()
    rows = Folder(cell).curve.read_bytes().splitlines(keepends=True)
    Folder(cell).curve.write_bytes(b"".join(rows[:keep]) + b"torn")
    for path in sorted((cell / "samples").iterdir())[::2]:
        path.write_bytes(b"")
    found = tables.load(home)
    names = [name for name, _ in suite.drawn(found, suite.compare(found), "gradients")]
    assert names[0] == "overview" and ("tiny-points-training" in names) == (keep > 0)


def test_the_stamp_of_a_folder_is_made_again_from_its_cells(home):
    stamp = home / "cells" / "schema.json"
    stamp.write_text("?")
    record.check_schema(home)
    record.check_schema(home, create=True)
    assert record.read_json(stamp) == {"schema": record.SCHEMA}


def test_a_picture_that_is_named_like_a_path_is_refused_and_written_nowhere(tmp_path):
    (cell,) = plan.cells(
        [problems.discover([TINY])["tiny-outside"]], spec.parse("optimistic"), [0], plan.Sizes("smoke")
    )
    events = play(Task(cell, Folder(tmp_path / "cells" / "cell")))
    assert events[-1].kind == "error" and "picture name '../x': use" in events[-1].text
    assert not list(tmp_path.rglob("*x-*"))


@pytest.fixture
def command(tmp_path):
    def words(*more):
        where = ["--import", TINY, "--results", str(tmp_path), "--device", "cpu", "--preset", "smoke"]
        return [*where, "-p", "alone", "-o", "simultaneous", *("--seeds", "0") * ("--seeds" not in more), *more]

    return words


def test_the_command_plays_what_is_damaged_again_and_sweeps_what_was_left(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(suite, "drawn", lambda *_: [])
    assert run.main(command()) == 0
    home = tmp_path / "custom"
    (cell,) = home.glob("cells/*/cell.json")
    before = (home / "summary.csv").read_text()
    mine = f"{writing.machine()}-0123.tmp"
    left = [cell.with_name(f".status.json.{mine}"), home / "figures" / f".overview.png.{mine}"]
    for path in left:
        record.write_atomic(path, b"half")
    cell.unlink()
    with pytest.raises(RecordError, match=f"no cells.*{cell} is missing"):
        tables.load(home)
    capsys.readouterr()
    assert run.main(command()) == 0
    assert "1 cells, 1 to do" in capsys.readouterr().out
    assert cell.exists() and not any(path.exists() for path in left)
    again, first = (pd.read_csv(io.StringIO(text)) for text in ((home / "summary.csv").read_text(), before))
    pd.testing.assert_frame_equal(again, first)


def test_a_report_says_what_it_leaves_out(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(suite, "drawn", lambda *_: [])
    assert run.main(command("--seeds", "0-1")) == 0
    status, _ = sorted(tmp_path.glob("custom/cells/*/status.json"))
    status.write_bytes(status.read_bytes().replace(b'"ok"', b'"no"'))
    capsys.readouterr()
    assert report.main([str(tmp_path / "custom")]) == 0
    assert capsys.readouterr().err.startswith(f"note: {status} is damaged: the cell is left out, and the command")
    assert pd.read_csv(tmp_path / "custom" / "summary.csv").seeds.tolist() == [1]


def test_a_clock_that_goes_back_brings_no_superseded_budget_into_the_table(command, tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "write", lambda *_: [])
    for steps, now in (("2", 2e9), ("3", 1e9)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert run.main(command("--steps", steps)) == 0
    assert tables.load(tmp_path / "custom").runs.budget.tolist() == [3]
