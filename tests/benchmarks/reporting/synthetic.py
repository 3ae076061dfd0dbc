"""Results folders that no optimizer has made: as many problems, optimizers, seeds and rows as a test asks for."""

import math

import numpy as np

from benchmarks import pictures, record
from benchmarks.problem import Metric

OPTIMIZERS = {"simultaneous": 0.0, "alternating": 0.0, "extragradient": 0.0, "optimistic": 0.8}
"""Their shift in standard deviations times three: optimistic play is better, no other."""
METRICS = (
    Metric("kid", unit="digits64", headline=True, target=0.3),
    Metric("recall", better="higher", range=(0, 1), coverage=True),
)


def suite(
    home,
    titles=("one", "two/d"),
    seeds=10,
    optimizers=OPTIMIZERS,
    evaluations=6,
    pictured=True,
    lost=(),
    more=0,
    luck=100,
):
    """Write the cells of a suite; returns its folder.

    Args:
        home: where to.
        titles: of the problems.
        seeds: how many.
        optimizers: their names, and how much better they are.
        evaluations: rows of each metric.
        pictured: whether samples were taken.
        lost: (title, optimizer, seed) of runs that diverge.
        more: metrics beside the two.
        luck: of the values.
    """
    record.check_schema(home, create=True)
    metrics = (*METRICS, *(Metric(f"more_{k}") for k in range(more)))
    chance = np.random.default_rng(luck)
    for k, title in enumerate(titles):
        for label, shift in optimizers.items():
            for seed in range(seeds):
                final = 0.3 * math.exp(0.3 * (chance.normal() - 3 * shift))
                status = "diverged" if (title, label, seed) in lost else "ok"
                _cell(home, f"p{k}", title, label, seed, final, status, metrics, evaluations, pictured)
        if pictured:
            truth = chance.integers(0, 256, (24, 24), dtype=np.uint8)
            pictures.write(home / "cells" / "floors" / f"p{k}-a", "samples", 0, truth)
    return home


def _cell(home, problem, title, label, seed, final, status, metrics, evaluations, pictured):
    name, _, params = label.partition(" ")
    run_id = f"{problem}-{len(name)}{name[:9]}-{len(params)}-s{seed}"
    folder = record.Folder(home / "cells" / run_id)
    identity = {"problem": problem, "version": 1, "data": None, "sizes": {"steps": 100}}
    identity |= {"optimizer": {"optimizer": name}, "seeds": [seed]}
    about = {"run_id": run_id, "planned": 1, "title": title, "params": params, "preset": "cpu", "identity": identity}
    about |= {"sizes_id": "a", "configuration_id": label, "metrics": [vars(metric) for metric in metrics]}
    record.write_json(folder.cell, about)
    same = {"run_id": run_id, "problem": problem, "data": None, "optimizer": name, "params": params, "seed": seed}
    curve, lost = record.Curve(folder.curve), status == "diverged"
    steps = np.linspace(0, 100, evaluations).astype(int)
    for step in steps:
        at = {**same, "step": int(step), "samples": 0, "grad_evals": 2 * int(step), "hvp_evals": 0}
        at |= {"units": 2.0 * step, "train_time_s": 0.01 * step, "split": "eval", "iterate": "last"}
        value = final * 10 ** (1 - step / 100)
        curve.append([{**at, "metric": metric.name, "value": value} for metric in metrics])
        if pictured and step in steps[[0, len(steps) // 2, -1]]:
            pixels = np.random.default_rng(seed).integers(0, 256, (24, 24), dtype=np.uint8)
            pictures.write(folder.samples, "samples", int(step), pixels)
    ended = {"status": status, "reason": "", "step": 100, "steps": 100, "flags": "", "units": 200.0}
    ended |= {"product_cost": 4.0, "train_time_s": 1.0, "value": math.nan if lost else final, "curve": curve.stamp}
    ended |= {"final": {} if lost else {metric.name: final for metric in metrics}, "commit": "abc", "torch": "2.14"}
    ended |= {"floors": [("kid", "real", 0.01, 0.0, 0.02)]}
    ended |= {"stability": {"last_minus_best": math.inf if lost else 0.0, "path_ratio": 2.0 + 0.1 * seed}}
    ended |= {"stability": ended["stability"] | {"update_cosine": 0.1, "gradient_ratio": 1.0}}
    record.write_json(folder.status, ended)
