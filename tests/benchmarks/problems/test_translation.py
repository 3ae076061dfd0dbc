import itertools

import pytest
import torch

from benchmarks.problem import View
from benchmarks.problems.translation import cyclegan


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    cyclegan.CycleGAN.prepare(None, None, download=False)


def test_domains_and_pool() -> None:
    it = cyclegan.CycleGAN("smoke")
    images = it.images.test[:16]
    assert torch.allclose(it.domains.back(it.domains.forth(images)), images, atol=1e-6)
    assert it.domains.forth(it.images.train).abs().max() <= 1
    players, memory = it.players(0), it.memory(0)
    assert memory is not None
    for draw in itertools.count():
        batch = it.batch(0, draw, memory)
        if batch["use_past"].any():
            break
        stored = it.remember(memory, players, batch)
        assert stored is not None and not all(torch.equal(stored[k], memory[k]) for k in memory)
        memory = stored
    assert int(memory["count"]) >= 50  # the pool shows nothing before it is full
    assert all(memory[k].flatten(1).abs().sum(1).min() > 0 for k in "ab")
    kept = it.remember(memory, players, batch)
    assert kept is not None
    changed = (kept["a"] != memory["a"]).flatten(1).any(1).nonzero().flatten().tolist()
    assert set(changed) <= set(batch["slot"][batch["store"]].tolist())


def test_perfect_translators_reach_the_ceiling() -> None:
    it = cyclegan.CycleGAN("cpu")
    scores = it.evaluate(View(it.perfect(0), None, 0))
    floors = {(floor.metric, floor.what): floor.value for floor in it.floors()}
    assert scores["agreement"] == pytest.approx(floors["agreement", "real"]) and scores["agreement"] > 0.98
    assert scores["cycle_l1"] < 1e-5 and scores["truth_l1"] < 1e-5
    assert floors["agreement", "shuffled"] < 0.2 and floors["agreement", "untranslated"] < 0.3


def test_targets() -> None:
    assert {m.name: m.aim for m in cyclegan.CycleGAN("cpu").metrics if m.aim} == {
        "agreement": ">= 0.9",
        "cycle_l1": "<= 0.1",
    }
    assert not any(m.aim for m in cyclegan.CycleGANIdentity("cpu").metrics)
