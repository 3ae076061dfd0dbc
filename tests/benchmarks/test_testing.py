"""The contract is a test too: every clause must catch a problem that breaks it."""

import math
import time
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import minimax as mm
from benchmarks.pictures import Picture
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe, View
from benchmarks.testing import CHECKS, check_problem


class Player(nn.Module):
    """Counts in a buffer how often it was called, which is part of where a run stands."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self) -> torch.Tensor:
        self.calls = self.calls + 1
        return self.weight * (1 + 1e-3 * self.calls)


class Good(Problem):
    """min over x, max over y of x·y + |x|²/2 - |y|²/2 with noise, and with the mean of the past noise."""

    name = "good"
    presets: ClassVar = dict.fromkeys(("smoke", "cpu", "gpu"), Preset(4, batch=8))
    recipe = Recipe(mm.sgd(0.05), steps=(1, 2), order=(1, 0))
    metrics = (Metric("distance", range=(0, math.inf), headline=True, target=1e-3), Metric("x", better=None))

    def players(self, seed: int) -> tuple[Any, ...]:
        x, y = torch.randn(2, 3, generator=self.generator(seed, -1))
        return Player(x), y

    def game(self) -> mm.Game:
        return mm.zero_sum(
            lambda x, y, batch: (
                (x() * y).sum() + (x().square().sum() - y.square().sum()) / 2 + self.pull(x, y, batch["noise"])
            )
        )

    def pull(self, x: Player, y: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return (noise * x.weight).sum(1).mean() * 0.1

    def memory(self, seed: int) -> Any:
        return {"mean": torch.zeros(3)}

    def batch(self, seed: int, draw: int, memory: Any = None) -> Any:
        noise = torch.randn(self.preset.batch, 3, generator=self.generator(seed, draw))
        return {"noise": noise + 0.1 * memory["mean"]}

    def remember(self, memory: Any, players: tuple[Any, ...], batch: Any) -> Any:
        return {"mean": (memory["mean"] + batch["noise"].mean(0)) / 2}

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        x, y = view.players[0].weight, view.players[1]
        return {"distance": float(torch.cat((x, y)).norm()), "x": float(x[0])}

    def floors(self) -> list[Floor]:
        return [Floor("distance", "equilibrium", 0.0)]

    def pictures(self, view: View) -> dict[str, np.ndarray]:
        return {"pixels": np.zeros((4, 6), dtype=np.uint8)}

    def perfect(self, seed: int) -> tuple[Any, ...]:
        return Player(torch.zeros(3)), torch.zeros(3)


def test_a_good_problem_passes() -> None:
    check_problem(Good)


class HasNoVersion(Good):
    version = 0


class LacksAPreset(Good):
    presets: ClassVar = {"smoke": Preset(4, batch=8), "cpu": Preset(4, batch=8)}


class NamesWithASlash(Good):
    metrics = (Metric("distance/test", headline=True), Metric("x", better=None))


class HasTwoHeadlines(Good):
    metrics = (Metric("distance", headline=True), Metric("x", headline=True))


class LeadsNowhere(Good):
    metrics = (Metric("distance", better=None, headline=True), Metric("x", better=None))


class AimsOutside(Good):
    metrics = (Metric("distance", range=(0, 1), headline=True, target=2), Metric("x", better=None))


class SkipsWithoutReason(Good):
    skips: ClassVar = {"alternating": ""}


class HasARuleTooMany(Good):
    recipe = Recipe((mm.sgd(0.1), mm.sgd(0.1), mm.sgd(0.1)))


class OrdersOnePlayer(Good):
    recipe = Recipe(mm.sgd(0.1), order=(0, 0))


class DrawsPlayersByChance(Good):
    def players(self, seed):
        return Player(torch.randn(3)), torch.zeros(3)


class RemembersItsPlayers(Good):
    kept: ClassVar = {}

    def players(self, seed):
        return self.kept.setdefault(seed, super().players(seed))


class IgnoresTheSeed(Good):
    def players(self, seed):
        return super().players(0)

    def batch(self, seed, draw, memory=None):
        return super().batch(0, draw, memory)


class DrawsBatchesByChance(Good):
    def batch(self, seed, draw, memory=None):
        return {"noise": torch.randn(8, 3)}


class DrawsOneBatch(Good):
    def batch(self, seed, draw, memory=None):
        return super().batch(seed, 0, memory)


class CountsHalfSamples(Good):
    def samples_in(self, batch):
        return 0.5


class WritesToTheMemory(Good):
    def batch(self, seed, draw, memory=None):
        memory["mean"].add_(1)
        return super().batch(seed, draw, memory)


class LosesByChance(Good):
    def pull(self, x, y, noise):
        return super().pull(x, y, noise) + torch.randn(())


class DetachesByHand(Good):
    def pull(self, x, y, noise):
        return (noise * x.weight.detach()).sum(1).mean()


class WritesToItsBatch(Good):
    def pull(self, x, y, noise):
        loss = super().pull(x, y, noise)
        noise.zero_()
        return loss


class TalksOncePlayed(Good):
    """Its evaluation breaks the rules for players that have played, not for those it starts from."""

    @torch.no_grad()
    def evaluate(self, view):
        return super().evaluate(view) | ({"rumour": 1.0} if view.players[0].calls else {})


class RemembersInItself(Good):
    seen: ClassVar = []

    def remember(self, memory, players, batch):
        self.seen.append(1)
        return {"mean": memory["mean"] + len(self.seen)}


class YieldsLess(Good):
    def evaluate(self, view):
        return {"distance": super().evaluate(view)["distance"]}


class YieldsMore(Good):
    def evaluate(self, view):
        return {**super().evaluate(view), "y": 0.0}


class YieldsTensors(Good):
    def evaluate(self, view):
        return {**super().evaluate(view), "x": torch.zeros(())}


class ScoresOutsideItsRange(Good):
    metrics = (Metric("distance", range=(0, 1e-3), headline=True), Metric("x", better=None))


class TrainsWhileItEvaluates(Good):
    @torch.no_grad()
    def evaluate(self, view):
        view.players[0]()
        return super().evaluate(view)


class EvaluatesByChance(Good):
    def evaluate(self, view):
        return {**super().evaluate(view), "x": float(torch.rand(()))}


class CannotEvaluateNan(Good):
    def evaluate(self, view):
        scores = super().evaluate(view)
        return {**scores, "x": float(int(scores["x"]))}


class HasNoFloor(Good):
    def floors(self):
        return []


class HasAFloorOfNothing(Good):
    def floors(self):
        return [*super().floors(), Floor("y", "equilibrium", 0.0)]


class PicturesOutside(Good):
    def pictures(self, view):
        return {"../pixels": np.zeros((4, 6), dtype=np.uint8)}


class PicturesFloats(Good):
    def pictures(self, view):
        return {"pixels": np.zeros((4, 6))}


class PicturesByTheClock(Good):
    def pictures(self, view):
        return {"pixels": Picture(np.zeros((4, 6), dtype=np.uint8), about=str(time.perf_counter()))}


class ShowsATruthOfNothing(Good):
    def truths(self):
        return {"others": np.zeros((4, 6), dtype=np.uint8)}


class ShowsPixelsForPoints(Good):
    def pictures(self, view):
        return {"points": np.zeros((4, 2))}

    def truths(self):
        return {"points": np.zeros((4, 6), dtype=np.uint8)}


class HasAnIdlePlayer(Good):
    recipe = Recipe((mm.sgd(0.0), mm.sgd(0.1)))


class IsPlayedByWhatCannot(Good):
    optimizers = ("alternating", "stackelberg")
    recipe = Recipe(mm.sgd(0.05))

    def game(self):
        return mm.Game(*(lambda x, y, z, batch: x().square().sum() + y.square().sum() + z.square().sum(),) * 3)

    def players(self, seed):
        return *super().players(seed), torch.ones(3)


class Blows(Good):
    recipe = Recipe(mm.sgd(1e30))


class IsWorseWhenPerfect(Good):
    def perfect(self, seed):
        return Player(torch.full((3,), 1e3)), torch.zeros(3)


class IsPerfectFromTheStart(Good):
    def players(self, seed):
        return Player(1e-6 * super().players(seed)[0].weight.detach()), torch.zeros(3)


BROKEN: dict[type[Problem], tuple[str, str]] = {
    HasNoVersion: ("declarations", "version must be a positive whole number, got 0"),
    LacksAPreset: ("declarations", "no preset gpu"),
    NamesWithASlash: ("declarations", "metric 'distance/test'"),
    HasTwoHeadlines: ("declarations", "one metric must be the headline, but 2 are"),
    LeadsNowhere: ("declarations", "which values are better"),
    AimsOutside: ("declarations", "a target needs a side that is better, and lies in the range"),
    SkipsWithoutReason: ("declarations", "why it makes no sense"),
    HasARuleTooMany: ("recipe", "recipe.rule is for 3 of 2 players"),
    OrdersOnePlayer: ("recipe", "recipe.order must name each of 2 players once"),
    DrawsPlayersByChance: ("players", "global generator"),
    RemembersItsPlayers: ("players", "same tensors twice"),
    IgnoresTheSeed: ("players", "seeds 3 and 4"),
    DrawsBatchesByChance: ("batches", "global generator"),
    DrawsOneBatch: ("batches", "batches 7 and 8"),
    CountsHalfSamples: ("batches", "whole number of samples, got 0.5"),
    WritesToTheMemory: ("batches", "writes to the memory"),
    LosesByChance: ("losses", "differ between two calls|global generator"),
    DetachesByHand: ("losses", "the loss of player 0 changes at the rate"),
    WritesToItsBatch: ("losses", "differ between two calls|writes to its batch"),
    TalksOncePlayed: ("plays", "evaluate yields rumour, which metrics does not declare"),
    RemembersInItself: ("resume", "saved after 3 of 6 steps"),
    YieldsLess: ("evaluation", "yields no x"),
    YieldsMore: ("evaluation", "yields y"),
    YieldsTensors: ("evaluation", "x as Tensor"),
    ScoresOutsideItsRange: ("evaluation", "outside its range"),
    TrainsWhileItEvaluates: ("evaluation", "writes to the players, buffers"),
    EvaluatesByChance: ("evaluation", "global generator"),
    CannotEvaluateNan: ("lost", "cannot be evaluated: ValueError"),
    HasNoFloor: ("floors", "distance has no floor"),
    HasAFloorOfNothing: ("floors", "of y, which is no metric"),
    PicturesOutside: ("pictures", "picture name"),
    PicturesFloats: ("pictures", "picture pixels is float64"),
    PicturesByTheClock: ("pictures", "picture pixels differs when it is taken again"),
    ShowsATruthOfNothing: ("truths", "truths show others, of which there is no picture"),
    ShowsPixelsForPoints: ("truths", "the truth of points is pixels where points are shown"),
    HasAnIdlePlayer: ("plays", "player 0 does not move in 20 steps"),
    IsPlayedByWhatCannot: ("plays", "stackelberg, which it is played by unless told, cannot"),
    Blows: ("plays", "not finite"),
    IsWorseWhenPerfect: ("rigged", "perfect players miss the target"),
    IsPerfectFromTheStart: ("rigged", "untrained players reach the target"),
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_problem_is_caught(kind: type[Problem]) -> None:
    clause, sentence = BROKEN[kind]
    with pytest.raises(AssertionError, match=sentence):
        check_problem(kind, skip=CHECKS.keys() - {clause})


def test_every_clause_catches_something() -> None:
    assert {clause for clause, _ in BROKEN.values()} == CHECKS.keys()


def test_what_is_skipped_is_not_checked() -> None:
    check_problem(HasNoFloor, skip=["floors"])


def test_an_optimizer_that_a_problem_skips_is_not_asked_for() -> None:
    class Skips(IsPlayedByWhatCannot):
        skips: ClassVar = {"stackelberg": "there are three players"}

        def evaluate(self, view):
            return super().evaluate(view._replace(players=view.players[:2]))

    check_problem(Skips, skip=CHECKS.keys() - {"plays"})
