from collections.abc import Callable
from typing import Any

import pytest
import torch

import minimax as mm
from minimax import games

pytestmark = pytest.mark.usefixtures("float64")


def wells(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Two local maxima over y, near -1 and 1; max over y is about |x| + x²/2 less 0, minimised at x = 0."""
    return x**2 / 2 + x * y - (y**2 - 1) ** 2


def three(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Bumps at y = -3, 0, 3 of height (x+1)²/4, -x², (x-1)²/4 (+ 1): the best answer jumps at x = 0."""
    heights = ((x + 1) ** 2 / 4, -(x**2), (x - 1) ** 2 / 4)
    return sum((1 + h) * torch.exp(-((y - c) ** 2)) for h, c in zip(heights, (-3.0, 0.0, 3.0), strict=True))


START = (torch.tensor(0.5, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64))


def test_finds_the_minimax_point_where_one_answer_is_not_enough() -> None:
    """Following one maximum y ≈ 1 leads to x + y = 0, 4y(y² - 1) = x: x = -√3/2. The beam keeps both."""
    game, h = mm.zero_sum(wells), 0.02
    single = mm.solve(game, START, mm.AlternatingGDA(mm.sgd(h)), steps=500, every=500).players[0]
    assert float(single) == pytest.approx(-(3**0.5) / 2, abs=1e-4)
    beam = mm.solve(game, START, mm.KBeam(mm.sgd(h), spread=2.0), steps=500, every=500).players[0]
    assert abs(float(beam)) <= 1.5 * h


def test_three_maxima() -> None:
    game, h = mm.zero_sum(three), 0.02
    z = (torch.tensor(0.7), torch.tensor(2.5))
    single = mm.solve(game, z, mm.AlternatingGDA((mm.sgd(h), mm.sgd(0.1))), steps=500, every=500).players[0]
    assert float(single) == pytest.approx(1, abs=0.05)  # the minimum of the bump at 3
    beam = mm.KBeam((mm.sgd(h), mm.sgd(0.1)), candidates=7, spread=6.0)
    assert abs(float(mm.solve(game, z, beam, steps=500, every=500).players[0])) <= 2 * h


def test_one_candidate_is_alternating_play() -> None:
    closed = games.scsc(0.1, 1.0)
    beam = mm.KBeam(mm.adam(0.05), candidates=1, steps=3)
    plain = mm.AlternatingGDA(mm.adam(0.05), steps=(1, 3), order=(1, 0))
    ends = [mm.solve(closed.game, closed.start, optimizer, steps=200).players for optimizer in (beam, plain)]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", [mm.sgd(0.05, momentum=0.5), mm.adam(0.05), mm.from_torch(torch.optim.Adam, lr=0.05)])
def test_candidates_move_like_players_of_their_own(rule: mm.Rule) -> None:
    """With x at rest, each candidate is its own ascent; the one returned is the best."""
    game = mm.zero_sum(wells)
    beam = mm.KBeam((mm.sgd(0.0), rule), candidates=4, spread=1.5)
    players, state = START, beam.init(game, START)
    alone = [(START[0], v) for v in state["beam"][0]]
    plain = mm.AlternatingGDA((mm.sgd(0.0), rule))
    states = [plain.init(game, z) for z in alone]
    assert torch.equal(state["beam"][0][0], START[1]) and len(set(state["beam"][0].tolist())) == 4
    for _ in range(50):
        players, state, info = beam.step(game, players, state)
        moved = [plain.step(game, z, s)[:2] for z, s in zip(alone, states, strict=True)]
        alone, states = [z for z, _ in moved], [s for _, s in moved]
        torch.testing.assert_close(state["beam"][0], torch.stack([v for _, v in alone]), rtol=0, atol=1e-12)
        best = max(alone, key=lambda z: float(wells(*z)))
        assert float(players[1]) == pytest.approx(float(best[1]), abs=1e-12)
        assert info.cost.gradients == 4 + 1


def test_plays_on_from_the_player_it_is_given() -> None:
    """A wrapper may have moved the best candidate: the others stay."""
    game, beam = mm.zero_sum(wells), mm.KBeam(mm.sgd(0.0), candidates=3)
    state = beam.init(game, START)
    before = state["beam"][0].clone()
    _, state, _ = beam.step(game, (START[0], torch.tensor(0.9)), state)
    assert state["beam"][0].tolist() == [0.9, *before[1:].tolist()]


def test_projects_every_candidate() -> None:
    game = mm.zero_sum(wells, constraints=(None, mm.projections.box(-0.3, 0.2)))
    beam = mm.KBeam(mm.sgd(0.1), spread=3.0)
    players, state = START, beam.init(game, START)
    for _ in range(10):
        players, state, _ = beam.step(game, players, state)
        assert bool(((state["beam"][0] >= -0.3) & (state["beam"][0] <= 0.2)).all())


def test_candidates_spread_in_the_box() -> None:
    """Different in every entry, inside the box, the same each time."""
    game = mm.zero_sum(lambda x, y: x * y.sum())
    z = (torch.tensor(0.0), torch.full((3, 4), 7.0))
    beam = mm.KBeam(mm.sgd(0.1), candidates=6, spread=0.5)
    leaf = beam.init(game, z)["beam"][0]
    assert leaf.shape == (6, 3, 4) and torch.equal(leaf, beam.init(game, z)["beam"][0])
    assert bool(((leaf - 7).abs() <= 0.5).all()) and torch.equal(leaf[0], z[1])
    assert len(leaf[1:].unique()) == 60


def crease(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """max over y of x_0 y + x_1 - (y² - 1)² is |x_0| + x_1 near x_0 = 0, with the subgradients (±1, 1)."""
    return x[0] * y + x[1] - (y**2 - 1) ** 2


def test_epsilon_stands_still_on_a_kink() -> None:
    """At x = 0 the answers ±1 tie, the gradients 1 and -1 cancel: 0 is a subgradient, and the shortest."""
    game, z, h = mm.zero_sum(wells), (torch.tensor(0.0), torch.tensor(1.0)), 0.1
    ends = {}
    for ε in (0.0, 1e-6):
        optimizer = mm.KBeam(mm.sgd(h), candidates=2, epsilon=ε)
        players, state = z, optimizer.init(game, z) | {"beam": [torch.tensor([1.0, -1.0])]}
        ends[ε] = []
        for _ in range(4):
            players, state, info = optimizer.step(game, players, state)
            ends[ε].append(float(players[0]))
            assert info.cost.gradients == 2 + (2 if ε else 1)
    assert ends[1e-6] == [0.0] * 4
    assert min(map(abs, ends[0.0][::2])) > h / 2 and ends[0.0][0] * ends[0.0][1] <= 0  # there and back


def test_epsilon_goes_straight_down_a_crease() -> None:
    """The mean of (1, 1) and (-1, 1) is the steepest descent (0, 1); one of them alone leaves the crease."""
    game, z, h = mm.zero_sum(crease), (torch.zeros(2), torch.tensor(1.0)), 0.1
    ends = []
    for ε in (0.0, 1e-6):
        optimizer = mm.KBeam(mm.sgd(h), candidates=2, epsilon=ε)
        state = optimizer.init(game, z) | {"beam": [torch.tensor([1.0, -1.0])]}
        players, _, info = optimizer.step(game, z, state)
        ends.append((players[0].tolist(), info.gradients[0][0].tolist()))
    assert ends == [([-h, -h], [1.0, 1.0]), ([0.0, -h], [0.0, 1.0])]


@pytest.mark.parametrize("form", [float, torch.tensor, lambda ε: lambda step: ε])
@pytest.mark.parametrize("ε, near", [(0.0, [2]), (0.3, [2]), (0.6, [0, 2]), (1.1, [0, 2, 3]), (9.0, [0, 1, 2, 3])])
def test_epsilon_picks_by_the_last_players_loss(ε: float, near: list[int], form: Callable[[float], Any]) -> None:
    """Three players, candidates at rest that lose .5, 4, 0 and 1: the others go along the means of their own."""
    game = mm.Game(
        lambda x, u, w: (x * w).sin().sum() + x * u,
        lambda x, u, w: (u - w.prod()) ** 2 + x * u**2,
        lambda x, u, w: w[0] ** 2 / 2 + w[1] ** 2 + 7 * x + u,
    )
    beam = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, -1.0]])
    z = (torch.tensor(0.3), torch.tensor(-0.7), beam[1])
    optimizer = mm.KBeam((mm.sgd(0.1), mm.sgd(0.1), mm.sgd(0.0)), candidates=4, epsilon=form(ε))
    state = optimizer.init(game, z) | {"beam": [beam], "best": torch.tensor(1)}
    players, _, info = optimizer.step(game, z, state)
    for i in range(2):
        mean = torch.stack([game.gradient((*z[:2], beam[k]), i) for k in near]).mean()
        torch.testing.assert_close(info.gradients[i][0], mean)
        torch.testing.assert_close(players[i], z[i] - 0.1 * mean)
        torch.testing.assert_close(info.losses[i], game.losses((*z[:2], beam[2]))[i])
    assert torch.equal(players[2], beam[2])
    assert info.cost.gradients == 4 + 2 * (1 if ε == 0 and form is not torch.tensor else 4)


def test_a_small_epsilon_is_none() -> None:
    """Until two answers come within it, the play is the same bit for bit."""
    z = (torch.tensor(0.7), torch.tensor(2.5))
    ends = []
    for ε in (0.0, 1e-9, torch.tensor(0.0), 0.1):
        optimizer = mm.KBeam((mm.sgd(0.02), mm.adam(0.1)), candidates=7, spread=6.0, epsilon=ε)
        ends.append(mm.solve(mm.zero_sum(three), z, optimizer, steps=30).players)
    assert ends[0] == ends[1] == ends[2] != ends[3]


def test_a_candidate_that_is_lost_does_not_pull() -> None:
    """Its infinite gradient has no weight, and 0 · inf is none."""
    game = mm.zero_sum(lambda x, y: x * y - (1 + x**2) * y.exp())
    z = (torch.tensor(0.5), torch.tensor(-1.0))
    optimizer = mm.KBeam(mm.sgd(0.1), candidates=2, epsilon=0.1)
    state = optimizer.init(game, z) | {"beam": [torch.tensor([-1.0, 800.0])]}
    assert bool(optimizer.step(game, z, state)[2].gradients[0][0].isfinite())


@pytest.mark.parametrize("check", mm.testing.CHECKS)
def test_epsilon_keeps_the_contract(check: str) -> None:
    """Pure, under vmap, compiled in one graph, scheduled, metered: with candidates near and far."""
    mm.testing.CHECKS[check](mm.KBeam(mm.adam(0.01), candidates=3, spread=0.5, epsilon=0.05))


def test_errors() -> None:
    with pytest.raises(ValueError, match="candidates must be an integer >= 1"):
        mm.KBeam(mm.sgd(0.1), candidates=0)
    with pytest.raises(ValueError, match="spread must be a finite number >= 0"):
        mm.KBeam(mm.sgd(0.1), spread=-1.0)
    with pytest.raises(ValueError, match=r"epsilon must be a finite number >= 0, got -0\.1"):
        mm.KBeam(mm.sgd(0.1), epsilon=-0.1)
