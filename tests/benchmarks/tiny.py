"""Problems for the runner's tests, which take them in with --import: a small game of modules, and ways to go wrong."""

import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn

import minimax as mm
from benchmarks.data.store import cache
from benchmarks.pictures import Picture
from benchmarks.problem import Floor, Metric, Preset, Problem, Recipe
from minimax import Game


class Player(nn.Module):
    def __init__(self, seed):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(2, generator=generator))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        self.seen += 1
        return x * self.weight


class Tiny(Problem):
    """min over x, max over y of E (x·y + noise), with a memory of past norms."""

    name = "tiny"
    metrics = (
        Metric("distance", headline=True, target=0.0),
        Metric("x", better=None),
        Metric("y", better=None),
        Metric("modes", better="higher", coverage=True),
    )
    presets: ClassVar = {
        "smoke": Preset(4, batch=2, evaluations=2, samples=4),
        "cpu": Preset(40, batch=4, evaluations=4, samples=8),
    }
    recipe = Recipe(mm.adam(0.05, betas=(0.5, 0.9)), steps=(1, 2), order=(1, 0), decay=True)
    pause = 0.0

    def players(self, seed):
        return Player(2 * seed + 1), Player(2 * seed + 2)

    def game(self):
        def payoff(x, y, batch):
            return (x(batch["noise"]) * y(batch["noise"])).sum(-1).mean() + 0.01 * batch["memory"]

        def first(x, y, batch):
            return payoff(x, y, batch)

        def second(x, y, batch):
            return -payoff(x, y, batch) + 0.1 * y.weight.square().sum()

        return Game(first, second)

    def batch(self, seed, draw, memory=None):
        time.sleep(self.pause)
        noise = 1 + 0.1 * torch.randn(self.preset.batch, 2, generator=self.generator(seed, draw))
        return {"noise": noise, "memory": memory["norms"].mean()}

    def memory(self, seed):
        return {"norms": torch.zeros(3)}

    def remember(self, memory, players, batch):
        return {"norms": torch.cat([memory["norms"][1:], players[0].weight.detach().norm()[None]])}

    @torch.no_grad()
    def evaluate(self, view):
        x, y = (player.weight for player in view.players)
        return {"distance": float(torch.cat([x, y]).norm()), "x": float(x[0]), "y": float(y[0]), "modes": 2.0}

    def floors(self):
        return [Floor("distance", "equilibrium", 0.0)]

    def pictures(self, view):
        points = torch.randn(16, 2, generator=self.generator(view.seed, -1)) * view.players[0].weight.detach()
        pixels = np.full((4, 6), 100 + view.seed % 100, dtype=np.uint8)
        return {"points": points.numpy(), "pixels": Picture(pixels, ("given", "found"), about="two rows")}

    def truths(self):
        return {"points": np.ones((16, 2)), "modes": np.ones((1, 2))}


class Averaged(Tiny):
    """Its recipe asks for a moving average of the players, and for clipped gradients."""

    name = "tiny-averaged"
    recipe = Recipe(mm.sgd(0.05), clip=0.1, ema=3.0)


class Remembering(Tiny):
    """Its recipe asks for an average that forgets everything at first, and less and less."""

    name = "tiny-remembering"
    recipe = Recipe(mm.sgd(0.05), clip=0.1, ema=mm.schedules.linear(0.0, 6.0, 4))


class Picky(Tiny):
    """Names an optimizer that makes no sense here, and its own two."""

    name = "tiny-picky"
    optimizers = ("extragradient", "simultaneous[lr=0.1]")
    skips: ClassVar = {"consensus": "its fixed points are others here"}


class Talkative(Tiny):
    name = "tiny-talkative"

    def evaluate(self, view):
        return {**super().evaluate(view), "rumour": 1.0}


class Slow(Tiny):
    name = "tiny-slow"
    pause = 0.005


class Hanging(Tiny):
    """Hangs in its third batch, whatever signals come, unless a file named `cured` lies in the working folder."""

    name = "tiny-hanging"

    def batch(self, seed, draw, memory=None):
        while draw == 2 and not Path("cured").exists():
            time.sleep(0.05)
        return super().batch(seed, draw, memory)


class Broken(Tiny):
    name = "tiny-broken"

    def evaluate(self, view):
        raise ZeroDivisionError("evaluation is broken")


class Outside(Tiny):
    name = "tiny-outside"

    def pictures(self, view):
        return {"../x": np.zeros((4, 6), dtype=np.uint8)}


class Lost(Tiny):
    name = "tiny-lost"
    datasets = ("nowhere",)

    @classmethod
    def prepare(cls, data, root, download):
        raise FileNotFoundError(f"{data} is nowhere: name its folder with --data-root DIR")


class Hungry(Tiny):
    name = "tiny-hungry"

    def game(self):
        raise MemoryError("no room")


class Alone(Problem):
    """One player, which just descends; higher is better."""

    name = "alone"
    metrics = (Metric("score", better="higher", headline=True),)
    presets: ClassVar = {"smoke": Preset(4, evaluations=2), "cpu": Preset(8, evaluations=2)}
    recipe = Recipe(mm.sgd(0.1))

    def players(self, seed):
        return (torch.tensor([1.0 + seed]),)

    def game(self):
        return Game(lambda x: x.square().sum())

    def evaluate(self, view):
        return {"score": -float(view.players[0].detach().abs())}


class Needy(Alone):
    """Cannot tell its metrics before its data are prepared."""

    name = "needy"

    @classmethod
    def prepare(cls, data, root, download):
        cache().mkdir(parents=True, exist_ok=True)
        (cache() / cls.name).touch()

    @property
    def metrics(self):
        assert (cache() / self.name).exists(), "its data are not prepared"
        return (Metric("score", better="higher", headline=True),)


class Halfway(mm.SimultaneousGDA):
    """Simultaneous play at half the rate: an optimizer of one's own."""

    name = "halfway"

    def directions(self, z, ξ, state, at=None):
        d, state = super().directions(z, ξ, state, at)
        return tuple([leaf / 2 for leaf in vector] for vector in d), state
