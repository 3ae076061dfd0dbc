"""Two nodes of Ray on this machine, of which one is lost in mid-sweep: no row is."""

import time
from pathlib import Path

import pytest

from benchmarks import record, run
from benchmarks.reporting import suite
from benchmarks.runner.engines import rays

pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]
TINY = str(Path(__file__).parents[1] / "tiny.py")


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setenv("RAY_worker_niceness", "0")  # of 15, other tests leave them nothing
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield cluster
    finally:
        cluster.shutdown()


def rows(home):
    found = {}
    for path in sorted(home.glob("custom/cells/*/curve.jsonl")):
        lines, whole = record.read_rows(path)
        assert whole and record.read_json(path.with_name("status.json"))["status"] == "ok"
        found[path.parent.name] = [{name: row[name] for name in row if name != "train_time_s"} for row in lines]
    return found


def test_two_nodes_of_which_one_is_lost_leave_what_one_machine_leaves(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(suite, "write", lambda *_: [])
    lost, submit = cluster.add_node(num_cpus=2), rays._submit

    def then_lose(ray, task, mark):
        reference = submit(ray, task, mark)
        if task.cell.seed == 103:  # the last one
            deadline = time.monotonic() + 400
            while len(list(tmp_path.glob("shared/custom/cells/*/samples"))) < 3:  # two of the three are on that node
                assert time.monotonic() < deadline
                time.sleep(0.05)
            cluster.remove_node(lost, allow_graceful=False)
        return reference

    words = ["--import", TINY, "-p", "tiny-slow", "-o", "simultaneous", "--seeds", "100-103", "--device", "cpu"]
    words += ["--preset", "cpu", "--steps", "400"]
    assert run.main([*words, "--results", str(tmp_path / "alone"), "-j", "2"]) == 0
    monkeypatch.setattr(rays, "_submit", then_lose)
    how = ["--engine", "ray", "--address", cluster.address]
    assert run.main([*words, *how, "--results", str(tmp_path / "shared")]) == 0
    assert rows(tmp_path / "shared") == rows(tmp_path / "alone")
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob(".lease"))
    # A node that does not see the folder sends back what it has written.
    monkeypatch.setattr(rays, "_submit", lambda ray, task, mark: submit(ray, task, f"{mark}-of-another-machine"))
    words[words.index("100-103")] = "100"
    assert run.main([*words, *how, "--results", str(tmp_path / "apart")]) == 0
    (played,) = rows(tmp_path / "apart").items()
    assert played in rows(tmp_path / "alone").items()
    (told,) = (tmp_path / "apart").glob("custom/cells/*/status.json")
    assert record.holds(told.with_name("players.safetensors"), record.read_json(told)["kept"])
