"""Cells on a cluster of Ray: two nodes here, of which one is lost in mid-sweep; and what needs no cluster."""

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import record, run
from benchmarks.record import Folder, UsageError
from benchmarks.reporting import suite
from benchmarks.runner import options
from benchmarks.runner.engines import rays

TINY = str(Path(__file__).parents[1] / "tiny.py")


@pytest.fixture
def cluster(monkeypatch):
    pytest.importorskip("ray", reason="needs the extra ray")
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


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
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


def test_what_cannot_be_played_is_refused_in_a_sentence(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        options.parse(["-p", "alone", "--address", "auto"])
    assert "--address auto is of a Ray cluster: add --engine ray" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'minimax-games\[ray\]'"), rays._connected(None):
        pass
    nodes = [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 1.0}}]
    tasks = [SimpleNamespace(cell=SimpleNamespace(threads=threads), device="cpu") for threads in (1, 3)]
    rays._check(nodes, tasks[:1])
    with pytest.raises(UsageError, match="--threads 3: no node of the cluster has more than 2 CPUs"):
        rays._check(nodes, tasks)
    tasks[0].device = "cuda:1"
    with pytest.raises(UsageError, match="no node of the cluster has a GPU"):
        rays._check(nodes, tasks[:1])


def test_what_a_node_sends_back_takes_the_place_of_what_was_there(tmp_path):
    there, here = Folder(tmp_path / "there" / "cell"), Folder(tmp_path / "here" / "cell")
    for path, text in ((there.curve, b"rows"), (there.status, b"ok"), (there.path.parent / "floors" / "f", b"floor")):
        record.write_atomic(path, text)
    for path, text in ((here.curve, b"old"), (here.checkpoint, b"old"), (here.path.parent / "floors" / "f", b"kept")):
        record.write_atomic(path, text)
    rays._take(here, rays._content(there.path.parent))
    assert rays._content(here.path.parent) == {
        "cell/curve.jsonl": b"rows",
        "cell/status.json": b"ok",
        "floors/f": b"kept",
    }
