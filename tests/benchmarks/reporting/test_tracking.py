"""Curves for trackers: every row, once, under its own name."""

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from benchmarks import record
from benchmarks.record import Folder, UsageError
from benchmarks.reporting import tracking
from tests.benchmarks.reporting import synthetic


@pytest.fixture
def home(tmp_path):
    home = synthetic.suite(tmp_path / "suite", ("one",), seeds=1, optimizers={"optimistic": 0.0}, pictured=False)
    return home


class Sink:
    def __init__(self):
        self.seen, self.finished = [], False

    def log(self, metrics, step):
        self.seen += [(step, name, value) for name, value in metrics.items()]

    def finish(self):
        self.finished = True


def rows(home):
    (folder,) = (Folder(path.parent) for path in home.glob("cells/*/cell.json"))
    return folder.path.name, [(row["step"], row["metric"], row["value"]) for row in record.rows_of(folder.curve)]


def test_anything_that_logs_gets_every_row(home):
    sinks = {}

    @contextmanager
    def opened(name, about):
        assert about == {"title": "one", "label": "optimistic", "seed": 0, "status": "ok"}
        yield sinks.setdefault(name, Sink())

    tracking.send(home, opened)
    name, expected = rows(home)
    assert {name: sink.seen for name, sink in sinks.items()} == {name: expected}


def test_trackio_gets_a_run_a_cell_and_is_asked_for_in_a_sentence(home, monkeypatch):
    made = {}

    def init(project, name, config):
        assert project == "mine" and config["seed"] == 0
        return made.setdefault(name, Sink())

    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(init=init))
    tracking.send(home, tracking.trackio("mine"))
    name, expected = rows(home)
    assert made[name].seen == expected and made[name].finished
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(UsageError, match="pip install trackio"):
        tracking.trackio("mine")
