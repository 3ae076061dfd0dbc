"""Cells that are played as one ensemble: they record what they would record alone, and none harms another."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks import locks, problems, record, run
from benchmarks.record import Folder
from benchmarks.reporting import suite, tables
from benchmarks.runner import plan, spec, worker
from benchmarks.runner.session import grouped
from benchmarks.runner.task import BUSY, Stop, Task
from tests.benchmarks.stopping import StopAfter

ALIKE, TINY = str(Path(__file__).with_name("alike.py")), str(Path(__file__).parents[1] / "tiny.py")


@pytest.fixture(scope="module")
def found():
    return problems.discover([ALIKE, TINY])


@pytest.fixture
def tasks(found, tmp_path):
    def make(problem, optimizer, seeds=(100, 101), home="together", preset="cpu", **how):
        cells = plan.cells([found[problem]], spec.parse(optimizer), seeds, plan.Sizes(preset))
        made = [Task(cell, Folder(tmp_path / home / cell.run_id), **{"pause": 0.0, **how}) for cell in cells]
        for task in made:
            record.write_json(task.folder.cell, plan.describe(task.cell, found[problem].kind, 1))
        return made

    return make


def play(task, stop=None):
    events = []
    worker.perform_all(task, events.append, Stop() if stop is None else stop)
    ended = [event for event in events if event.kind in record.STATUSES]
    assert {event.run_id for event in ended} == {one.cell.run_id for one in task.each}
    return {one.cell.run_id: record.read_json(one.folder.status) for one in task.each}


def together(tasks):
    (task,) = grouped(tasks, 100)
    return task


def differences(one, other, path=""):
    """Where two trees differ by more than rounding."""
    if isinstance(one, dict | list | tuple) and len(one) == len(other):
        pairs = one.items() if isinstance(one, dict) else enumerate(one)
        return [found for name, value in pairs for found in differences(value, other[name], f"{path}/{name}")]
    numbers = isinstance(one, float | torch.Tensor)
    same = np.allclose(one, other, rtol=1e-9, atol=1e-11, equal_nan=True) if numbers else one == other
    return [] if same else [f"{path}: {one}, {other}"]


def told(task):
    """All a cell says of itself, less what goes with the clock and the bytes of rounded numbers."""
    status = record.read_json(task.folder.status)
    for name in ("wall_s", "train_time_s", "together", "peak_mib", "curve", "kept", "reason"):
        status.pop(name, None)
    rows, good = record.read_rows(task.folder.curve, record.read_json(task.folder.status)["curve"])
    assert good
    rows = [{name: row[name] for name in row if name != "train_time_s"} for row in rows]
    return status, rows, load_file(task.folder.players)


@pytest.mark.parametrize(
    ("problem", "optimizer"),
    [
        ("alike", "extragradient[lr=0.05,(0.01,0.1);explore=0.5,1.0;fresh=true]"),
        ("alike", "lookahead[inner=alternating;alpha=0.3,0.5;betas=(0.0,0.9),(0.5,0.99)]"),
        ("alike-plain", "consensus[gamma=0.1,0.2;lr=0.02,1e3]"),
        ("alike-plain", "averaging[inner=optimistic[optimism=0.5,1.0];momentum=0.0,0.5]"),
    ],
)
def test_an_ensemble_records_what_its_runs_record_alone(tasks, problem, optimizer):
    alone = tasks(problem, optimizer, home="alone")
    for task in alone:
        play(task)
    one = together(tasks(problem, optimizer))
    statuses = play(one)
    assert {status["together"] for status in statuses.values()} == {len(alone)} and len(alone) >= 8
    if "1e3" in optimizer:
        assert {status["status"] for status in statuses.values()} == {"ok", "diverged"}
    for task in alone:
        (same,) = (each for each in one.each if each.cell == task.cell)
        assert not differences(told(task), told(same))


def test_an_ensemble_that_was_stopped_starts_again_and_what_has_ended_stays(tasks):
    made = tasks("alike-plain", "simultaneous[lr=0.01,0.02]")
    assert {status["status"] for status in play(together(made), StopAfter(5)).values()} == {"interrupted"}
    assert not any(task.folder.checkpoint.exists() for task in made)
    assert {status["together"] for status in play(together(made[:-1])).values()} == {3}
    times = [task.folder.status.stat().st_mtime_ns for task in made[:-1]]
    assert play(together(made))[made[-1].cell.run_id]["together"] == 1
    assert times == [task.folder.status.stat().st_mtime_ns for task in made[:-1]]


def test_what_another_command_plays_is_left_to_it(tasks):
    made, events = tasks("alike-plain", "simultaneous", (100, 101, 102)), []
    with locks.locked(made[1].folder):
        worker.perform_all(together(made), events.append, Stop())
    assert {event.run_id: event.kind for event in events if event.kind in (BUSY, "ok")} == {
        task.cell.run_id: BUSY if task is made[1] else "ok" for task in made
    }
    assert record.read_json(made[0].folder.status)["together"] == 2


def test_what_no_ensemble_can_play_is_played_alone_and_says_why(tasks):
    for status in play(together(tasks("tiny", "simultaneous"))).values():
        assert (status["status"], status["together"]) == ("ok", 1) and "remembers more" in status["apart"]


def test_only_what_is_alike_is_put_together(tasks):
    made = tasks("alike", "lookahead[k=5,6;lr=0.1,(0.1,0.2)]", (1, 2)) + tasks("alike", "simultaneous", (1, 2))
    made += tasks("alike", "simultaneous[rule=sgd;lr=0.1]", (1, 2)) + tasks("alike", "simultaneous[ema=2.0]", (1, 2))
    assert [len(task.each) for task in grouped(made, 10)] == [4, 4, 2, 2, 2]
    assert [len(task.each) for task in grouped(made, 3)] == [2] * 7
    assert {one.cell.run_id for task in grouped(made, 3) for one in task.each} == {task.cell.run_id for task in made}


def test_a_run_that_fails_or_ends_its_process_harms_no_other(tasks, tmp_path, monkeypatch, capsys):
    ended = list(play(together(tasks("alike-deadly", "simultaneous", (100, 101, 103)))).values())
    assert [(one["status"], one["together"]) for one in ended] == [("ok", 3), ("error", 1), ("ok", 3)]
    assert ended[1]["apart"] == "ZeroDivisionError: evaluation is broken"
    monkeypatch.setattr(suite, "write", lambda *_: [])
    words = ("--import", ALIKE, "-p", "alike-plain", "-p", "alike-deadly", "-o", "simultaneous", "--seeds", "102-104")
    assert run.main([*words, "--device", "cpu", "--results", str(tmp_path), "--together", "8"]) == 1
    runs = tables.load(tmp_path / "custom").runs.set_index(["problem", "seed"])
    assert list(runs.loc["alike-plain"].together) == [3, 3, 3] and set(runs.loc["alike-plain"].status) == {"ok"}
    assert list(runs.loc["alike-deadly"].status) == ["interrupted", "ok", "ok"]
    assert "ended by SIGKILL" in capsys.readouterr().out
