from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

import minimax as mm
from benchmarks import data as sets
from benchmarks.networks import MLP, Applied, seeded, squeeze
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe, View
from benchmarks.problems.adversarial._valued import standardised
from benchmarks.quality.labels import share
from benchmarks.quality.reference import logistic, trained

CODE, SEX, PRICE = 2, 1, 2.0


class Rows(NamedTuple):
    """Features (n, 9) without sex, whether the disease is above the median, and sex, (n,) each."""

    x: Tensor
    y: Tensor
    s: Tensor


class Filter(nn.Module):
    """A linear code of the features, and the logit of the target, read off it."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.code = nn.Linear(inputs, CODE)
        self.head = nn.Linear(CODE, 1)

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(self.head(self.code(x)))


class FilterDiabetes(Problem):
    """The disease is to be told from a code of nine features, and sex is not: T - 2D against D, two cross-entropies.

    The code is judged by adversaries that are trained anew on it, a linear one and a network, on rows that they have
    not seen (every other row): `adversary` is the better one's accuracy. All of them, and the playing one, see codes of
    mean 0 and variance 1, as what is only made small is not hidden. `gap`: the difference of the shares that are told
    to be ill.

    Source: Hamm, Minimax Filter: Learning to Preserve Privacy from Inference Attacks, 2017; Edwards & Storkey,
    Censoring Representations with an Adversary, 2016.
    """

    name = "filter-diabetes"
    version = 3
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, evaluations=1, options={"width": 8, "rounds": 5}),
        **dict.fromkeys(("cpu", "gpu"), Preset(600, evaluations=5, options={"width": 32, "rounds": 300})),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(5e-3, betas=(0.5, 0.999)), steps=(1, 3), order=(1, 0))
    metrics = (
        Metric("adversary", range=(0, 1), headline=True, target=0.58),
        Metric("target_accuracy", "higher", range=(0, 1), target=0.7, gate=0.6, flag="uninformed"),
        Metric("gap", range=(0, 1)),
    )

    @classmethod
    def prepare(cls, data: str | None, root: str | None, download: bool) -> None:
        sets.prepare_table("diabetes")

    @cached_property
    def rows(self) -> tuple[Rows, Rows]:
        """The rows to learn from, and the others."""
        table = sets.load_table("diabetes", self.device)
        x = standardised(table.x)
        nine = torch.cat((x[:, :SEX], x[:, SEX + 1 :]), 1)
        ill, sex = (table.y > table.y.median()).long(), (x[:, SEX] > 0).long()
        return Rows(nine[::2], ill[::2], sex[::2]), Rows(nine[1::2], ill[1::2], sex[1::2])

    def players(self, seed: int) -> tuple[Any, ...]:
        inputs, width = self.rows[0].x.shape[1], self.preset.options["width"]

        def build() -> tuple[nn.Module, ...]:
            return Filter(inputs), nn.Sequential(MLP((CODE, width, 1)), Applied(squeeze))

        return tuple(module.to(self.device) for module in seeded(seed, build))

    def game(self) -> mm.Game:
        x, y, s = self.rows[0]

        def told(filter: Filter, adversary: nn.Module) -> Tensor:
            code = filter.code(x)
            return binary_cross_entropy_with_logits(adversary(scaled(code, code)), s.to(x))

        def task(filter: Filter, adversary: nn.Module) -> Tensor:
            return binary_cross_entropy_with_logits(filter(x), y.to(x)) - PRICE * told(filter, adversary)

        return mm.Game(task, told)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        return self.judge(view.players[0])

    def judge(self, filter: Any) -> dict[str, float]:
        """The metrics of a filter."""
        known, other = self.rows
        ill = filter(other.x) > 0
        shares = [ill[other.s == k].double().mean() for k in (0, 1)]
        return {
            "adversary": self.adversary(filter.code(known.x), filter.code(other.x)),
            "target_accuracy": share(ill == (other.y == 1)),
            "gap": float((shares[1] - shares[0]).abs()),
        }

    def adversary(self, known: Tensor, other: Tensor) -> float:
        """How often sex is told from codes, by the better of two that are trained anew."""
        if not bool(torch.cat((known, other)).isfinite().all()):
            return float("nan")
        sex, rounds = self.rows[0].s, self.preset.options["rounds"]
        known, other = scaled(known, known), scaled(other, known)
        net = trained(seeded(0, lambda: MLP((known.shape[1], 32, 2))), known, sex, rounds)
        told = [logistic(known, sex, other, 2), net(other).argmax(1)]
        return max(share(guess == self.rows[1].s) for guess in told)

    def floors(self) -> Iterable[Floor]:
        """The features as they are, a filter that thinks of the target alone, and who always says the same sex."""
        x, y, _ = self.rows[0]
        with torch.no_grad():
            yield Floor("adversary", "features", self.adversary(x, self.rows[1].x))
        (filter, _), rate = self.players(0), self.preset.options["rounds"]
        adam = torch.optim.Adam(filter.parameters(), 3e-3)
        for _ in range(rate):
            adam.zero_grad()
            with torch.enable_grad():
                binary_cross_entropy_with_logits(filter(x), y.to(x)).backward()
            adam.step()
        with torch.no_grad():
            for name, value in self.judge(filter).items():
                yield Floor(name, "task-alone", value)
        often = self.rows[1].s.double().mean()
        yield Floor("adversary", "majority", float(torch.maximum(often, 1 - often)))


def scaled(code: Tensor, known: Tensor) -> Tensor:
    """Codes in units of those that are known."""
    return (code - known.mean(0)) / (known.std(0) + 1e-6)
