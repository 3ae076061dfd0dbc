import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import record
from benchmarks.problem import Metric
from benchmarks.record import RecordError
from benchmarks.reporting import tables


@pytest.fixture
def home(tmp_path):
    record.check_schema(tmp_path, create=True)
    return tmp_path


def cell(
    home,
    optimizer,
    seed,
    value,
    status="ok",
    planned=1.0,
    sizes="a",
    configuration="c",
    params="",
    higher=False,
    flags="",
):
    """One cell as a worker leaves it, three evaluations long."""
    run_id = f"p-{optimizer}-{seed}-{configuration}-{sizes}"
    folder = record.Folder(home / "cells" / run_id)
    setup = {"optimizer": optimizer}
    identity = {"problem": "p", "version": 1, "data": "d", "sizes": {"steps": 10}, "optimizer": setup, "seeds": [seed]}
    metrics = [
        Metric("kid", better="higher" if higher else "lower", unit="digits64", headline=True),
        Metric("recall", better="higher", range=(0, 1), coverage=True),
    ]
    about = {
        "run_id": run_id,
        "planned": planned,
        "title": "p/d",
        "params": params,
        "preset": "cpu",
        "identity": identity,
    }
    ids = {"sizes_id": sizes, "configuration_id": optimizer + configuration}
    record.write_json(folder.cell, {**about, **ids, "metrics": [vars(metric) for metric in metrics]})
    rows = []
    for step in (0, 5, 10):
        same = {"run_id": run_id, "problem": "p", "data": "d", "optimizer": optimizer, "params": params, "seed": seed}
        same |= {"step": step, "samples": 0, "grad_evals": 2 * step, "hvp_evals": step}
        same |= {"units": 5.0 * step, "train_time_s": 0.1 * step, "iterate": "last"}
        for split, metric in (("eval", "kid"), ("train", "player_norm_0"), ("train", "player_norm_1")):
            rows.append({**same, "split": split, "metric": metric, "value": value + 10 - step})
    curve = record.Curve(folder.curve)
    curve.append(rows)
    if status is not None:
        lost = status == "diverged"
        ended = {"status": status, "reason": "why", "step": 10, "flags": flags, "units": 60, "train_time_s": 1.0}
        ended |= {"value": math.nan if lost else value, "final": {} if lost else {"kid": value, "recall": 0.5}}
        ended |= {"curve": curve.stamp, "floors": [("kid", "real", 0.01, 0.0, 0.02)]}
        ended |= {"stability": {"last_minus_best": math.inf if lost else 0.1, "path_ratio": 2.0}}
        record.write_json(folder.status, ended)
    return folder


def test_tables_hold_every_run_and_row(home):
    for seed in range(3):
        cell(home, "sim", seed, 1.0 + seed)
    cell(home, "extra", 0, 0.5, params="lr=1")
    found = tables.load(home)
    assert list(found.runs.label) == ["extra lr=1", "sim", "sim", "sim"]
    assert len(found.curves) == 4 * 9 and set(record.COLUMNS) <= set(found.curves)
    (floor,) = found.floors.to_dict("records")
    assert floor == {"title": "p/d", "metric": "kid", "reference": "real", "value": 0.01, "low": 0.0, "high": 0.02}
    paths = tables.write(home, found)
    assert [path.name for path in paths] == ["summary.csv", "runs.csv", "floors.csv", "runs.parquet", "curves.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(paths[4]), found.curves, check_dtype=False, check_categorical=False)
    summary = pd.read_csv(paths[0]).set_index("label")
    assert list(summary.seeds) == [1, 3] and summary.references.iloc[0] == "real 0.01"
    assert summary.loc["sim", ["median", "low", "high", "interval"]].tolist() == [2.0, 1.0, 3.0, "min to max"]
    assert summary.loc["sim", "final/recall"] == 0.5


def test_a_divergence_counts_as_the_worst_and_a_failure_as_nothing(home):
    for seed, status in enumerate(["ok", "diverged", "diverged"]):
        cell(home, "sim", seed, 1.0, status)
    for seed, status in enumerate(["target", "error", None]):
        cell(home, "extra", seed, 2.0, status)
    summary = tables.summary(tables.load(home).runs).set_index("label")
    assert summary.loc["sim", ["diverged", "failed", "median", "low"]].tolist() == [2, 0, math.inf, 1.0]
    assert summary.loc["extra", ["diverged", "failed", "median", "on_target"]].tolist() == [0, 2, 2.0, 1]


def test_a_flagged_run_counts_as_the_worst_in_the_headline_and_as_itself_elsewhere(home):
    for seed, flags in enumerate(["", "collapsed", "collapsed, memorised"]):
        cell(home, "sim", seed, 1.0, flags=flags)
    cell(home, "extra", 0, 2.0)
    summary = tables.summary(tables.load(home).runs).set_index("label")
    assert summary.loc["sim", ["flagged", "median", "low", "final/kid"]].tolist() == [2, math.inf, 1.0, 1.0]
    assert summary.loc["sim", "flags"] == "2 collapsed; 1 memorised"
    assert summary.loc["extra", ["flagged", "flags", "median"]].tolist() == [0, "", 2.0]


def test_where_higher_is_better_the_worst_is_minus_infinity(home):
    for seed, status in enumerate(["ok", "diverged", "ok"]):
        cell(home, "sim", seed, 1.0, status, higher=True)
    (row,) = tables.summary(tables.load(home).runs).to_dict("records")
    assert (row["median"], row["low"], row["high"]) == (1.0, -math.inf, 1.0)


def test_a_clock_that_went_back_brings_nothing_superseded_into_the_table(home):
    """Each plan has the next number, so the second is later, whenever it was."""
    for number, sizes in enumerate(("small", "large")):
        assert record.planned(home) == number
        cell(home, "sim", 0, 10.0 * number, planned=record.planned(home) + 1, sizes=sizes)
    assert list(tables.load(home).runs.value) == [10.0]


def test_what_was_planned_last_replaces_what_came_before(home):
    cell(home, "sim", 0, 1.0, planned=1.0, sizes="small")
    cell(home, "sim", 0, 2.0, planned=2.0, sizes="large", configuration="old")
    cell(home, "sim", 0, 3.0, planned=3.0, sizes="large", configuration="new")
    cell(home, "sim", 1, 4.0, planned=3.0, sizes="large", configuration="new")
    cell(home, "extra", 0, 5.0, planned=2.0, sizes="large", configuration="new")
    assert list(tables.load(home).runs.value) == [5.0, 3.0, 4.0]


def test_torn_files_lose_nothing_else(home):
    cell(home, "sim", 0, 1.0)
    torn, lost, gone = cell(home, "sim", 1, 2.0, None), cell(home, "sim", 2, 3.0), cell(home, "sim", 3, 4.0)
    with torn.curve.open("a") as file:
        file.write('{"run_id": "p-')
    lost.status.write_text('{"status"')
    gone.cell.write_text("")
    found = tables.load(home)
    assert list(found.runs.status) == ["ok", "interrupted"] and len(found.curves) == 18
    assert sorted(found.notes) == sorted(
        [
            f"{lost.status} is damaged: the cell is left out, and the command that played it plays it again.",
            f"{gone.cell} is damaged: the cell is left out, and the command that played it plays it again.",
            f"{torn.curve} ends in the middle of a row: what lies there is left out.",
        ]
    )


def test_a_folder_without_cells_says_so(home):
    with pytest.raises(RecordError, match="run the suite first"):
        tables.load(home)


ROWS = 100_000
PEAK = """
import sys
from pathlib import Path
from benchmarks.reporting import suite
suite.write(Path(sys.argv[1]))
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="getrusage counts what the parent has, too")
def test_a_report_of_many_rows_takes_little_memory(home):
    for seed in range(20):
        folder = cell(home, "sim", seed, 1.0, None)
        (first, *_), curve = record.read_rows(folder.curve)[0], record.Curve(folder.curve)
        names = ["kid", *(f"metric_{k}" for k in range(1, 10))]
        curve.append([{**first, "step": k // 10, "metric": names[k % 10]} for k in range(ROWS // 20)])
    root = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", PEAK, home], cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert len(pd.read_parquet(home / "curves.parquet")) == ROWS
    # In KiB. 220 MiB are the libraries'; a row takes 200 bytes. With a dict a row it took 2,300: 440 MiB.
    assert int(run.stdout) < 320 * 2**10


def test_tables_and_figures_need_no_torch():
    code = (
        "import sys, benchmarks.report, benchmarks.compare, benchmarks.reporting.suite, benchmarks.reporting.changes; "
        "sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
