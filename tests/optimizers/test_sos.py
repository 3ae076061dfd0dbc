import pytest
import torch

import minimax as mm
from minimax import games

pytestmark = pytest.mark.usefixtures("float64")


def step(game: mm.Game, z: tuple[torch.Tensor, ...], **options: float):
    optimizer = mm.SOS(mm.sgd(1.0), **options)
    players, _, info = optimizer.step(game, z, optimizer.init(game, z))
    return [float(a - b) for a, b in zip(z, players, strict=True)], float(info.extra["p"])


def test_is_lola_where_shaping_agrees() -> None:
    """Tandem at x + y = s: ξ = 2(s-1)(1, 1), H_oξ = 2ξ, χ_i = 4s, ξ_0 = (1 - 2α) ξ; at s = -1 αχ and descent agree."""
    direction, p = step(games.tandem().game, (torch.tensor(-1.0), torch.tensor(0.0)), alpha=0.1)
    assert p == 1
    assert direction == pytest.approx([0.8 * -4 + 0.4] * 2)


def test_p_1_keeps_the_angle() -> None:
    """At s = 1.2 αχ = .48 (1, 1) beats ξ_0 = .32 (1, 1): p = a|ξ_0|²/⟨αχ, ξ_0⟩ = a · .32/.48 leaves (1 - a) ξ_0."""
    direction, p = step(games.tandem().game, (torch.tensor(0.7), torch.tensor(0.5)), alpha=0.1, a=0.25)
    assert p == pytest.approx(0.25 * 0.32 / 0.48)
    assert direction == pytest.approx([0.75 * 0.32] * 2)


def test_p_2_fades_near_fixed_points() -> None:
    """|ξ| = 2|s - 1|√2 < b: p is |ξ|²."""
    _, p = step(games.tandem().game, (torch.tensor(0.5), torch.tensor(0.51)), alpha=0.1, b=0.1)
    assert p == pytest.approx(8 * 0.01**2)


@pytest.mark.parametrize("name, value", [("a", 0.0), ("a", 1.0), ("b", 1.5)])
def test_refuses_shares_outside_the_interval(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be a finite number > 0 and < 1"):
        mm.SOS(mm.sgd(0.1), **{name: value})
