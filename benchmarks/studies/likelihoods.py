"""Three estimates of log p(x) for trained models of a results folder: two by weighted draws, one by annealing.

    python -m benchmarks.studies.likelihoods results/vaes -p vae -p 'iwae*'

Draws of z are weighted from the posterior q(z|x), as the scores of runs are, and from the prior; annealing goes from
the prior to the true posterior without a look at q. All three lie above -log p(x) in mean, so the lowest says most, and
where weights and annealing agree, q has hidden nothing. `likelihoods.csv` has a row a run: nats an image, each estimate
with its standard error by chance and its effective number of draws. A run of digits takes half a minute.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from benchmarks import record
from benchmarks.command import Parser, say, settle, status
from benchmarks.problems._images import EVALUATION
from benchmarks.problems.vaes._variational import Seen, Variational, first
from benchmarks.quality.likelihood import Estimate, annealed, estimate
from benchmarks.record import UsageError
from benchmarks.trained import Trained, trained

IMAGES, CHAINS, TEMPERATURES = 64, 16, 500
ROW = ["title", "label", "seed"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    settle()
    parser = Parser("benchmarks.studies.likelihoods", description=str(__doc__).split("\n")[0])
    parser.add_argument("folder", type=Path, help="results/<suite>, with its cells")
    parser.add_argument("-p", "--problem", action="append", metavar="GLOB", help="which problems (all autoencoders)")
    parser.add_argument("--data-root", metavar="DIR", help="folder with real data sets")
    options = argparse.Namespace(**parser.read(arguments))
    return status(lambda: write(options.folder, options.problem or ["*"], options.data_root))


def write(folder: Path, problems: Sequence[str], root: str | None = None) -> int:
    """Weigh the runs and write the table."""
    rows = []
    for row in weighed(folder, problems, root):
        rows.append(row)
        say(", ".join(f"{name} {value:.4g}" if isinstance(value, float) else str(value) for name, value in row.items()))
    path = folder / "likelihoods.csv"
    record.write_atomic(path, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g").encode())
    say(path)
    return 0


def weighed(folder: Path, problems: Sequence[str], root: str | None) -> Iterator[dict[Any, Any]]:
    """A row a run.

    Raises:
        UsageError: there are none.
    """
    path = folder / "runs.csv"
    if not path.is_file():
        raise UsageError(f"{folder} holds no runs.csv: name a folder of results, or play the suite first.")
    runs = pd.read_csv(path, low_memory=False)
    wanted = runs.problem.map(lambda name: any(fnmatchcase(name, pattern) for pattern in problems))
    count = 0
    chosen = runs[wanted & runs.status.isin(record.PLAYED - {"diverged"})]
    for run in chosen.to_dict("records"):
        model = trained(folder / "cells" / str(run["run_id"]), root=root)
        if isinstance(model.problem, Variational):
            count += 1
            yield {name: run[name] for name in ROW} | row(model)
    if not count:
        raise UsageError(f"{folder} has no trained autoencoder among {', '.join(problems)}: see its runs.csv.")


def row(model: Trained) -> dict[str, float]:
    """The estimates for one model."""
    found = estimates(model, CHAINS, TEMPERATURES)
    told: dict[str, float] = {"images": len(found["weights"].log)}
    for name, it in found.items():
        told |= {name: it.nll, f"{name}_error": it.error, f"{name}_ess": float(it.ess.mean())}
    return told


@torch.no_grad()
def estimates(model: Trained, chains: int, temperatures: int) -> dict[str, Estimate]:
    """Of the first test images, by as many draws as the problem's scores take, and by annealed chains."""
    it = model.problem
    assert isinstance(it, Variational)
    parts, stream = it.parts(model.players), it.generator(model.seed, EVALUATION)
    seen: Seen = first(it.tested, IMAGES)
    likelihood, ratio, prior = it.weighed(parts, seen, it.option["draws"], stream)
    p = it.prior(parts, seen.given)

    def log_likelihood(noise: Tensor) -> Tensor:
        return it.likeliness(parts, seen.real, seen.given, p.at(noise))

    start = it.noise(stream, chains, len(seen.real))
    chained = annealed(log_likelihood, start, stream, temperatures)
    return {"weights": estimate(likelihood + ratio), "prior": estimate(prior), "annealed": estimate(chained)}


if __name__ == "__main__":
    sys.exit(main())
