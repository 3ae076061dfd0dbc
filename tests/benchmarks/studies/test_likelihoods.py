"""benchmarks.studies.likelihoods: estimates of one number agree, and stand in a table."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks import run
from benchmarks.problems.vaes.cvae_quadrant import OneQuadrant
from benchmarks.studies import likelihoods
from benchmarks.trained import Trained


def test_weights_and_annealing_agree_under_a_prior_that_is_told_the_image() -> None:
    OneQuadrant.prepare(None, None, False)
    problem = OneQuadrant("smoke")
    problem.preset = replace(problem.preset, samples=8, options={**problem.preset.options, "draws": 4000})
    players = problem.players(0)
    with torch.no_grad():
        for parameter in players[0].parameters():
            parameter.mul_(2)  # codes matter, and the prior is no standard normal
    found = likelihoods.estimates(Trained(problem, players, 0), chains=200, temperatures=40)
    best, chained = found["weights"], found["annealed"]
    assert ((best.log - chained.log).abs() < 5 * (best.variance + chained.variance).sqrt()).all()
    assert best.error < 0.02 and chained.error < 0.02


def test_the_table_has_a_row_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihoods, "TEMPERATURES", 2)
    wanted = ["-p", "vae", "-p", "vae-linear", "-o", "alternating", "--seeds", "0-1", "--preset", "smoke", "-j", "1"]
    assert run.main(["--suite", "vaes", *wanted, "--results", str(tmp_path)]) == 0
    assert likelihoods.main([str(tmp_path / "vaes")]) == 0
    table = pd.read_csv(tmp_path / "vaes" / "likelihoods.csv")
    assert table.title.tolist() == ["vae/digits"] * 2 and table.seed.tolist() == [0, 1]
    assert table.filter(regex="^(weights|prior|annealed)$").notna().all(axis=None)


def test_what_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert likelihoods.main([str(tmp_path)]) == 2
    assert "holds no runs.csv" in capsys.readouterr().err
    pd.DataFrame({"problem": ["vae-linear"], "status": ["ok"]}).to_csv(tmp_path / "runs.csv")
    assert likelihoods.main([str(tmp_path), "-p", "vae"]) == 2
    assert "has no trained autoencoder among vae" in capsys.readouterr().err
    assert not (tmp_path / "likelihoods.csv").exists()
