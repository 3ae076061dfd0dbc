"""Solutions to look at: representations and figures."""

import pytest
import torch
from torch import nn

import minimax as mm

pytestmark = pytest.mark.usefixtures("float64")

SADDLE = mm.zero_sum(lambda x, y: x * y)
START = (torch.tensor(1.0), torch.tensor(1.0))


def test_reprs_are_short() -> None:
    x, y = nn.Linear(300, 300), nn.Linear(300, 1)
    game = mm.zero_sum(lambda x, y, b: y(x(b)).mean())
    solution = mm.solve(game, (x, y), mm.ExtraGradient(mm.sgd(0.01)), lambda k: torch.ones(2, 300), steps=2)
    assert repr(solution) == (
        "Solution(budget after 2 steps: the budget of 2 steps is spent; 2 players with 90,601 numbers; "
        "8 gradients, 4 samples)"
    )
    it = next(mm.iterate(*game.functional((x, y)), mm.ExtraGradient(mm.sgd(0.01)), lambda k: torch.ones(2, 300)))
    assert str(it).startswith("Iterate(step=1, 2 players with 90,601 numbers, Info(losses=(") and len(str(it)) < 300
    together = mm.ensemble(SADDLE, mm.ExtraGradient(mm.sgd(torch.tensor([0.1, 9.0]))), [START] * 2, steps=50)
    assert repr(together) == "Ensemble(2 members: 1 budget, 1 diverged; each of 2 players with 2 numbers)"
    for page in (solution._repr_html_(), together._repr_html_()):
        assert page.startswith("<table>") and "budget after" in page and len(page) < 2000
    stood = mm.solve(SADDLE, START, mm.ExtraGradient(mm.sgd(0.5)), limits=mm.Limits(tolerance=1e-3))._repr_html_()
    assert "&lt;=" in stood


def test_plot() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    form = mm.games.rock_paper_scissors()
    game, start = form.game, (torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6]))
    solution = mm.solve(game, start, mm.ExtraGradient(mm.sgd(0.3)), steps=30)
    left, right = solution.plot().axes
    assert [line.get_label() for line in left.get_lines()] == ["player 0", "player 1"]
    assert left.get_lines()[0].get_xydata().tolist() == [
        [4.0 * k, loss] for k, loss in enumerate(solution.records["loss_0"], 1)
    ]
    assert right.get_yscale() == "log" and right.get_ylabel() == "|z - P(z - F)|"
    assert right.get_lines()[0].get_ydata().tolist() == solution.records["norm"]
    still = mm.solve(SADDLE, (torch.tensor(0.0), torch.tensor(0.0)), mm.ExtraGradient(mm.sgd(0.3)), steps=3)
    still.plot()  # a residual of 0 has no logarithm
    with pytest.raises(ValueError, match="no step was recorded"):
        mm.solve(mm.zero_sum(lambda x, y, b: b.mean() * x * y), START, mm.ExtraGradient(mm.sgd(0.3)), []).plot()
    plt.close("all")


@pytest.mark.parametrize("library, use", [("pandas", lambda s: s.history), ("seaborn", lambda s: s.plot())])
def test_without_a_library(library: str, use, monkeypatch: pytest.MonkeyPatch) -> None:
    solution = mm.solve(SADDLE, START, mm.ExtraGradient(mm.sgd(0.3)), steps=3)
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(ImportError, match=f"pip install {library}"):
        use(solution)
