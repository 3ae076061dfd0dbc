import pytest

import minimax as mm
from benchmarks.problems.mixtures import grid25, ring8


def test_penalty_is_half_gamma() -> None:
    with_penalty, plain = ring8.Ring8("smoke"), ring8.Ring8Plain("smoke")
    players, batch = with_penalty.players(0), with_penalty.batch(0, 0)
    gap = with_penalty.game().losses(players, batch)[1] - plain.game().losses(players, batch)[1]
    assert gap.item() == pytest.approx(0.05 * mm.penalties.r1(players[1], batch["real"]).item(), rel=1e-3)


def test_metrics_know_the_mixture() -> None:
    declared = {metric.name: metric for metric in grid25.Grid25().metrics}
    assert declared["fair_modes"].range == (0, 25) and declared["fair_modes"].target == 24
    assert [name for name, metric in declared.items() if metric.coverage] == ["modes", "fair_modes"]
    assert declared["reverse_kl"].headline and declared["reverse_kl"].unit == "nats"
    assert {m.name: m.aim for m in ring8.Ring8().metrics if m.aim} == {
        "fair_modes": ">= 8",
        "share": ">= 0.85",
        "reverse_kl": "<= 0.005",
    }
    assert not any(metric.aim for metric in ring8.Ring8Plain().metrics)
