"""A sweep of two cells of which the n-th write fails: killed, or the disk full. Given again, it leaves the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def outcomes(*jobs):
    command = [sys.executable, str(Path(__file__).with_name("faults.py")), *jobs]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


@pytest.mark.timeout(900)
def test_every_so_many_writes_may_fail_and_what_sees_to_that_is_needed():
    """Without one part of the handling each, some points differ. `faults.py kill/1/1/nothing` tries all there are."""
    *sound, uncut, unplayed, leased = outcomes(
        *("kill/1/23/nothing", "once/5/31/nothing", "full/9/43/nothing"),
        *("kill/81/3/cut", "kill/60/9/resume", "kill/60/9/leases"),
    )
    assert all(one["wrong"] == {} and one["points"] > 200 and one["tried"] > 4 for one in sound), sound
    assert "curve.jsonl" in str(uncut["wrong"]) and "runs.csv" in str(unplayed["wrong"]) and leased["wrong"]
