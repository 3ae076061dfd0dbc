"""What is printed, wherever it goes: a terminal, a log file, a closed pipe, an output that knows ASCII alone."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import record, run
from benchmarks.reporting import suite
from benchmarks.runner import terminal
from benchmarks.runner.task import Event

ROOT = Path(__file__).parents[3]
TINY = str(Path(__file__).parents[1] / "tiny.py")
ESCAPE = "\x1b["


@pytest.fixture
def words(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "write", lambda *_: [])
    usual = ["--import", TINY, "-p", "alone", "-o", "simultaneous", "--seeds", "0-1"]
    return [*usual, "--results", str(tmp_path), "--device", "cpu", "--preset", "smoke"]


def statuses(home):
    return [record.read_json(path)["status"] for path in sorted(home.glob("custom/cells/*/status.json"))]


def test_whoever_stops_reading_loses_nothing(words, tmp_path, monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert run.main(words) == 0
        assert run.main([*words, "--dry-run"]) == 0
        assert run.main(["--list"]) == 0
    assert statuses(tmp_path) == ["ok", "ok"]
    assert capfd.readouterr() == ("", "")


def test_an_output_of_ascii_shows_what_looks_alike(words, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert run.main(words) == 0
    assert run.main(["--list"]) == 0
    told = stream.buffer.getvalue().decode("ascii")
    assert " oo " in told and "suite      gans" in told


def test_marks_stay_apart_in_ascii():
    marks = [*terminal.MARKS.values(), "◐", "!"]
    plain = [mark.encode("ascii", "lookalike").decode() for mark in marks]
    assert len(set(plain)) == len(marks) and "?" not in plain
    assert "naïve – 数".encode("ascii", "lookalike") == b"na?ve - ?"


def test_a_log_file_is_clean(words, tmp_path, capfd):
    assert run.main(words) == 0
    out, err = capfd.readouterr()
    assert err == "" and not re.search(r"[\x00-\x09\x0b-\x1f]", out)
    assert len(out.splitlines()) == 5  # what is to do, an event a cell, the summary, how many figures


def typed(words, **environment):
    """What a terminal shows of a command, and its exit status."""
    outer, inner = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")} | {
        **{"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "120"},
        **environment,
    }
    code = (
        "import sys; from benchmarks import run; from benchmarks.reporting import suite; "
        "suite.write = lambda *_: []; sys.exit(run.main())"
    )
    process = subprocess.Popen([sys.executable, "-c", code, *words], env=environment, stdout=inner, stderr=inner)
    os.close(inner)
    told = b""
    try:
        while block := os.read(outer, 4096):
            told += block
    except OSError:  # the other end is closed
        pass
    os.close(outer)
    return told.decode(), process.wait(60)


COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][;m]")


def test_a_terminal_shows_colours_unless_it_is_told_not_to(words):
    told, status = typed(words)
    assert status == 0 and COLOUR.search(told)
    told, status = typed([*words, "--force", "*"], NO_COLOR="1")
    assert status == 0 and "●●" in told and not COLOUR.search(told)


def test_a_dumb_terminal_gets_lines(words):
    told, status = typed(words, TERM="dumb")
    assert status == 0 and ESCAPE not in told and "[2/2]" in told


def test_closed_outputs_are_no_matter(words, tmp_path):
    command = [sys.executable, "-m", "benchmarks.run", *words[:-1], "smoke", "--dry-run"]
    shell = subprocess.run(["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *command], cwd=ROOT, timeout=60, check=False)
    assert shell.returncode == 0


def test_a_log_says_once_a_minute_how_far_it_is(monkeypatch):
    cells = [SimpleNamespace(run_id=f"cell-{k}", problem="p", title="p", spec="sim") for k in range(2)]
    board = terminal.Board(cells, {"p": terminal.Headline("kid")}, {cell.run_id: terminal.State() for cell in cells})
    out = io.StringIO()
    shown, clock = terminal.Plain(board, lambda cell: "", out), [board.began]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    for second in range(180):
        clock[0] = board.began + second
        shown.hear(Event("cell-0", "progress", step=second, steps=200))
    told = out.getvalue().splitlines()
    assert len(told) == 2 and told[0] == "15 % done, 1:01 gone, about 5:39 left"


def test_a_row_counts_what_is_lost_as_the_worst_as_tables_do():
    cells = [SimpleNamespace(run_id=f"cell-{k}", problem="p", title="p", spec="sim", shown="sim") for k in range(5)]
    states = [
        *(terminal.State("ok", value=0.1 * k, covered=0.5) for k in (1, 2, 3)),
        terminal.State("ok", value=0.0, covered=0.1, flags="collapsed"),
        terminal.State("diverged", step=7),
    ]
    for worst, said in ((float("inf"), "0.3 (0.1 to ∞)"), (float("-inf"), "0.1 (−∞ to 0.3)")):
        named = dict(zip((cell.run_id for cell in cells), states, strict=True))
        board = terminal.Board(cells, {"p": terminal.Headline("kid", "coverage", worst)}, named)
        ((_, _, _, summary),) = board.rows()
        assert summary == f"kid {said}  coverage 0.5  1 diverged @ 7  1 collapsed"
