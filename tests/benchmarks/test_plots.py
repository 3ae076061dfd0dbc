import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmarks import grids, pictures, plots

LABELS = {"sim": "diverged", "extra": "ok", "alt lr=0.1": "ok"}


def run(label, seed, status, value):
    lost = status == "diverged"
    about = {"run_id": f"{label}-{seed}", "title": "p/d", "label": label, "seed": seed, "status": status}
    about |= {"headline": "kid", "higher_is_better": False, "value": np.nan if lost else value}
    return about | {"last_minus_best": np.inf if lost else 0.1 * seed, "path_ratio": 1.0 + 50 * seed}


@pytest.fixture
def runs():
    each = [(label, seed, status if seed == 2 else "ok") for label, status in LABELS.items() for seed in range(3)]
    return pd.DataFrame([run(label, seed, status, 1.0 + seed) for label, seed, status in each])


@pytest.fixture
def rows(runs):
    out = []
    for one in runs.to_dict("records"):
        for step in range(0, 3 if one["status"] == "diverged" else 6):
            same = {name: one[name] for name in ("run_id", "title", "label", "seed", "status")}
            same |= {"step": step, "gradients": 2 * step, "train_time_s": 0.1 * step}
            for metric, value in (("kid", 2.0**-step), ("field_norm", np.nan), ("x", step), ("y", one["seed"])):
                out.append({**same, "metric": metric, "value": value})
    return pd.DataFrame(out)


@pytest.fixture
def summary():
    each = [("p", "sim", np.inf, 3), ("p", "extra", 0.1, 0), ("q", "sim", 1.0, 1), ("q", "extra", 2.0, 0)]
    return pd.DataFrame(each, columns=["title", "label", "median", "diverged"]).assign(
        seeds=3, failed=0, headline="kid", higher_is_better=False
    )


@pytest.fixture
def taken(tmp_path, runs):
    out = []
    for one in runs.to_dict("records"):
        for step in (0, 5, 10):
            for kind in ("points", "pixels"):
                folder = tmp_path / one["run_id"]
                noise = np.random.default_rng(step).normal(size=(50, 2))
                noise[0] = np.inf
                pictures.write(folder, kind, step, noise if kind == "points" else np.full((8, 8), 20 * step, np.uint8))
                same = {name: one[name] for name in ("run_id", "title", "label", "seed")}
                file = folder / f"{kind}-{step:08d}.{'npy' if kind == 'points' else 'png'}"
                out.append({**same, "name": kind, "step": step, "path": str(file)})
    return pd.DataFrame(out)


def texts(figure):
    """All that a figure says."""
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    panels = [
        text.get_text()
        for panel in figure.axes
        for text in (panel.title, *panel.texts, panel.xaxis.label, panel.yaxis.label)
    ]
    return " | ".join([*legends, *panels, figure.get_suptitle()])


def drawn(figure, tmp_path):
    assert isinstance(figure, Figure)
    paths = plots.save(figure, tmp_path / "figure")
    assert all(path.stat().st_size > 1000 for path in paths)
    return texts(figure)


@pytest.mark.parametrize("axis", plots.AXES)
def test_curves_say_how_many_seeds_there_were_and_how_many_diverged(rows, runs, tmp_path, axis):
    floors = pd.DataFrame(
        [("p/d", "kid", "real", 0.01), ("p/d", "kid", "none", -1.0)], columns=["title", "metric", "what", "value"]
    )
    said = drawn(plots.curves(rows, runs, floors, ["kid", "field_norm"], axis), tmp_path)
    assert "sim (n = 3, 1 diverged)" in said and "extra (n = 3)" in said
    assert "median" in said and "quartiles" in said and plots.AXES[axis] in said and "real" in said


def test_curves_mark_a_divergence_where_it_was(rows, runs):
    figure = plots.curves(rows, runs, pd.DataFrame(columns=["title", "metric", "what", "value"]), ["kid"], "steps")
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert [tuple(cross.get_xydata()[0]) for cross in crosses] == [(2.0, 0.25)]


def test_a_tradeoff_shows_survivors_and_counts_the_others(runs, tmp_path):
    said = drawn(plots.tradeoff(runs), tmp_path)
    assert "sim (n = 3, 1 diverged)" in said and "lower is better" in said
    assert "sim" in drawn(plots.tradeoff(runs.assign(status="diverged", value=np.nan)), tmp_path)


def test_the_overview_ranks_and_marks_divergences(summary, tmp_path):
    said = drawn(plots.overview(summary), tmp_path)
    assert "✗ 3/3" in said and "1  ✗ 1/3" in said and "3 seeds" in said
    assert plots.ranks(summary).tolist() == [2, 1, 1, 2]
    turned = summary.assign(higher_is_better=True, median=summary["median"].replace(np.inf, -np.inf))
    assert plots.ranks(turned).tolist() == [2, 1, 2, 1]


def test_phase_portraits_have_a_panel_an_optimizer(rows, runs, tmp_path):
    said = drawn(plots.phase(rows, runs), tmp_path)
    assert all(label in said for label in LABELS) and "diverged" in said


@pytest.mark.parametrize("kind", ["points", "pixels"])
def test_grids_name_the_seeds_they_show(taken, runs, tmp_path, kind):
    chosen = taken[taken.name == kind]
    said = drawn(grids.training_grid(chosen, runs), tmp_path)
    assert "median seed (1)" in said and "after 0 % of the steps" in said and "fixed noise" in said
    said = drawn(grids.seed_grid(chosen, runs), tmp_path)
    assert "best seed" in said and "worst seed" in said and "seed 2: inf" in said and "kid" in said
    said = drawn(grids.seed_grid(chosen[chosen.seed == 0], runs[runs.seed == 0]), tmp_path)
    assert "only seed" in said and "best" not in said


def test_files_are_the_same_at_every_writing(summary, tmp_path):
    once = [path.read_bytes() for path in plots.save(plots.overview(summary), tmp_path / "figure")]
    again = [path.read_bytes() for path in plots.save(plots.overview(summary), tmp_path / "figure")]
    assert once == again
    assert not re.search(rb"<dc:date>|matplotlib version", b"".join(once), re.IGNORECASE)


def test_seeds_are_ranked_from_best_to_worst(runs):
    mine = runs[runs.label == "sim"]
    assert grids.ranked(mine) == [0, 1, 2]
    assert grids.ranked(mine.assign(higher_is_better=True)) == [1, 0, 2]
