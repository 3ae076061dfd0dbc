"""Whatever commands, kills and hands do to a folder, in whatever order: one more command, and the tables are as ever.

The cells are played by a stand-in for `Run` that computes nothing; all else is the real thing.
"""

import io
import itertools
import json
import shutil
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from benchmarks import record, run
from benchmarks.record import RecordError
from benchmarks.reporting import suite, tables
from benchmarks.runner import worker
from benchmarks.runner.engines import processes
from benchmarks.runner.task import Stop

TINY = str(Path(__file__).with_name("tiny.py"))
STEPS = 3
SHOWN = ["run_id", "title", "label", "seed", "status", "step", "value"]


class Killed(BaseException):
    """Stands for the end of the process."""


class Counted:
    """An evaluation a step, and a checkpoint after each; the number is the product of seed and step."""

    def __init__(self, task, tell, stop):
        self.task, self.stop, self.steps, self.step = task, stop, STEPS, 0
        folder, offset = task.folder, 0
        if folder.checkpoint.exists():
            try:
                saved = json.loads(record.read_sealed(folder.checkpoint))
                if saved["run_id"] == task.cell.run_id and record.holds(folder.curve, saved["curve"]):
                    self.step, offset = saved["step"], saved["curve"][0]
            except record.DamagedError:
                pass
        self.curve = record.Curve(folder.curve, offset)

    def play(self):
        cell, folder = self.task.cell, self.task.folder
        same = dict.fromkeys(record.COLUMNS, 0) | {"run_id": cell.run_id, "problem": cell.problem, "data": None}
        same |= {"optimizer": cell.setup.optimizer, "params": "", "seed": cell.seed, "split": "eval", "iterate": "last"}
        while self.step < STEPS:
            self.step += 1
            value = float(cell.seed * self.step)
            self.curve.append([{**same, "step": self.step, "metric": "score", "value": value}])
            saved = {"run_id": cell.run_id, "step": self.step, "curve": self.curve.stamp}
            record.write_sealed(folder.checkpoint, json.dumps(saved).encode())
            if self.stop:
                return self.ended("interrupted")
        return self.ended("ok")

    def ended(self, status):
        value = float(self.task.cell.seed * self.step)
        told = {"status": status, "reason": "", "step": self.step, "steps": STEPS, "curve": self.curve.stamp}
        return told | {"value": value, "final": {"score": value}, "flags": ""}


def command(home, *more, stop=False):
    """The command; returns what it prints."""
    words = ["--import", TINY, "-p", "alone", "-o", "simultaneous", "--seeds", "100-102", "--preset", "smoke"]
    out = io.StringIO()

    def inline(tasks, jobs, listen):
        for task in tasks:
            asked = Stop()
            asked.asked = stop
            worker.perform(task, listen, asked)

    processes.play = inline
    with redirect_stdout(out):
        run.main([*words, "--device", "cpu", "--results", str(home), *more])
    return out.getvalue()


def told(home):
    """What the tables say, and which sentences."""
    found = tables.load(home / "custom")
    rows = found.curves[["run_id", "step", "metric", "value"]].astype({"run_id": str, "metric": str})
    return found.runs[SHOWN].to_dict("records"), rows.to_dict("records"), found.notes


cells, files = st.integers(0, 2), st.sampled_from(["cell.json", "curve.jsonl", "status.json", "checkpoint.safetensors"])


class Folder(RuleBasedStateMachine):
    @initialize()
    def begin(self):
        self.home, self.copies = Path(tempfile.mkdtemp()), itertools.count()

    @rule(stop=st.booleans())
    def run(self, stop):
        command(self.home, stop=stop)

    @rule(n=st.integers(1, 30), cut=st.floats(0, 1))
    def kill(self, n, cut):
        """At the n-th write; of rows, a part is on the disk by then."""
        count, atomic, append = itertools.count(1), record.write_atomic, record.Curve.append

        def write(path, data):
            if next(count) == n:
                raise Killed
            atomic(path, data)

        def extend(curve, rows):
            if next(count) == n:
                whole = record.seal({name: rows[0][name] for name in record.COLUMNS}, curve.crc)
                with curve.path.open("ab") as file:
                    file.write(whole[: int(cut * len(whole))])
                raise Killed
            append(curve, rows)

        record.write_atomic, record.Curve.append = write, extend
        try:
            command(self.home)
        except Killed:
            pass
        finally:
            record.write_atomic, record.Curve.append = atomic, append

    @rule(k=cells)
    def force(self, k):
        command(self.home, "--force", f"*-s10{k}-*")

    @rule(k=cells, name=files)
    def delete(self, k, name):
        for path in self.paths(k, name):
            path.unlink()

    @rule(k=cells, name=files, share=st.floats(0, 1))
    def truncate(self, k, name, share):
        for path in self.paths(k, name):
            path.write_bytes((data := path.read_bytes())[: int(share * len(data))])

    @rule(k=cells, name=files, share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def flip(self, k, name, share, bit):
        for path in self.paths(k, name):
            if data := bytearray(path.read_bytes()):
                data[int(share * len(data))] ^= 1 << bit
                path.write_bytes(data)

    @rule(k=cells, onto=cells | st.none())
    def duplicate(self, k, onto):
        """A cell's folder, beside it or in the place of another."""
        for cell in self.home.glob(f"custom/cells/*-s10{k}-*"):
            places = [cell.with_name(f"{cell.name} copy {next(self.copies)}")]
            if onto is not None:
                places = [place for place in self.home.glob(f"custom/cells/*-s10{onto}-*") if onto != k]
            if " copy " not in cell.name:
                for place in places:
                    shutil.rmtree(place, ignore_errors=True)
                    shutil.copytree(cell, place)

    def paths(self, k, name):
        return list(self.home.glob(f"custom/cells/alone-*-s10{k}-????????/{name}"))

    def teardown(self):
        """What the tables say before the last command is true, as far as it goes; after it, it is all."""
        runs, rows, _ = EXPECTED
        try:
            found, some, _ = told(self.home)
            assert [one for one in found if one["status"] == "ok" and one not in runs] == []
            assert [row for row in some if row not in rows] == []
        except RecordError:  # there is no cell that is whole
            pass
        command(self.home)
        after = told(self.home)
        assert after[:2] == EXPECTED[:2]
        assert all(" copy " in note and "is a copy of alone-" in note for note in after[2])
        shutil.rmtree(self.home)


EXPECTED = None


@pytest.fixture(autouse=True)
def undisturbed(tmp_path, monkeypatch):
    global EXPECTED
    monkeypatch.setattr(worker, "Run", Counted)
    monkeypatch.setattr(processes, "play", None)
    monkeypatch.setattr(processes, "warm_up", lambda: None)
    monkeypatch.setattr(suite, "write", lambda *_: [])
    monkeypatch.setattr("benchmarks.runner.session._commit", lambda: None)
    monkeypatch.setattr("benchmarks.writing.os.fsync", lambda _: None)
    command(tmp_path)
    EXPECTED = told(tmp_path)


def test_one_more_command_mends_whatever_was_done_to_a_folder():
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(Folder, settings=settings(max_examples=18, stateful_step_count=8))
