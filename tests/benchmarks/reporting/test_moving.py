"""Training as a moving picture."""

from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import pictures
from benchmarks.pictures import Picture
from benchmarks.reporting import moving

SHADES = {"alternating": 255, "extragradient": 160}


def frames(data):
    with Image.open(BytesIO(data)) as image:
        assert image.format == "GIF"
        out = []
        for k in range(image.n_frames):
            image.seek(k)
            out.append((np.asarray(image.convert("L")), image.info["duration"]))
        return out


def suite(folder, moments, make, lost=None):
    """Runs, and their pictures of `make(label, share)`; one optimizer ends early."""
    about = {"title": "p/d", "headline": "kid", "better": "lower", "status": "ok", "steps": 100}
    runs = pd.DataFrame(
        [{"run_id": f"{a}-{s}", "label": a, "seed": s, "value": s, **about} for a in SHADES for s in range(3)]
    )
    rows = []
    for run in runs.to_dict("records"):
        for share in np.linspace(0, 1, moments):
            if run["label"] == lost and share > 0.5:
                continue
            step = round(100 * share)
            pictures.write(folder / run["run_id"], "samples", step, make(run["label"], run["seed"], share))
            (path,) = (folder / run["run_id"]).glob(f"samples-{step:08d}.*")
            same = {name: run[name] for name in ("run_id", "title", "label", "seed")}
            rows.append({**same, "name": "samples", "step": step, "path": str(path)})
    return pd.DataFrame(rows), runs


def shade(label, seed, share):
    """A picture that says of which optimizer it is, of the median seed, and when it was taken."""
    return np.full((18, 18), SHADES[label] * share if seed == 1 else 90, np.uint8)


def panel(frame, k):
    """The middle of the k-th picture of a frame, which lies at the bottom."""
    return frame[-moving.GAP - 70, moving.GAP + k * (144 + moving.GAP) + 70]


def test_frames_show_the_median_seeds_in_step_and_the_real_data_always(tmp_path):
    taken, runs = suite(tmp_path, 5, shade)
    pictures.write(tmp_path, "samples", 0, np.full((18, 18), 200, np.uint8))
    found = frames(moving.animation(taken, runs, {"samples": str(tmp_path / "samples-00000000.png")}))
    assert len(found) == 5 and [duration for _, duration in found] == [600] * 4 + [3000]
    for (frame, _), share in zip(found, np.linspace(0, 1, 5), strict=True):
        shown = [int(panel(frame, k)) for k in range(3)]
        assert shown == pytest.approx([255 * share, 160 * share, 200], abs=8)


def test_rows_are_named_at_the_left(tmp_path):
    plain, labelled = (
        frames(moving.animation(*suite(tmp_path / f"{bool(rows)}", 4, lambda *args, r=rows: Picture(shade(*args), r))))
        for rows in ((), ("given", "found"))
    )
    margin = labelled[0][0].shape[1] - plain[0][0].shape[1]
    assert margin > 20
    beside = labelled[0][0][-moving.GAP - 144 : -moving.GAP, moving.GAP : moving.GAP + margin - 5]
    assert (beside[:72] < 128).any() and (beside[72:] < 128).any()


def test_a_run_that_ended_early_stays_as_it_was(tmp_path):
    found = frames(moving.animation(*suite(tmp_path, 5, shade, lost="extragradient")))
    assert [int(panel(frame, 1)) for frame, _ in found] == pytest.approx([0, 40, 80, 80, 80], abs=8)
    assert [int(panel(frame, 0)) for frame, _ in found] == pytest.approx([0, 64, 128, 191, 255], abs=8)


def test_few_pictures_make_no_film(tmp_path):
    assert moving.animation(*suite(tmp_path, 3, shade)) is None


def test_points_are_densities_that_go_up(tmp_path):
    found = frames(moving.animation(*suite(tmp_path, 4, lambda *_: np.tile([[1.0, 1.0]], (50, 1)))))
    frame = found[0][0]
    dark = np.argwhere(frame[-moving.GAP - 144 : -moving.GAP, moving.GAP : moving.GAP + 144] < 100)
    # (1, 1) in a window of 1.3: up, and to the right
    assert len(dark) and dark[:, 0].mean() < 30 and dark[:, 1].mean() > 110


@pytest.mark.parametrize("side", [72, 264])
def test_films_stay_small_and_end_where_the_runs_do(tmp_path, side):
    chance = np.random.default_rng(0)

    def noise(label, seed, share):
        high = 256 if seed == 1 else 1  # the others are not shown
        return chance.integers(0, high, (side, side, 3), dtype=np.uint8)

    taken, runs = suite(tmp_path, 9, noise)
    data = moving.animation(taken, runs)
    assert data is None or len(data) <= moving.LIMIT
    assert side > 72 or data is not None


def test_films_are_the_same_at_every_writing(tmp_path):
    taken, runs = suite(tmp_path, 5, shade)
    assert moving.animation(taken, runs) == moving.animation(taken, runs)


def test_a_damaged_picture_stops_nothing(tmp_path):
    taken, runs = suite(tmp_path, 5, shade)
    assert len(frames(moving.animation(taken.assign(path=taken.path.where(taken.step != 50, None)), runs))) == 5
