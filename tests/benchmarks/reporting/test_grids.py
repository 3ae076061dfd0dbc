"""What grids of pictures say beside the pictures: rows, columns, real data, modes."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from benchmarks import pictures
from benchmarks.pictures import Picture
from benchmarks.reporting import figures, grids

LABELS = ("alternating", "extragradient lr=0.1")
RING = 2 * np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], axis=1)
ROWS, COLUMNS = ("a", "a to b", "true b", "back to a"), ("-2", "", "0", "", "2")


def picture(name, share):
    """What a cell takes: points that come nearer to a ring, plain pixels, pixels with labels."""
    noise = np.random.default_rng(0).normal(size=(40, 2))
    kinds = {
        "points": np.repeat(RING, 5, axis=0) + (1 - share) * noise,
        "samples": np.full((18, 18), round(100 * share), np.uint8),
        "translations": Picture(np.full((36, 45), round(100 * share), np.uint8), ROWS, COLUMNS, "there and back"),
    }
    return kinds[name]


@pytest.fixture
def runs():
    about = {"title": "p/d", "status": "ok", "headline": "kid", "better": "lower", "steps": 10}
    each = [(label, seed) for label in LABELS for seed in range(3)]
    return pd.DataFrame([{"run_id": f"{a}-{s}", "label": a, "seed": s, "value": s, **about} for a, s in each])


@pytest.fixture
def taken(tmp_path, runs):
    out = []
    for one in runs.to_dict("records"):
        for name in ("points", "samples", "translations"):
            for step in range(0, 11, 2):
                pictures.write(tmp_path / one["run_id"], name, step, picture(name, step / 10))
            same = {column: one[column] for column in ("run_id", "title", "label", "seed")} | {"name": name}
            paths = sorted((tmp_path / one["run_id"]).glob(f"{name}-*"))
            out += [{**same, "step": pictures.told(path)[1], "path": str(path)} for path in paths]
    return pd.DataFrame(out)


@pytest.fixture
def truths(tmp_path):
    found = {"points": np.repeat(RING, 5, axis=0), "samples": np.full((18, 18), 255, np.uint8), "modes": RING}
    for name, truth in found.items():
        pictures.write(tmp_path / "floors", name, 0, truth)
    return {name: str(next((tmp_path / "floors").glob(f"{name}-*"))) for name in found}


def both(taken, runs, truths, name):
    chosen = taken[taken.name == name]
    return grids.training_grid(chosen, runs, truths), grids.seed_grid(chosen, runs, truths)


def laid_out(figure):
    canvas = FigureCanvasAgg(figure)
    with figures.style():
        canvas.draw()
    return canvas.get_renderer()


@pytest.mark.parametrize("name", ["samples", "points"])
def test_real_data_are_the_last_column_of_every_row(taken, runs, truths, name):
    for figure, rows in zip(both(taken, runs, truths, name), (2, 3), strict=True):
        columns = len(figure.axes) // rows
        assert figure.axes[columns - 1].get_title() == "real data"
        last = [panel.images[0].get_array() for panel in figure.axes[columns - 1 :: columns]]
        assert len(last) == rows and all(np.array_equal(each, last[0]) for each in last)
        assert name == "points" or np.asarray(last[0]).min() == 255


def test_pictures_without_a_truth_have_no_column_for_it(taken, runs, truths):
    for name, given in (("translations", truths), ("samples", {}), ("samples", None)):
        for figure in both(taken, runs, given, name):
            assert "real data" not in {panel.get_title() for panel in figure.axes}


def test_seeds_that_were_not_begun_stand_for_nothing(taken, runs):
    """The medians of three seeds are seeds 1; with seed 0 alone begun, it is the only one."""
    chosen = taken[(taken.name == "samples") & (taken.seed == 0)]
    figure = grids.training_grid(chosen, runs.assign(value=runs.value.where(runs.seed == 0)))
    assert [panel.get_ylabel().split("\n")[-1] for panel in figure.axes[::5]] == ["only seed (0)"] * 2


def test_a_damaged_truth_is_shown_as_damaged(taken, runs, truths):
    figure = grids.training_grid(taken[taken.name == "samples"], runs, {**truths, "samples": None})
    assert [text.get_text() for text in figure.axes[5].texts] == ["damaged"]


def test_rows_and_columns_are_named_at_the_sides(taken, runs, truths):
    for figure, rows in zip(both(taken, runs, truths, "translations"), (2, 3), strict=True):
        columns = len(figure.axes) // rows
        for k, panel in enumerate(figure.axes):
            names, (left, bottom) = [], (k % columns == 0, k // columns == rows - 1)
            names = [text.get_text() for text in panel.get_yticklabels()]
            assert names == (list(ROWS) if left else [])
            assert [text.get_text() for text in panel.get_xticklabels()] == (["-2", "0", "2"] if bottom else [])
        assert figure.axes[0].get_yticks().tolist() == [4.0, 13.0, 22.0, 31.0]  # the middles of 36 pixels in four rows
        assert figure.axes[-columns].get_xticks().tolist() == [4.0, 22.0, 40.0]
        assert "there and back" in figure.get_suptitle()


def test_densities_have_one_window_a_scale_and_the_true_modes(taken, runs, truths):
    for figure, rows in zip(both(taken, runs, truths, "points"), (2, 3), strict=True):
        laid_out(figure)
        columns = len(figure.axes) // rows
        # The data lie within 2 of the origin, nearly all of the first cloud does not.
        windows = np.array([(*panel.get_xlim(), *panel.get_ylim()) for panel in figure.axes])
        assert windows == pytest.approx(np.tile([-2.6, 2.6, -2.6, 2.6], (len(windows), 1)))
        for k, panel in enumerate(figure.axes):
            (rings,) = panel.lines
            assert np.allclose(rings.get_xydata(), RING, atol=1e-6)
            shown = [bool(axis.get_ticklocs().size) for axis in (panel.yaxis, panel.xaxis)]
            assert shown == [k % columns == 0, k // columns == rows - 1]
        assert "true modes" in figure.get_suptitle() and "x₂" in figure.get_suptitle()


def test_a_density_counts_points_where_they_are():
    window = grids.Window(1.0, np.empty((0, 2)))
    points = np.array([[0.99, -0.99], [0.99, -0.99], [0.99, -0.99], [0.99, -0.99], [np.inf, 0], [3, 3]])
    counts = window.density(points)
    assert counts[-1, 0] == 2.0 and counts.sum() == 2.0  # the root of four


@pytest.mark.parametrize("name", ["points", "samples", "translations"])
def test_what_is_written_beside_pictures_overlaps_nothing(taken, runs, truths, name):
    for figure in both(taken, runs, truths, name):
        renderer = laid_out(figure)
        for panel in figure.axes:
            inside = panel.get_window_extent(renderer).padded(2)
            sides = [
                [text for text, tick in zip(labels, ticks, strict=True) if text.get_text() and inside.contains(*tick)]
                for labels, ticks in (
                    (panel.get_xticklabels(), [panel.transData.transform((x, 0)) for x in panel.get_xticks()]),
                    (panel.get_yticklabels(), [panel.transData.transform((0, y)) for y in panel.get_yticks()]),
                )
            ]
            for shown in sides:
                boxes = [text.get_window_extent(renderer) for text in shown]
                assert not any(one.overlaps(two) for one, two in pairwise(boxes))
                assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
            beside = panel.yaxis.label.get_window_extent(renderer)
            assert beside.x0 >= figure.bbox.x0
            assert not any(beside.overlaps(text.get_window_extent(renderer)) for text in sides[1])
