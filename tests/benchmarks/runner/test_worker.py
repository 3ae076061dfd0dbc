import errno
import json
import multiprocessing
import os
import pickle
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import minimax as mm
from benchmarks import locks, optimizers, problems, record, tensors
from benchmarks.record import Folder
from benchmarks.runner import plan, process, spec, worker
from benchmarks.runner.engines import processes
from benchmarks.runner.worker import Stop, Task
from tests.benchmarks.stopping import StopAfter

TINY = str(Path(__file__).parents[1] / "tiny.py")


@pytest.fixture(scope="module")
def found():
    return problems.discover([TINY])


@pytest.fixture
def task(found, tmp_path):
    def make(problem="tiny", optimizer="extragradient", folder="cell", preset="cpu", steps=None, **how):
        sizes = plan.Sizes(preset, steps=steps)
        (cell,) = plan.cells([found[problem]], spec.parse(optimizer), [3], sizes)
        return Task(cell, Folder(tmp_path / folder), **{"pause": 0.0, **how})

    return make


def play(task, stop=None):
    events = []
    status = worker.perform(task, events.append, Stop() if stop is None else stop)
    assert events[-1].kind == status
    return record.read_json(task.folder.status), events


def rows(task, timeless=True):
    found, good = record.read_rows(task.folder.curve)
    assert good
    return [{name: row[name] for name in row if not (timeless and name == "train_time_s")} for row in found]


def test_a_cell_records_what_it_did(task):
    played = task()
    status, events = play(played)
    assert status["status"] == "ok" and "misses distance" in status["reason"]
    assert (status["step"], status["grad_evals"], status["units"]) == (20, 80, 80)  # half of 40, two gradients each
    assert status["samples"] == 20 * 4 and status["peak_mib"] > 10
    found = rows(played)
    assert found[0].keys() == set(record.COLUMNS) - {"train_time_s"}
    assert sorted({row["step"] for row in found}) == [0, 5, 10, 15, 20]
    assert {"distance", "loss_0", "field_norm", "gradient_norm_1", "player_norm_0", "path_length", "update_cosine"} <= {
        row["metric"] for row in found
    }
    assert (
        status["final"]["distance"] == status["value"] == [r["value"] for r in found if r["metric"] == "distance"][-1]
    )
    assert status["stability"].keys() >= {"last_minus_best", "path_ratio", "gradient_ratio"}
    names = sorted(path.name for path in played.folder.samples.iterdir())
    assert names[:2] == ["pixels-00000000.png", "pixels-00000005.png"] and "points-00000020.npy" in names
    assert [event.kind for event in events] == ["start", *["evaluation"] * 5, "ok"]
    truths, floors = sorted((played.folder.path.parent / "floors").iterdir())
    assert [path.name for path in sorted(truths.iterdir())] == ["modes-00000000.npy", "points-00000000.npy"]
    assert json.loads(floors.read_text())["floors"] == [["distance", "equilibrium", 0.0, None, None]]


def test_ritz_values_are_recorded_and_change_nothing(task):
    """min x·y (1 + noise) turns: both players' curvature is far below what couples them."""
    plain, asked = task(folder="plain"), task(folder="asked", ritz=4)
    (before, _), (after, _) = play(plain), play(asked)
    told = [row for row in rows(asked) if row["metric"].startswith("ritz_")]
    assert [row for row in rows(asked) if row not in told] == rows(plain)
    assert {row["metric"] for row in told} == {"ritz_turning", "ritz_repelling", "ritz_radius"} and len(told) == 15
    assert after["stability"]["ritz_turning"] == 1.0 and after["stability"]["ritz_repelling"] == 0.0
    assert before["stability"].items() <= after["stability"].items() and before["value"] == after["value"]


@pytest.mark.parametrize(
    "optimizer, steps",
    [("simultaneous", 40), ("alternating", 26), ("extragradient", 20), ("optimistic", 40), ("consensus", 13)],
)
def test_every_optimizer_gets_the_same_gradients(task, optimizer, steps):
    status, _ = play(task(optimizer=optimizer))
    assert status["step"] == steps and 70 <= status["units"] <= 80


def test_a_problem_of_one_player_and_a_budget_of_one_step(task):
    status, _ = play(task("alone", "optimistic[decay=true]", preset="smoke"))
    assert status["step"] == 4 and status["status"] == "ok" and status["value"] == pytest.approx(-2.9248)  # by hand
    status, _ = play(task("tiny", "extragradient", folder="one", steps=1))
    assert status["step"] == 1


def test_seeds_give_the_same_start_and_data_to_every_optimizer(task):
    runs = [task(optimizer=name, folder=name) for name in ("simultaneous", "alternating")]
    for run in runs:
        play(run)
    first, second = ([r["value"] for r in rows(run) if r["step"] == 0 and r["split"] == "eval"] for run in runs)
    assert first == second


def test_divergence_is_a_result(task):
    played = task(optimizer="simultaneous[rule=sgd,lr=1e3,decay=false]")
    status, _ = play(played)
    assert status["status"] == "diverged" and 0 < status["step"] < 40
    assert status["value"] != status["value"] and status["final"] == {}
    assert rows(played)[-1]["step"] == status["step"]


@pytest.mark.parametrize("optimizer", ["alternating", "extragradient[fresh=true]", "optimistic", "consensus"])
@pytest.mark.parametrize("looks", [0, 4, 9])
def test_an_interrupted_cell_goes_on_bit_for_bit(task, optimizer, looks):
    whole, halved = task(optimizer=optimizer, folder="whole"), task(optimizer=optimizer, folder="halved")
    expected, _ = play(whole)
    status, _ = play(halved, StopAfter(looks))
    assert status["status"] == "interrupted" and status["step"] == looks + 1
    status, events = play(halved)
    assert f"goes on at step {looks + 1} of" in events[0].text
    assert rows(halved) == rows(whole)
    assert {**status["final"], **status["stability"]} == {**expected["final"], **expected["stability"]}


def test_a_killed_cell_goes_on_bit_for_bit(task):
    whole, killed = task("tiny-slow", folder="whole"), task("tiny-slow", folder="killed")
    processes.warm_up()
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    player = context.Process(target=process.main, args=((), pickle.dumps(killed), sender, 30.0, dict(os.environ)))
    player.start()
    sender.close()
    deadline = time.monotonic() + 60
    while sum(1 for _ in killed.folder.samples.glob("points-*")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(player.pid, signal.SIGKILL)
    player.join()
    receiver.close()
    assert record.status_of(killed.folder) == "interrupted"
    _, events = play(killed)
    assert "goes on at step" in events[0].text
    play(whole)
    assert rows(killed) == rows(whole)


@pytest.mark.parametrize("damage", ["truncated", "garbage", "foreign", "rows", "short"])
def test_a_damaged_checkpoint_sends_a_cell_back_to_the_start_and_says_so(task, damage):
    whole, hurt, other = task(folder="whole"), task(folder="hurt"), task(folder="other", optimizer="optimistic")
    play(whole)
    play(hurt, StopAfter(9))
    file, curve = hurt.folder.checkpoint, hurt.folder.curve
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "garbage":
        file.write_bytes(b"garbage")
    elif damage == "foreign":
        play(other, StopAfter(9))
        file.write_bytes(other.folder.checkpoint.read_bytes())
    elif damage == "rows":
        curve.write_bytes(b"x" + curve.read_bytes()[1:])
    else:
        curve.write_bytes(curve.read_bytes()[:-1])
    status, events = play(hurt)
    assert "starts again at step 0" in events[0].text and status["status"] == "ok"
    assert rows(hurt) == rows(whole)


def test_rows_behind_the_checkpoint_are_cut_off(task):
    whole, torn = task(folder="whole"), task(folder="torn")
    play(whole)
    play(torn, StopAfter(9))
    with torn.folder.curve.open("ab") as file:
        file.write(file.name.encode())
    play(torn)
    assert rows(torn) == rows(whole)


def test_a_cell_keeps_all_it_needs_until_it_has_ended_and_then_its_players(task):
    whole, parts = task(folder="whole"), task(folder="parts")
    play(parts, StopAfter(9))
    saved = tensors.loaded(record.read_sealed(parts.folder.checkpoint))
    assert saved["step"] == 10 and set(saved) >= {"players", "state", "buffers", "memory", "cost", "random"}
    status, _ = play(parts)
    play(whole)
    kept = load_file(parts.folder.players)
    assert record.holds(parts.folder.players, status["kept"])
    assert not parts.folder.checkpoint.exists() and parts.folder.players.stat().st_size == status["kept"][0]
    assert set(kept) == {
        f"{kind}.{k}.{name}" for k in (0, 1) for kind, name in (("last", "weight"), ("buffers", "seen"))
    }
    assert torch.cat([kept["last.0.weight"], kept["last.1.weight"]]).norm() == pytest.approx(status["value"])
    assert parts.folder.players.read_bytes() == whole.folder.players.read_bytes()


def test_a_checkpoint_of_an_earlier_version_is_not_read_and_its_cell_starts_anew(task):
    played, whole = task(folder="old"), task(folder="whole")
    play(played, StopAfter(9))
    played.folder.checkpoint.rename(old := played.folder.path / "checkpoint.pt")
    status, events = play(played)
    assert [event.text for event in events if event.kind == "note"] == [
        "checkpoint.pt was left by an earlier version, which wrote checkpoints in another way: starts at step 0"
    ]
    play(whole)
    assert status["status"] == "ok" and rows(played) == rows(whole) and not old.exists()
    old.touch()
    record.lighten(played.folder)
    assert not old.exists()


@pytest.mark.parametrize("problem, status, says", [("tiny-broken", "error", "broken"), ("tiny-hungry", "oom", "room")])
def test_failures_say_what_happened(task, problem, status, says):
    played = task(problem)
    ended, events = play(played)
    assert ended["status"] == status and says in ended["reason"] and "tiny.py" in ended["traceback"]
    assert events[-1].trace == ended["traceback"]


def test_a_timeout_stops_and_a_longer_one_goes_on(task, found):
    whole, late = task("tiny-slow", folder="whole"), task("tiny-slow", folder="late", timeout=0.05)
    play(whole)
    status, _ = play(late)
    assert status["status"] == "timeout" and 0 < status["step"] < 20
    plan.reset(late.folder, False)
    status, _ = play(task("tiny-slow", folder="late"))
    assert status["status"] == "ok" and rows(late) == rows(whole)


def test_a_full_disk_is_said_and_harms_nothing(task, monkeypatch):
    played = task()
    append = record.Curve.append

    def full(self, rows):
        if rows[0]["step"] > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, rows)

    monkeypatch.setattr(record.Curve, "append", full)
    status, _ = play(played)
    assert status["status"] == "error" and "the disk is full" in status["reason"]
    assert {row["step"] for row in rows(played)} == {0, 5}


def test_a_full_disk_that_takes_not_even_the_status_is_said(task, monkeypatch):
    played = task()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record, "write_json", full)
    events = []
    assert worker.perform(played, events.append, Stop()) == "error"
    assert "the disk is full" in events[-1].text and not played.folder.status.exists()


def test_a_cell_that_another_process_plays_is_left_alone(task):
    played = task()
    with locks.locked(played.folder):
        events = []
        assert worker.perform(played, events.append, Stop()) == worker.BUSY
    assert f"by process {os.getpid()} on " in events[-1].text and not played.folder.status.exists()


def test_a_worker_whose_command_is_gone_stops_and_if_it_hangs_ends(monkeypatch):
    reader, writer = os.pipe()
    os.close(writer)
    ended = []
    monkeypatch.setattr(process, "parent_process", lambda: SimpleNamespace(sentinel=reader))
    monkeypatch.setattr(os, "_exit", ended.append)
    stop = Stop()
    process.follow(stop, 0.0)
    os.close(reader)
    assert stop and ended == [1]


def of_metric(found, name, iterate="last"):
    return [row["value"] for row in found if (row["metric"], row["iterate"]) == (name, iterate)]


@pytest.mark.parametrize(
    ("name", "half_lives"),
    [("tiny-averaged", [3.0] * 8), ("tiny-remembering", [0, 1.5, 3, 4.5, 6, 6, 6, 6])],
)
def test_a_recipes_average_is_evaluated_beside_the_last_iterate(task, name, half_lives):
    played = task(name, "simultaneous", steps=8)
    status, _ = play(played)
    found = rows(played)
    problem = played.cell.problem_of(problems.load(TINY, name), "cpu")
    modules = problem.players(3)
    game, players = problem.game().functional(modules)
    optimizer, memory = mm.SimultaneousGDA(mm.clipped(mm.sgd(0.05), norm=0.1)), problem.memory(3)
    mean = [player["weight"] for player in players]
    state = optimizer.init(game, players)
    for k in range(8):
        batch = problem.batch(3, k, memory)
        players, state, _ = optimizer.step(game, players, state, batch)
        left = 0.5 ** (1 / half_lives[k]) if half_lives[k] else 0.0
        mean = [left * old + (1 - left) * player["weight"] for old, player in zip(mean, players, strict=True)]
        memory = {"norms": torch.cat([memory["norms"][1:], players[0]["weight"].norm()[None]])}
    for iterate, at in (("last", [player["weight"] for player in players]), ("ema", mean)):
        distance = float(torch.cat(at).norm())
        assert of_metric(found, "distance", iterate)[-1] == pytest.approx(distance, rel=1e-6)
    assert status["value"] == status["final"]["distance"] != status["ema"]["distance"]
    assert len(of_metric(found, "distance", "ema")) == 1 < len(of_metric(found, "distance"))


@pytest.mark.parametrize("name", ["tiny-averaged", "tiny-remembering"])
def test_an_average_is_resumed_bit_for_bit(task, name):
    whole, parts = task(name, steps=8, folder="whole"), task(name, steps=8, folder="parts")
    play(whole)
    assert play(parts, StopAfter(3))[0]["status"] == "interrupted"
    play(parts)
    assert rows(whole) == rows(parts)


def test_an_optimizer_that_answers_with_its_average_is_evaluated_there(task):
    played = task(optimizer="averaging[inner=simultaneous]")
    status, _ = play(played)
    found = rows(played)
    assert status["iterate"] == "average" and of_metric(found, "distance", "average")[-1] == status["value"]
    plain, _ = play(task(optimizer="simultaneous", folder="plain"))
    assert status["value"] != plain["value"] and not of_metric(found, "distance")


@pytest.mark.parametrize("optimizer", ["consensus", "lookahead[inner=consensus]"])
def test_what_a_problem_names_is_skipped_with_its_sentence(task, optimizer):
    status, events = play(task("tiny-picky", optimizer))
    assert status["status"] == "skipped" and status["reason"] == "consensus: its fixed points are others here"
    assert [event.kind for event in events] == ["skipped"]


def test_a_method_that_cannot_play_a_game_is_skipped_with_its_sentence(task):
    status, _ = play(task("alone", "stackelberg"))
    assert status["status"] == "skipped" and "two players" in status["reason"]


def test_a_metric_that_is_not_declared_is_an_error(task):
    status, _ = play(task("tiny-talkative", "simultaneous"))
    assert status["status"] == "error" and "tiny-talkative yields rumour without declaring it" in status["reason"]


def test_an_optimizer_of_ones_own_is_played(task):
    optimizers.register([TINY])
    half, _ = play(task(optimizer="halfway", imports=(TINY,)))
    (lr,) = (0.025,)
    plain, _ = play(task(optimizer=f"simultaneous[lr={lr}]", folder="plain"))
    assert half["value"] == pytest.approx(plain["value"], rel=1e-5)


def test_samples_are_what_the_problem_says(task):
    played = task("tiny", "extragradient[fresh=true]")
    status, _ = play(played)
    assert status["samples"] == 4 * 2 * status["step"]  # two batches of four a step


def test_a_run_tells_how_far_it_is_between_evaluations(task, monkeypatch):
    monkeypatch.setattr("benchmarks.runner.play.PROGRESS", 0.0)
    _, events = play(task(optimizer="simultaneous"))
    told = [event.step for event in events if event.kind == "progress"]
    assert len(told) > 30 and told == sorted(told) and {event.steps for event in events[:-1]} == {40}
