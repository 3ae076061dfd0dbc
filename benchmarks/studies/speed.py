"""The speed of a step: ours against a hand-written PyTorch loop of the same algorithm.

Both run in one process, interleaved block by block, so that a drifting machine slows both; the figure is the median
of the blocks' ratios, in process time where one thread runs. Every ratio has an aim and, where the two do not make the
same passes, a floor: the ratio of the operations in their matrix products and convolutions. Every line tells the CPU
seconds that it took, building and compiling included, and the last one their sum. Batches are fresh and of real data:
how many products competitive gradient descent takes depends on them, and on how far the game has been played.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakSet, finalize

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import minimax as mm
from benchmarks.exchange import FEW, operations
from benchmarks.studies.by_hand import (
    ON_SAMPLES,
    Batches,
    Step,
    dcgan,
    hand_alternating,
    hand_consensus,
    hand_scalars,
    hand_simultaneous,
    loss_d,
    loss_g,
    losses,
    payoff,
    ring,
)

Build = Callable[[], tuple[nn.Module, nn.Module, Batches]]
Hand = Callable[[nn.Module, nn.Module, Batches], Step]


@dataclass(frozen=True)
class Case:
    """Two ways to take one step (ours, hand-written), built when asked.

    Args:
        name: what is compared.
        aim: the ratio ours / hand-written that we aim at; of a floor, where `over` says so.
        build: makes both.
        over: whether the aim is times the floor.
    """

    name: str
    aim: float
    build: Callable[[], tuple[Step, Step]]
    over: bool = False


@dataclass
class Passes:
    """Counts the operations of matrix products and convolutions in steps of both, spread over a measurement.

    How many products a solve takes changes as the game is played, so that a floor must be of the steps that are timed.
    """

    ours: int = 0
    hand: int = 0

    def count(self, ours: Step, hand: Step) -> None:
        """One step more of each."""
        self.ours, self.hand = self.ours + operations(ours), self.hand + operations(hand)

    @property
    def floor(self) -> float:
        """The ratio of the operations, nan where nothing was counted or they are next to none."""
        return self.ours / self.hand if min(self.ours, self.hand) > FEW else math.nan


def ratio(
    ours: Step, hand: Step, seconds: float, blocks: int = 15, passes: Passes | None = None
) -> tuple[float, float, float, float]:
    """Median ratio, its quartiles, and the median milliseconds of our step, from interleaved blocks."""
    for step in (ours, hand) * 3:
        step()
    each = max(_time(hand, 3), 1e-6)
    count = max(1, int(seconds / blocks / 2 / each))
    if each > seconds / blocks:  # steps of DCGANs: blocks of a single step, enough of which are few
        blocks = 7
    pairs = []
    for k in range(blocks):
        order = (ours, hand) if k % 2 else (hand, ours)
        times = {step: _time(step, count) for step in order}
        pairs.append((times[ours], times[hand]))
        if passes is not None and k % 4 == 1:
            passes.count(ours, hand)
    quartiles = statistics.quantiles([ours / hand for ours, hand in pairs], n=4)
    return quartiles[1], quartiles[0], quartiles[2], 1e3 * statistics.median(ours for ours, _ in pairs)


def _time(step: Step, count: int) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(count):
        step()
    return (clock() - start) / count


def our(build: Build, game: mm.Game, optimizer: mm.GameOptimizer, burn_in: int = 0, compile: bool = False) -> Step:
    """A step of a bound trainer, as users take it, after so many others."""
    g, d, batches = build()
    trainer = mm.bind(game, (g, d), optimizer, compile=compile)
    for _ in range(burn_in):
        trainer.step(next(batches))
    return lambda: trainer.step(next(batches))


def our_scalars() -> Step:
    """The same by the library's pure step."""
    game, optimizer = mm.zero_sum(lambda x, y: x * y), mm.SimultaneousGDA(mm.sgd(1e-3))
    players = (torch.tensor(1.0), torch.tensor(1.0))
    state = optimizer.init(game, players)

    def step() -> None:
        nonlocal players, state
        players, state, _ = optimizer.step(game, players, state)

    return step


def sixteen(steps: int = 10) -> tuple[float, float]:
    """Sixteen ring GANs in one ensemble: their throughput over that of one after the other, and the first step's time.

    The difference of two lengths leaves out what is paid once a run, recording the step.
    """
    game, optimizer = mm.Game(loss_g, loss_d), mm.AlternatingGDA(ADAM, order=(1, 0))
    members, batches = [ring()[:2] for _ in range(16)], ring()[2]
    trainers = [mm.bind(game, modules, optimizer) for modules in members]

    def together(steps: int) -> None:
        mm.ensemble(game, optimizer, members, lambda k: next(batches), steps=steps, every=steps)

    def in_turn() -> None:
        for trainer in trainers:
            trainer.step(next(batches))

    first = _time(lambda: together(1), 1)
    gains = []
    for _ in range(3):
        short, long = _time(lambda: together(steps), 1), _time(lambda: together(3 * steps), 1)
        gains.append(2 * steps * _time(in_turn, steps) / (long - short))
    return statistics.median(gains), first


def bilinear_ensemble(games: int = 8192, steps: int = 200) -> float:
    """Nanoseconds per game and step of so many bilinear games under extragradient in one ensemble."""
    torch.manual_seed(0)
    members = [(x, y) for x, y in zip(torch.randn(games), torch.randn(games), strict=True)]
    game, optimizer = mm.zero_sum(lambda x, y: x * y), mm.ExtraGradient(mm.sgd(0.1))

    def play(steps: int) -> float:
        return _time(lambda: mm.ensemble(game, optimizer, members, steps=steps, every=steps), 1)

    play(1)
    # The difference of two lengths leaves out what is paid once a run.
    times = [(play(2 * steps) - play(steps)) / steps / games for _ in range(5)]
    return 1e9 * statistics.median(times)


def bilinear_solved(every: int = 1600, looks: int = 4) -> tuple[float, float]:
    """Microseconds per step of one bilinear game that `solve` plays compiled, and the seconds of the first run."""
    game, optimizer = mm.zero_sum(lambda x, y: x * y), mm.compiled(mm.ExtraGradient(mm.sgd(1e-3)))
    start = (torch.tensor(1.0), torch.tensor(1.0))

    def play(looks: int) -> float:
        return _time(lambda: mm.solve(game, start, optimizer, steps=every * looks, every=every, check=False), 1)

    first = play(2)
    return 1e6 * min(play(2 * looks) - play(looks) for _ in range(5)) / looks / every, first


def ritz_products() -> tuple[int, float]:
    """Products spent on the ten leading Ritz values of the DCGAN's Jacobian, and the largest of their residuals."""
    g, d, batches = dcgan()
    found = mm.diagnostics.spectrum(mm.Game(losses), (g, d), next(batches), k=10)
    return found.hvps, float((found.residuals / found.eigenvalues.abs()).max())


class Alive(TorchDispatchMode):
    """Counts the bytes of the tensors made inside that are alive, and the most there ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: WeakSet[torch.UntypedStorage] = WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.known.update(storages((args, kwargs)))  # what was there before, of which the result may be a view
        out = func(*args, **(kwargs or {}))
        for storage in storages(out):
            if storage not in self.known:
                self.known.add(storage)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                finalize(storage, self.freed, storage.nbytes())
        return out

    def freed(self, size: int) -> None:
        """Some memory was given back."""
        self.now -= size


def storages(values: Any) -> list[torch.UntypedStorage]:
    """The memory behind all tensors in a pytree."""
    return [leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def peak(build: Build, optimizer: mm.GameOptimizer) -> int:
    """The most bytes that one step has alive at once, beyond those before it."""
    step = our(build, mm.zero_sum(payoff), optimizer, burn_in=1)
    with Alive() as alive:
        step()
    return alive.most


ADAM = mm.adam(2e-4, betas=(0.5, 0.999))
ACGD = mm.adam(2e-4, betas=(0.0, 0.99))


def cases(burn_in: int) -> Iterator[Case]:
    """The comparisons, with their aims."""
    separate, joint, zero_sum, sgd = mm.Game(loss_g, loss_d), mm.Game(losses), mm.zero_sum(payoff), mm.sgd(1e-4)
    alternating, keeps = mm.AlternatingGDA(ADAM, order=(1, 0)), partial(hand_alternating, again=False)
    for name, build, aim in (("ring MLP", ring, 0.9), ("DCGAN 28x28", dcgan, 1.0)):

        def pair(
            game: mm.Game, optimizer: mm.GameOptimizer, hand: Hand, after: int = 0, build: Build = build
        ) -> Callable[[], tuple[Step, Step]]:
            return lambda: (our(build, game, optimizer, after), hand(*build()))

        extra, consensus = mm.ExtraGradient(ADAM), mm.ConsensusOptimization(sgd)
        yield Case(f"alternating Adam, {name}", aim, pair(separate, alternating, hand_alternating))
        yield Case(f"alternating Adam, samples kept, {name}", 1.0, pair(ON_SAMPLES, alternating, keeps))
        yield Case(f"simultaneous SGD, {name}", 1.0, pair(joint, mm.SimultaneousGDA(sgd), hand_simultaneous))
        yield Case(f"extragradient Adam / alternating, {name}", 1.05, pair(joint, extra, hand_alternating), over=True)
        yield Case(f"consensus SGD, {name}", 1.0, pair(joint, consensus, hand_consensus))
        # Of norms; the authors' code takes squares, and its 1e-6 is the 1e-3 here.
        acgd = mm.CompetitiveGradientDescent(ACGD, tolerance=1e-3)
        title = f"ACGD to 1e-03 / alternating Adam, {name}"
        yield Case(title, 1.1, pair(zero_sum, acgd, hand_alternating, burn_in), over=True)
    yield Case(
        "alternating Adam compiled, ring MLP",
        0.6,
        lambda: (our(ring, separate, alternating, compile=True), hand_alternating(*ring())),
    )
    yield Case("simultaneous SGD, two scalars", 1.3, lambda: (our_scalars(), hand_scalars()))


class Table:
    """The lines as they are printed, each with the CPU seconds that it took."""

    def __init__(self) -> None:
        self.began = self.last = time.process_time()
        self.lines = 0

    def line(self, name: str, figure: str, aim: str, met: bool, floor: float = math.nan, told: str = "") -> None:
        """One line more."""
        least, now = "" if math.isnan(floor) else f"{floor:.2f}", time.process_time()
        row = (
            f"{name:48} {figure:>18} {aim:>8} {least:>6} {now - self.last:5.0f} s  {'ok' if met else 'missed':7} {told}"
        )
        print(row.rstrip(), flush=True)
        self.last, self.lines = now, self.lines + 1

    def total(self) -> None:
        """The last line."""
        print(f"lines: {self.lines}; CPU time: {(self.last - self.began) / 60:.1f} minutes")


def compared(table: Table, case: Case, seconds: float) -> None:
    """The line of a ratio."""
    ours, hand = case.build()
    passes = None if "compiled" in case.name else Passes()
    middle, low, high, ms = ratio(ours, hand, seconds, passes=passes)
    floor = math.nan if passes is None else passes.floor
    aim = case.aim * floor if case.over else case.aim
    told = f"{ms:.3f} ms" + (residuals(ours) if "ACGD" in case.name else "")
    table.line(case.name, f"{middle:.2f} [{low:.2f}, {high:.2f}]", f"<= {aim:.2f}", middle <= aim, floor, told)


def residuals(step: Step, steps: int = 3) -> str:
    """How many iterations the next steps took on average, and their largest residual."""
    seen = [info.extra for info in (step() for _ in range(steps)) if isinstance(info, mm.Info)]
    worst, mean = max(float(x["residual"]) for x in seen), statistics.mean(int(x["iterations"]) for x in seen)
    return f"; {mean:.1f} iterations, residual <= {worst:.0e}"


def alone(table: Table, only: str) -> None:
    """The figures that are no ratio of two steps."""
    if only in (name := "16 ring GANs in one"):
        gain, first = sixteen()
        table.line(name, f"{gain:.2f} x in turn", ">= 1.5", gain >= 1.5, told=f"first step {first:.1f} s")
    if only in (name := "8,192 bilinear games in one, extragradient"):
        ns = bilinear_ensemble()
        table.line(name, f"{ns:.0f} ns a step", "<= 100", ns <= 100, told="of one game")
    if only in (name := "one bilinear game solved compiled, every=1600"):
        us, first = bilinear_solved()
        table.line(name, f"{us:.1f} us a step", "<= 2", us <= 2, told=f"first run {first:.1f} s")
    if only in (name := "ten Ritz values, DCGAN 28x28"):
        products, residual = ritz_products()
        table.line(name, f"{products} products", "<= 80", products <= 80, told=f"relative residual {residual:.1e}")
    kinds: list[type[mm.Ruled]] = [mm.ConsensusOptimization, mm.SymplecticGradientAdjustment, mm.LOLA]
    kinds += [mm.CompetitiveGradientDescent, mm.StackelbergGradient, mm.FollowTheRidge, mm.Unrolled]
    for place, build in (("ring MLP", ring), ("DCGAN 28x28", dcgan)):
        if only in (name := f"peak memory, {place}"):
            first = peak(build, mm.SimultaneousGDA(ACGD))
            for kind in kinds:
                times, most = peak(build, kind(ACGD)) / first, 4 if kind is mm.Unrolled else 3.5
                table.line(f"{name}: {kind.name}", f"{times:.2f} x simultaneous", f"<= {most}", times <= most)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each case is measured (default 2)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--burn-in", type=int, default=10, help="steps that ACGD has taken before (default 10)")
    parser.add_argument("--only", default="", help="run only the cases whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"ours / hand-written, median [quartiles]; torch {torch.__version__}, {options.threads} thread(s)")
    print(f"{'':48} {'measured':>18} {'aim':>8} {'floor':>6} {'CPU':>6}")
    table = Table()
    for case in cases(options.burn_in):
        if options.only in case.name:
            compared(table, case, options.seconds)
    alone(table, options.only)
    table.total()


if __name__ == "__main__":
    main()
