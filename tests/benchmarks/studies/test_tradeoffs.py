"""benchmarks.studies.tradeoffs draws the medians of what runs.csv says."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies import tradeoffs

ROWS = [("beta-vae-1", rate, 9.0 - rate) for rate in (1.0, 2.0, 6.0)] + [("beta-vae", 0.5, 8.0), ("vae", 3.0, np.nan)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runs = pd.DataFrame(ROWS, columns=["problem", "final/kl", "final/reconstruction"])
    runs.assign(title=runs.problem, label="alternating").to_csv(tmp_path / "runs.csv", index=False)
    return tmp_path


def test_points_are_medians_and_lines_reach_the_seeds(folder: Path) -> None:
    found = tradeoffs.chosen(pd.read_csv(folder / "runs.csv"), "kl", "reconstruction", ["beta-*"])
    panel = tradeoffs.against(found, "kl", "reconstruction").axes[0]
    points = {point.get_label(): point.get_offsets().data[0].tolist() for point in panel.collections}
    assert points == {"beta-vae-1": [2.0, 7.0], "beta-vae": [0.5, 8.0]}
    assert panel.lines[0].get_xdata().tolist() == [1.0, 6.0] and panel.lines[1].get_ydata().tolist() == [3.0, 8.0]


def test_the_command_writes_a_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tradeoffs.main([str(folder), "kl", "reconstruction", "-o", "rate"]) == 0
    assert {path.name for path in (folder / "figures").iterdir()} == {"rate.png", "rate.svg"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["kl", "fid"], "no run has the metric fid: take one of kl, reconstruction."),
        (["kl", "reconstruction", "-p", "vae"], "no run of vae ended with kl and reconstruction"),
    ],
)
def test_what_is_not_there_is_told(
    folder: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tradeoffs.main([str(folder), *arguments, "-o", "rate"]) == 2
    assert told in capsys.readouterr().err
    assert not (folder / "figures").exists()
