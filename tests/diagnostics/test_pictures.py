"""The report, and the pictures."""

from itertools import islice

import matplotlib.pyplot as plt
import pytest
import torch

import minimax as mm
from minimax import diagnostics as dg

pytestmark = pytest.mark.usefixtures("float64")

ZERO, ONE = ((torch.tensor(value, dtype=torch.float64),) * 2 for value in (0.0, 1.0))


def test_the_report_is_a_page() -> None:
    page = str(dg.report(mm.games.scsc().game, ZERO))
    assert "A game of 2 players with 1 + 1 = 2 parameters" in page
    for part in (
        "local Nash",
        "|A|/|S| = 10, 84°",
        "+10i",
        "exact",
        "alternating    up to 0.182",
        "proximal       any",
    ):
        assert part in page
    assert max(map(len, page.splitlines())) <= 120


def test_the_report_of_a_network() -> None:
    n = 300
    game = mm.Game(lambda x, y, b: (x @ y) * b.mean() + x @ x, lambda x, y, b: y @ y - (x @ y).sin())
    found = dg.report(game, {"x": torch.ones(n) / n, "y": torch.ones(n) / n}, torch.ones(4))
    assert found.sizes == (n, n) and not found.spectrum.exact and "leading Ritz values from" in str(found)


def test_where_something_leaves_the_report_says_what_the_rest_bears() -> None:
    game = mm.Game(lambda x, y: 2 * x**2, lambda x, y: -(y**2) / 2)  # λ = 4 and -1
    found = dg.report(game, ONE)
    assert found.stable_step["simultaneous"] == found.stable_step["extragradient"] == 0
    assert (found.bearable_step["simultaneous"], found.bearable_step["extragradient"]) == pytest.approx((1 / 2, 1 / 4))
    assert "simultaneous   none, but for the λ that leave up to 0.5" in str(found)


@pytest.mark.parametrize("size", [1, 600])
def test_where_play_has_blown_up_the_report_says_so(size: int) -> None:
    game = mm.Game(lambda x, y: ((x * y).exp() - x).sum(), lambda x, y: (y * y).sum())
    with pytest.raises(mm.GameError, match=r"are not finite here: play has blown up at these players\. Ask at earlier"):
        dg.report(game, (torch.full((size,), 1.0), torch.full((size,), 708.0)))


def test_draw_spectrum() -> None:
    games = {f"γ = {γ}": mm.games.dirac_gan(gamma=γ) for γ in (0.0, 0.3)}
    ax = dg.draw_spectrum({name: dg.spectrum(g.game, g.equilibrium) for name, g in games.items()}, step=0.5)
    drawn = {tuple(point) for scatter in ax.collections for point in scatter.get_offsets().round(6).tolist()}
    assert {(0.0, 0.5), (0.0, -0.5), (0.15, 0.476970), (0.15, -0.476970)} <= drawn
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["γ = 0.0", "γ = 0.3", "stable at h = 0.5"]
    plt.close("all")


def test_draw_has_a_portrait_where_there_are_two_numbers() -> None:
    for form, titles in (
        (mm.games.dirac_gan(), ["Eigenvalues of DF", "The flow -F"]),
        (mm.games.bilinear(dim=3), ["Eigenvalues of DF"]),
    ):
        assert [ax.get_title() for ax in dg.draw(form.game, form.equilibrium).axes] == titles
    named = mm.Game(lambda x, y: (x * y).sum(), lambda x, y: (y**2 - x * y).sum())
    assert len(dg.draw(named, {"x": torch.ones(2), "y": torch.ones(2)}).axes) == 1
    plt.close("all")


def test_draw_phase() -> None:
    optimizers = {"in": mm.ExtraGradient(mm.sgd(0.3)), "out": mm.SimultaneousGDA(mm.sgd(0.9))}
    ax = dg.draw_phase(mm.games.dirac_gan().game, optimizers, ONE, steps=30, points=6, equilibrium=ZERO)
    paths = {line.get_label(): line.get_xydata() for line in ax.get_lines()}
    assert len(paths["in"]) == 31 and len(paths["out"]) <= 31
    alone = mm.solve(mm.games.dirac_gan().game, ONE, optimizers["in"], steps=30).players
    assert paths["in"][-1].tolist() == pytest.approx([float(x) for x in alone])
    plt.close("all")
    with pytest.raises(mm.GameError, match="two players with one number each"):
        dg.draw_phase(mm.games.scsc().game, start=(torch.ones(2), torch.ones(2)))


def test_optimizers_of_larger_games_are_drawn_on_a_plane() -> None:
    """Until now they were left out without a word."""
    form = mm.games.bilinear(dim=3, condition=4.0)
    optimizers = {"in": mm.ExtraGradient(mm.sgd(0.4)), "out": mm.SimultaneousGDA(mm.sgd(0.9))}
    _, paths = dg.draw(form.game, form.equilibrium, optimizers=optimizers, start=form.start).axes
    drawn = {line.get_label(): torch.from_numpy(line.get_xydata()) for line in paths.get_lines()}
    played = islice(mm.iterate(form.game, form.start, optimizers["in"]), 100)
    alone = [form.start, *(it.players for it in played)]
    points = torch.stack([torch.cat(z) for z in alone])
    assert len(drawn["in"]) == 101 and len(drawn["out"]) < 101
    # A projection: no distance grows, and the start is where all paths are.
    assert bool((torch.linalg.vector_norm(drawn["in"], dim=1) <= points.norm(dim=1) + 1e-9).all())
    torch.testing.assert_close(drawn["in"][0], drawn["out"][0])
    shares = [float(label.split("(")[1].split("%")[0]) for label in (paths.get_xlabel(), paths.get_ylabel())]
    assert 50 < sum(shares) <= 100 and shares[0] >= shares[1] and "plane" in paths.get_title()
    plt.close("all")


def test_a_path_in_a_plane_is_drawn_as_it_is() -> None:
    """Distances are kept where all paths lie in the plane, with modules and named players too."""
    game = mm.Game(lambda a, b: (a * b).sum(), lambda a, b: -(a * b).sum())
    start = {"a": torch.tensor([1.0, 0.0]), "b": torch.tensor([1.0, 0.0])}
    zero = {"a": torch.zeros(2), "b": torch.zeros(2)}
    ax = dg.draw(game, zero, optimizers=[mm.ExtraGradient(mm.sgd(0.3))], start=start).axes[1]
    path = torch.from_numpy(ax.get_lines()[0].get_xydata())
    played = [it.players for it in islice(mm.iterate(game, start, mm.ExtraGradient(mm.sgd(0.3))), 100)]
    lengths = [2**0.5] + [float(torch.cat([z["a"], z["b"]]).norm()) for z in played]
    torch.testing.assert_close(path.norm(dim=1), torch.tensor(lengths), rtol=1e-6, atol=1e-9)
    assert ax.get_xlabel().startswith("direction 1 (")
    nets = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    before = nets[0].weight.clone()
    payoff = mm.zero_sum(lambda x, y, b: x(b).mean() * y(b).mean())
    dg.draw_paths(payoff, [mm.SimultaneousGDA(mm.sgd(0.1))], nets, torch.ones(4, 2), steps=3)
    assert torch.equal(nets[0].weight, before)
    plt.close("all")


def test_optimizers_are_never_dropped() -> None:
    form = mm.games.scsc()
    twice = [mm.ExtraGradient(mm.sgd(0.05)), mm.ExtraGradient(mm.sgd(0.02)), mm.SimultaneousGDA(mm.sgd(0.01))]
    labels = [
        text.get_text() for text in dg.draw(form.game, form.equilibrium, optimizers=twice).axes[1].get_legend().texts
    ]
    assert labels == ["1: extragradient", "2: extragradient", "simultaneous"]
    named = {"x": torch.tensor(0.0), "y": torch.tensor(0.0)}
    assert len(dg.draw(form.game, named, optimizers=twice).axes[1].get_legend().texts) == 3
    with pytest.raises(ValueError, match="paths of optimizers need optimizers, and a start: pass start=players"):
        dg.draw(mm.games.bilinear(dim=3).game, mm.games.bilinear(dim=3).equilibrium, optimizers=twice)
    for wrong, sentence in ((twice[0], "must be a list of optimizers"), ([mm.sgd(0.1)], "must be a game optimizer")):
        with pytest.raises(TypeError, match=sentence):
            dg.draw(form.game, form.equilibrium, optimizers=wrong)
    for name, value in {"steps": 0, "points": 1}.items():
        with pytest.raises(ValueError, match=f"{name} must be an integer"):
            dg.draw_phase(form.game, **{name: value})
    with pytest.raises(ValueError, match=r"limits\[1\] must be a finite number > 2"):
        dg.draw_phase(form.game, limits=(2.0, 1.0))
    plt.close("all")
