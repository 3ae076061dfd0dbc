import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import record, report, run
from benchmarks.reporting import suite
from benchmarks.runner.options import parse, seeds
from benchmarks.suites import SUITES
from minimax.optimizers import BY_NAME
from minimax.rules import BY_RATE

ROOT = Path(__file__).parents[2]
TINY = str(Path(__file__).with_name("tiny.py"))


@pytest.fixture
def command(tmp_path):
    usual = {"--results": str(tmp_path), "-j": "2", "--device": "cpu", "--preset": "smoke"}

    def words(*more):
        return ["--import", TINY, *(word for name in usual if name not in more for word in (name, usual[name])), *more]

    return words


@pytest.fixture
def home(tmp_path):
    return tmp_path / "custom"


@pytest.fixture
def untold(monkeypatch):
    """No tables and figures, which take longest."""
    monkeypatch.setattr(suite, "write", lambda *_: [])


@pytest.fixture
def undrawn(monkeypatch):
    """Tables, and a page without figures."""
    monkeypatch.setattr(suite, "drawn", lambda *_: ())


def statuses(home):
    return {path.parent.name: record.read_json(path)["status"] for path in sorted(home.glob("cells/*/status.json"))}


PLAIN = (
    "import sys; from benchmarks import run; from benchmarks.reporting import suite; "
    "suite.write = lambda *_: []; sys.exit(run.main())"
)


def start(*words, how=("-m", "benchmarks.run")):
    """The command as a user types it, or PLAIN, without its figures."""
    arguments = [sys.executable, *how, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell lets what it puts behind itself ignore it
    return subprocess.Popen(arguments, cwd=ROOT, preexec_fn=heard, **pipes)


def test_one_command_goes_from_plan_to_figures_and_resumes(command, home, capsys):
    words = command(
        "-p", "tiny", "-p", "alone", "-o", "simultaneous", "-o", "extragradient[lr=0.1,0.2]", "--seeds", "0-1"
    )
    assert run.main(words) == 0
    out = capsys.readouterr().out
    assert "12 cells, 12 to do" in out and "[12/12]" in out and "\r" not in out
    assert len(statuses(home)) == 12
    assert len(pd.read_csv(home / "summary.csv")) == 6
    names = {path.name for path in (home / "figures").iterdir()}
    assert {"overview.svg", "overview.png", "tiny-curves.svg", "tiny-phase.png", "tiny-points-seeds.png"} <= names
    times = {path: path.stat().st_mtime_ns for path in home.glob("cells/*/status.json")}
    assert run.main(words) == 0
    assert "12 cells, 0 to do" in capsys.readouterr().out
    assert times == {path: path.stat().st_mtime_ns for path in home.glob("cells/*/status.json")}
    assert run.main([*words, "--dry-run"]) == 0
    assert "12 cells, 12 done, 0 to do" in capsys.readouterr().out


def test_force_plays_matching_cells_again(command, untold, capsys):
    words = command("-p", "alone", "-o", "simultaneous", "--seeds", "0-1")
    assert run.main(words) == 0
    capsys.readouterr()
    assert run.main([*words, "--force", "alone-*-s1-*"]) == 0
    assert "2 cells, 1 to do" in capsys.readouterr().out


def test_failures_are_told_with_the_command_that_plays_them_alone(command, home, untold, capsys):
    words = command(
        "-p", "tiny", "-p", "tiny-broken", "-p", "tiny-hungry", "-o", "simultaneous[lr=0.1]", "--seeds", "0"
    )
    assert run.main(words) == 1
    out = capsys.readouterr().out
    assert sorted(statuses(home).values()) == ["error", "ok", "oom"]
    assert "Traceback" in out and "ZeroDivisionError: evaluation is broken" in out
    again = next(line for line in out.splitlines() if "again:" in line and "tiny-broken" in line)
    assert "--force tiny-broken-simultaneous-s0-" in again and "'simultaneous[lr=0.1]'" in again
    assert run.main(shlex.split(again.partition("benchmarks.run ")[2])) == 1
    assert "1 cells, 1 to do" in capsys.readouterr().out
    assert run.main(words) == 1
    assert "3 cells, 0 to do" in capsys.readouterr().out
    assert run.main([*words, "--retry", "failed"]) == 1
    assert "3 cells, 2 to do" in capsys.readouterr().out


def test_nothing_is_written_where_nothing_can_be_played(command, home, capsys):
    assert run.main(command("-p", "tiny-lost", "-o", "simultaneous", "--seeds", "0")) == 1
    assert "cannot be prepared" in capsys.readouterr().out and not home.exists()


def test_data_that_are_not_there_stop_their_problem_alone(command, home, untold, capsys):
    assert run.main(command("-p", "tiny-lost", "-p", "alone", "-o", "simultaneous", "--seeds", "0")) == 1
    out = capsys.readouterr().out
    assert "tiny-lost/nowhere cannot be prepared: FileNotFoundError" in out and "--data-root" in out
    assert list(statuses(home).values()) == ["ok"]


@pytest.mark.parametrize(
    "words, says",
    [
        (["--suite", "gan"], "did you mean gans"),
        (["-p", "dcgn"], "did you mean dcgan"),
        (["-p", "alone", "-o", "extragradent"], "did you mean extragradient"),
        (["-p", "alone", "-o", "simultaneous[lr=-1]"], "alone: --optimizer simultaneous: lr"),
        (["-p", "alone", "--data", "mnis"], "did you mean mnist"),
        (["-p", "alone", "--device", "gpu"], "no device"),
        (["-p", "alone", "--preset", "gpu"], "no preset of alone"),
        (["--import", "nowhere.py"], "no Python file"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence_and_nothing_is_written(command, tmp_path, capsys, words, says):
    assert run.main(command(*words)) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nothing_to_play_is_said(tmp_path, capsys):
    assert run.main(["--results", str(tmp_path)]) == 2
    assert "name a suite" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--seeds", "x"], ["--seeds", "4-2"], ["-j", "0"], ["--timeout", "0"], ["--steps", "1.5"]]
)
def test_malformed_options_exit_with_status_2(words, capsys):
    with pytest.raises(SystemExit) as exit:
        parse(words)
    assert exit.value.code == 2


def test_seeds_are_lists_and_ranges():
    assert seeds("0-2,7,1") == (0, 1, 2, 7)


def test_results_of_another_version_are_left_alone(command, home, capsys):
    record.write_json(home / "cells" / "schema.json", {"schema": 0})
    assert run.main(command("-p", "alone")) == 2
    assert "schema 0" in capsys.readouterr().err
    assert [path.name for path in home.rglob("*")] == ["cells", "schema.json"]


def test_the_catalogue_names_everything(capsys):
    assert run.main(["--list", "--import", TINY]) == 0
    out = capsys.readouterr().out
    for name in (*SUITES, "tiny", "bilinear", *BY_NAME, "halfway", *BY_RATE):
        assert re.search(rf"^\w+ +{re.escape(name)} ", out, re.MULTILINE), name
    for text in ("smoke: 4 steps of 2", "explore=1;fresh=false", "lr;momentum=0", "data: digits, mnist"):
        assert text in out
    assert "played by extragradient, simultaneous[lr=0.1]" in out and "not by consensus: its fixed points" in out


def test_the_catalogue_counts_the_runs_of_a_suite(command, capsys):
    assert run.main(["--list"]) == 0
    told = dict(re.findall(r"^suite +(\S+) .*\n +(\d+) runs: ", capsys.readouterr().out, re.MULTILINE))
    assert set(told) == set(SUITES)
    for name in ("gans", "games-more", "hybrids"):  # the second has problems with optimizers of their own
        assert run.main(command("--suite", name, "--preset", "smoke", "-n")) == 0
        assert re.search(rf"^{name}: {told[name]} cells", capsys.readouterr().out, re.MULTILINE), name


def test_a_problem_has_optimizers_of_its_own(command, capsys):
    assert run.main(command("-p", "tiny-picky", "--seeds", "0", "-n")) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()[:-1]] == [
        "extragradient",
        "simultaneous[lr=0.1]",
    ]


def test_a_problem_is_looked_for_in_all_suites_that_are_named(command, capsys):
    suites = ("--suite", "games", "--suite", "games-more", "--suite", "mixtures")
    assert (
        run.main(command(*suites, "-p", "polar", "-p", "scsc", "-p", "ring8", "-o", "consensus", "--seeds", "0", "-n"))
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines if line.startswith("to do")] == ["scsc", "polar", "ring8"]
    assert run.main(command(*suites, "-p", "polar", "-o", "consensus", "--seeds", "0", "-n")) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["games-more"]


def test_what_cannot_be_played_is_in_the_tables_and_no_failure(command, home, undrawn, capsys):
    words = command("-p", "tiny-picky", "-p", "alone", "-o", "consensus", "-o", "stackelberg", "--seeds", "0")
    assert run.main(words) == 0
    assert sorted(statuses(home).values()) == ["ok", "ok", "skipped", "skipped"]
    summary = pd.read_csv(home / "summary.csv").set_index(["title", "label"])
    assert summary.skipped.sum() == 2 and summary.failed.sum() == 0
    runs = pd.read_csv(home / "runs.csv").set_index(["title", "label"])
    assert runs.loc[("tiny-picky", "consensus"), "reason"] == "consensus: its fixed points are others here"
    assert run.main(words) == 0 and "0 to do" in capsys.readouterr().out


def test_a_users_file_brings_problems_and_optimizers(command, home, untold):
    assert run.main(command("-p", "tiny", "-o", "halfway", "-o", "lookahead[inner=halfway]", "--seeds", "0")) == 0
    assert set(statuses(home).values()) == {"ok"}


def test_an_optimizers_name_is_taken_once(command, tmp_path, capsys):
    (tmp_path / "own.py").write_text(
        "import minimax as mm\nclass Mine(mm.SimultaneousGDA):\n    name = 'extragradient'\n"
    )
    assert run.main(command("--import", str(tmp_path / "own.py"), "-p", "alone")) == 2
    assert "two optimizers are named extragradient" in capsys.readouterr().err


@pytest.mark.parametrize("jobs, threads", [("1", 2), ("2", 1)])
def test_a_lone_run_has_the_threads_of_the_environment(command, monkeypatch, jobs, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert parse(command("-p", "alone", "-j", jobs)).threads == threads
    assert parse(command("-p", "alone", "-j", jobs, "--threads", "3")).threads == 3


def test_everything_goes_to_runs_unless_told(tmp_path):
    assert parse(["-p", "alone"]).results == Path("runs")
    ignored = subprocess.run(["git", "check-ignore", "runs/gans/summary.csv"], cwd=ROOT, check=False)
    assert ignored.returncode in (0, 128)  # 128: no checkout


def test_a_report_is_the_same_at_every_writing(command, home, capsys):
    assert run.main(command("-p", "tiny", "-o", "simultaneous", "--seeds", "0-1")) == 0
    paths = [home / "summary.csv", *(home / "figures").iterdir()]
    before = {path: path.read_bytes() for path in paths}
    for path in paths:
        path.unlink()
    assert report.main([str(home)]) == 0
    assert {path: path.read_bytes() for path in paths} == before and not (home / "paper").exists()
    assert report.main([str(home / "nowhere")]) == 2


def test_curves_go_to_tensorboard(command, home, untold, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run.main(command("-p", "tiny", "-o", "simultaneous", "--seeds", "0")) == 0
    assert report.main([str(home), "--tensorboard", str(tmp_path / "logs")]) == 0
    (logs,) = (tmp_path / "logs" / "custom").iterdir()
    events = EventAccumulator(str(logs)).Reload()
    rows, _ = record.read_rows(home / "cells" / logs.name / "curve.jsonl")
    for metric in {row["metric"] for row in rows}:
        mine, shown = [row for row in rows if row["metric"] == metric], events.Scalars(metric)
        assert [event.step for event in shown] == [row["step"] for row in mine]
        assert [event.value for event in shown] == pytest.approx([row["value"] for row in mine], rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_checkpoints_and_the_same_command_goes_on(command, home, untold, capsys, number):
    words = command("-p", "tiny-slow", "-o", "simultaneous", "--seeds", "0-1", "--preset", "cpu", "--steps", "400")
    process = start(*words)
    deadline = time.monotonic() + 100
    while len(list(home.glob("cells/*/samples/*"))) < 4:
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "the same command goes on" in err and set(statuses(home).values()) == {"interrupted"}
    assert len(list(home.glob("cells/*/checkpoint.safetensors"))) == 2
    assert run.main(words) == 0
    assert capsys.readouterr().out.count("goes on at step") == 2 and set(statuses(home).values()) == {"ok"}


def test_a_killed_worker_is_told_and_the_same_command_goes_on(command, untold, home):
    words = command("-p", "tiny-slow", "-o", "simultaneous", "--seeds", "0", "--preset", "cpu", "--steps", "300")
    process = start(*words, how=("-c", PLAIN))
    lock, deadline = None, time.monotonic() + 100
    while not lock or not lock[0].read_text().endswith("}"):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
        lock = list(home.glob("cells/*/.lease"))
    os.kill(json.loads(lock[0].read_text())["pid"], signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "SIGKILL" in out and "again:" in out, out + err
    assert run.main(words) == 0


@pytest.mark.parametrize(
    "error, words, status, says",
    [
        (KeyboardInterrupt(), [], 130, "interrupted: the same command goes on from here"),
        (KeyboardInterrupt(), ["--force", "*"], 130, "interrupted: the same command, without --force, goes on"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), [], 1, "error: the disk is full"),
        (OSError(errno.EIO, "Input/output error", "x"), [], 1, "error: [Errno 5] Input/output error: 'x': mend that"),
    ],
)
def test_what_stops_a_command_is_said_in_one_line(command, monkeypatch, capsys, error, words, status, says):
    def stopped(_):
        raise error

    monkeypatch.setattr(run, "play", stopped)
    assert run.main(command("-p", "alone", *words)) == status
    err = capsys.readouterr().err
    assert err.startswith(says) and err.count("\n") == 1


def test_a_problem_may_need_its_data_to_tell_its_metrics(command, home, untold, tmp_path, monkeypatch, capsys):
    told = []
    for cache in ("cache", "cache", "lost"):  # with a fresh cache, with all done, and with all done and the cache lost
        monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / cache))
        assert run.main(command("-p", "needy", "-o", "simultaneous", "--seeds", "0")) == 0
        told.append(capsys.readouterr().out)
    assert "[1/1]" in told[0] and all("score -0.4" in out for out in told)
    assert list(statuses(home).values()) == ["ok"]


def test_workers_have_the_environment_of_their_command(tmp_path, monkeypatch):
    """The server that forks them was started in another one: here the first run's, whose cache is gone."""
    for name in ("first", "second"):
        monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / name))
        words = ["-p", "vae-linear", "-o", "alternating", "--seeds", "0", "--preset", "smoke", "-j", "1"]
        assert run.main([*words, "--results", str(tmp_path / f"{name} results")]) == 0
        shutil.rmtree(tmp_path / name)
