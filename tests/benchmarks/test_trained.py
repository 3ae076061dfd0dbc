"""benchmarks.trained hands out what a run has ended with."""

from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.problem import View
from benchmarks.record import Folder, UsageError, read_json
from benchmarks.trained import trained


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("results")
    wanted = ["-p", "dcgan", "-p", "vae-linear", "-o", "alternating", "--seeds", "3", "--preset", "smoke"]
    assert run.main([*wanted, "--results", str(home), "-j", "1"]) == 0
    return next(home.glob("*/cells"))


@pytest.mark.parametrize("name", ["dcgan", "vae-linear"])
def test_what_is_loaded_scores_as_the_run_did(cells: Path, name: str) -> None:
    (cell,) = cells.glob(f"{name}-*")
    ended = read_json(Folder(cell).status)
    assert ended is not None
    for iterate in ("last", "ema") if name == "dcgan" else ("last",):
        found = trained(cell, iterate)
        scores = found.problem.evaluate(View(found.players, None, found.seed))
        told = ended["ema" if iterate == "ema" else "final"]
        assert found.seed == 3 and told
        assert {name: scores[name] for name in told} == pytest.approx(told, rel=1e-6)


def test_what_cannot_be_loaded_is_told(cells: Path, tmp_path: Path) -> None:
    (cell,) = cells.glob("vae-linear-*")
    with pytest.raises(UsageError, match=r"iterate = 'ema' was not kept of .*: there is last\."):
        trained(cell, "ema")
    with pytest.raises(UsageError, match="holds no run that has ended"):
        trained(tmp_path)
