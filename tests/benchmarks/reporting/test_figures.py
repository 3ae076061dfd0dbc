import re
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from benchmarks import pictures
from benchmarks.reporting import figures, grids
from benchmarks.reporting.looks import looks

METRICS = pd.DataFrame(
    {"name": ["kid", "field_norm"], "unit": ["digits64", ""], "low": [-np.inf, 0.0], "high": [np.inf, np.inf]}
)
LABELS = {"sim": "diverged", "extra": "ok", "alt lr=0.1": "ok"}
REFERENCES = ["title", "metric", "reference", "value", "low", "high"]
NONE = pd.DataFrame(columns=REFERENCES).astype({"value": float, "low": float, "high": float})


def run(label, seed, status, value):
    lost = status == "diverged"
    about = {"run_id": f"{label}-{seed}", "title": "p/d", "label": label, "seed": seed, "status": status}
    about |= {"headline": "kid", "better": "lower", "value": np.nan if lost else value}
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
            same |= {"step": step, "units": 2 * step, "train_time_s": 0.1 * step}
            for metric, value in (("kid", 2.0**-step), ("field_norm", np.nan), ("x", step), ("y", one["seed"])):
                out.append({**same, "metric": metric, "value": value})
    return pd.DataFrame(out)


@pytest.fixture
def summary():
    each = [("p", "sim", np.inf, 3), ("p", "extra", 0.1, 0), ("q", "sim", 1.0, 1), ("q", "extra", 2.0, 0)]
    return pd.DataFrame(each, columns=["title", "label", "median", "diverged"]).assign(
        seeds=3, flagged=0, failed=0, skipped=0, headline="kid", better="lower"
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


def drawn(figure):
    """All that a figure says, which can be drawn; that it can be written is seen of each kind once, below."""
    assert isinstance(figure, Figure)
    with figures.style():
        figure.draw_without_rendering()
    return texts(figure)


@pytest.mark.parametrize("axis", figures.AXES)
def test_curves_say_how_many_seeds_there_were_and_how_many_diverged(rows, runs, axis):
    found = [("p/d", "kid", "real", 0.01, 0.005, 0.02), ("p/d", "kid", "none", -1.0, np.nan, np.nan)]
    floors = pd.DataFrame(found, columns=REFERENCES)
    said = drawn(figures.curves(rows, runs, floors, METRICS, axis))
    assert "sim (n = 3, 1 diverged)" in said and "extra (n = 3)" in said
    assert "median" in said and "quartiles" in said and figures.AXES[axis] in said and "real" in said


def test_curves_mark_a_divergence_where_it_was(rows, runs):
    figure = figures.curves(rows, runs, NONE, METRICS[:1], "steps")
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert [tuple(cross.get_xydata()[0]) for cross in crosses] == [(2.0, 0.25)]


def test_a_curve_of_one_point_is_seen(rows, runs):
    (panel,) = figures.curves(rows[rows.step == 2], runs, NONE, METRICS[:1], "steps").axes
    assert {line.get_marker() for line in panel.lines if not str(line.get_label()).startswith("_")} == {
        look.marker for look in looks(LABELS).values()
    }


def test_a_tradeoff_shows_survivors_and_counts_the_others(runs):
    said = drawn(figures.tradeoff(runs))
    assert "sim (n = 3, 1 diverged)" in said and "lower is better" in said
    assert "sim" in drawn(figures.tradeoff(runs.assign(status="diverged", value=np.nan)))


def test_the_overview_ranks_and_marks_divergences(summary):
    said = drawn(figures.overview(summary))
    assert "✗ 3/3" in said and "1  ✗ 1/3" in said and "3 seeds" in said
    assert figures.ranks(summary).tolist() == [2, 1, 1, 2]
    turned = summary.assign(better="higher", median=summary["median"].replace(np.inf, -np.inf))
    assert figures.ranks(turned).tolist() == [2, 1, 2, 1]
    rounded = summary.assign(median=[5.6e-17, -1.1e-16, 1e-3, 1e-4])
    assert figures.ranks(rounded).tolist() == [1, 1, 2, 1]
    rounded = summary.assign(median=[1.99999964, 1.99999952, 2.001, 2.0])
    assert figures.ranks(rounded).tolist() == [1, 1, 2, 1]


def test_phase_portraits_have_a_panel_an_optimizer(rows, runs):
    said = drawn(figures.phase(rows, runs))
    assert all(label in said for label in LABELS) and "diverged" in said


@pytest.mark.parametrize("kind", ["points", "pixels"])
def test_grids_name_the_seeds_they_show(taken, runs, kind):
    chosen = taken[taken.name == kind]
    said = drawn(grids.training_grid(chosen, runs))
    assert "median seed (1)" in said and "after 0 % of the steps" in said
    said = drawn(grids.seed_grid(chosen, runs))
    assert "best seed" in said and "worst seed" in said and "seed 2: inf" in said and "kid" in said
    said = drawn(grids.seed_grid(chosen[chosen.seed == 0], runs[runs.seed == 0]))
    assert "only seed" in said and "best" not in said
    said = drawn(grids.seed_grid(chosen[chosen.seed < 2], runs[runs.seed < 2]))
    assert "best seed" in said and "worst seed" in said and "median" not in said


def every_figure(rows, runs, taken, summary):
    """All kinds of figures, by name."""
    yield "curves", figures.curves(rows, runs, NONE, METRICS, "gradients")
    yield "tradeoff", figures.tradeoff(runs)
    yield "overview", figures.overview(summary)
    yield "phase", figures.phase(rows, runs)
    yield "training", grids.training_grid(taken[taken.name == "points"], runs)
    yield "seeds", grids.seed_grid(taken[taken.name == "points"], runs)


def renamed(frame, names):
    return frame.assign(**{column: frame[column].replace(names) for column in ("label", "title") if column in frame})


def laid_out(figure):
    """The renderer of a figure that is laid out as in its file."""
    canvas = FigureCanvasAgg(figure)
    with figures.style():
        canvas.draw()
    return canvas.get_renderer()


def extent(artist, renderer):
    """Where something is, less a pixel that is rounding."""
    return artist.get_window_extent(renderer).padded(-1)


@pytest.mark.parametrize("long", [False, True])
def test_nothing_that_is_written_overlaps_or_leaves_the_figure(rows, runs, taken, summary, long):
    names = {label: f"{label} inner=extragradient[explore=0.5,fresh=True];k=5" for label in LABELS} if long else {}
    names |= {"p/d": "wgan-gp/folder-pictures-of-cats-0123456789ab"} if long else {}
    frames = [renamed(frame, names) for frame in (rows.assign(units=10_000 * rows.units), runs, taken, summary)]
    for kind, figure in every_figure(*frames):
        renderer = laid_out(figure)
        boxes = [extent(text, renderer) for text in (figure._suptitle, *figure.legends) if text is not None]
        assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes), kind
        titles = [extent(panel.title, renderer) for panel in figure.axes if panel.title.get_text()]
        assert not any(one.overlaps(two) for one, two in combinations([*boxes, *titles], 2)), kind
        for axis in (axis for panel in figure.axes if panel.get_visible() for axis in (panel.xaxis, panel.yaxis)):
            labels = [text for text in axis.get_ticklabels() if text.get_text() and text.get_visible()]
            shown = [extent(text, renderer) for text in labels if not text.get_rotation()]
            assert not any(one.overlaps(two) for one, two in pairwise(shown)), (kind, [t.get_text() for t in labels])


def test_an_optimizer_has_one_colour_in_all_figures(rows, runs, taken, summary):
    colour = {label: to_hex(look.colour) for label, look in looks(LABELS).items()}
    for kind, figure in every_figure(rows, runs, taken, summary):
        if kind in ("curves", "tradeoff"):
            (legend,) = figure.legends
            for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
                label = next(label for label in LABELS if text.get_text().startswith(label))
                drawn = handle.get_color() if kind == "curves" else handle.get_facecolor()[0]
                assert to_hex(drawn) == colour[label]
        if kind == "phase":
            for panel, label in zip(figure.axes, LABELS, strict=False):
                assert {to_hex(line.get_color()) for line in panel.lines} == {colour[label]}


def test_every_figure_is_written_and_a_dollar_in_a_name_is_a_dollar(rows, runs, taken, summary, tmp_path):
    names = {"p/d": "p/$x_{$", "extra": "extra $\\frac{$"}
    said = ""
    for kind, figure in every_figure(*(renamed(f, names) for f in (rows, runs, taken, summary))):
        paths = figures.save(figure, tmp_path / kind)
        assert len(paths) == 2 and all(path.stat().st_size > 1000 for path in paths)
        said += texts(figure)
    assert "p/$x_{$" in said and "extra $\\frac{$" in said
    assert "$x_{$" in (tmp_path / "seeds.svg").read_text()


def test_ticks_of_logarithmic_axes_are_plain_numbers(rows, runs):
    figure = figures.curves(rows.assign(value=rows.value**3), runs, NONE, METRICS[:1], "steps")
    laid_out(figure)
    texts = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert (
        figure.axes[0].get_yscale() == "log"
        and all(float(text.replace("\N{MINUS SIGN}", "-")) > 0 for text in texts)
        and len(set(texts)) > 2
    )


def test_legends_count_what_failed_and_medians_end_where_half_are_left(rows, runs):
    lost = runs.assign(status=runs.status.where(runs.run_id != "extra-1", "error"))
    assert "extra (n = 3, 1 failed or unfinished)" in texts(figures.curves(rows, lost, NONE, METRICS[:1], "steps"))
    late = rows[(rows.step < 3) | (rows.run_id == "extra-0")]
    (line,) = (
        line
        for line in figures.curves(late, runs, NONE, METRICS[:1], "steps").axes[0].lines
        if str(line.get_label()).startswith("extra")
    )
    assert max(line.get_xdata()) == 2


def test_the_overview_says_each_rows_metric_and_its_direction(summary):
    mixed = summary.assign(
        headline=["kid", "kid", "agreement", "agreement"], better=["lower", "lower", "higher", "higher"]
    )
    (panel, _) = figures.overview(mixed.assign(failed=[0, 1, 0, 0])).axes
    rows = [text.get_text() for text in panel.get_yticklabels()]
    assert rows == ["p\nkid, lower is better", "q\nagreement, higher is better"]
    assert "0.1  ! 1/3" in [text.get_text() for text in panel.texts]


def test_a_run_that_diverged_has_no_pictures_after_it(taken, runs):
    planned = runs.assign(steps=np.where(runs.status == "diverged", 40, 10))
    figure = grids.training_grid(taken[taken.name == "pixels"], planned.assign(value=1.0 - planned.seed))
    columns = [panel.get_title() for panel in figure.axes[:3]]
    assert columns == ["after 0 % of the steps", "after 50 % of the steps", "after 100 % of the steps"]
    shown = {panel.get_ylabel().splitlines()[0]: i for i, panel in enumerate(figure.axes) if panel.get_ylabel()}
    alone = planned[planned.label == "sim"].assign(status="diverged", steps=40)
    figure = grids.training_grid(taken[taken.name == "pixels"], pd.concat([planned[planned.label != "sim"], alone]))
    first = shown["sim"]
    assert [len(panel.images) for panel in figure.axes[first : first + 3]] == [1, 0, 0]


@pytest.mark.parametrize("kind", ["points", "pixels"])
def test_damaged_pictures_are_shown_as_damaged(taken, runs, kind):
    chosen = taken[taken.name == kind]
    gone, torn = chosen.path[chosen.run_id == "extra-0"], chosen.path[chosen.run_id == "extra-1"]
    for path in torn:
        Path(path).write_bytes(Path(path).read_bytes()[:40])
    chosen = chosen.assign(path=chosen.path.where(~chosen.path.isin(gone), None))
    for draw in (grids.training_grid, grids.seed_grid):
        assert "damaged" in drawn(draw(chosen, runs))
    assert "damaged" in drawn(grids.seed_grid(chosen[chosen.run_id == "extra-0"], runs))


def test_a_grid_of_no_pictures_is_empty(taken, runs):
    failed = runs[runs.label == "sim"].assign(seed=[7, 8, 9])
    assert "last pictures" in texts(grids.seed_grid(taken[taken.label == "sim"], failed))


def test_files_are_the_same_at_every_writing(summary, tmp_path):
    once = [path.read_bytes() for path in figures.save(figures.overview(summary), tmp_path / "figure")]
    again = [path.read_bytes() for path in figures.save(figures.overview(summary), tmp_path / "figure")]
    assert once == again
    assert not re.search(rb"<dc:date>|matplotlib version", b"".join(once), re.IGNORECASE)


def test_seeds_are_ranked_from_best_to_worst(runs):
    mine = runs[runs.label == "sim"]
    assert grids.ranked(mine) == [0, 1, 2]
    assert grids.ranked(mine.assign(better="higher")) == [1, 0, 2]


def test_many_optimizers_stand_one_below_the_other(summary):
    many = pd.concat([summary.assign(label=summary.label + f" lr={k}") for k in range(7)])
    for frame, below in ((summary, "p\nkid, lower is better"), (many, "extra lr=0")):
        names = [text.get_text() for text in figures.overview(frame).axes[0].get_yticklabels()]
        assert names[0] == below
