"""The speed of a step: ours against a hand-written PyTorch loop of the same algorithm.

Both run in one process, interleaved block by block, so that a drifting machine slows both; the figure is the median
of the blocks' ratios. Run `python -m benchmarks.speed` on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import minimax as mm
from benchmarks.networks import Critic, Generator

Step = Callable[[], object]
Build = Callable[[], tuple[nn.Module, nn.Module, dict[str, Tensor]]]
Hand = Callable[[nn.Module, nn.Module, dict[str, Tensor]], Step]


@dataclass(frozen=True)
class Case:
    """Two ways to take one step, and the ratio ours / hand-written we aim at."""

    name: str
    aim: float
    ours: Step
    hand: Step


def ratio(case: Case, seconds: float, blocks: int = 15) -> tuple[float, float, float, float]:
    """Median ratio, its quartiles, and the median milliseconds of our step, from interleaved blocks."""
    for step in (case.ours, case.hand) * 3:
        step()
    count = max(1, int(seconds / blocks / 2 / max(_time(case.hand, 3), 1e-6)))
    pairs = []
    for k in range(blocks):
        order = (case.ours, case.hand) if k % 2 else (case.hand, case.ours)
        times = {step: _time(step, count) for step in order}
        pairs.append((times[case.ours], times[case.hand]))
    quartiles = statistics.quantiles([ours / hand for ours, hand in pairs], n=4)
    return quartiles[1], quartiles[0], quartiles[2], 1e3 * statistics.median(ours for ours, _ in pairs)


def _time(step: Step, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - start) / count


# ---------------------------------------------------------------------------------------------------- the GANs


def loss_g(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The non-saturating generator loss."""
    return softplus(-d(g(batch["noise"]))).mean()


def loss_d(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The discriminator's loss."""
    return softplus(-d(batch["real"])).mean() + softplus(d(g(batch["noise"]))).mean()


def losses(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Both losses from one forward pass, for players that move at once."""
    fake = d(g(batch["noise"]))
    return softplus(-fake).mean(), softplus(-d(batch["real"])).mean() + softplus(fake).mean()


def payoff(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """The zero-sum GAN: the generator minimises what the discriminator maximises."""
    return -losses(g, d, batch)[1]


def ring() -> tuple[nn.Module, nn.Module, dict[str, Tensor]]:
    """The ring MLPs, 128 x 2, and a batch of 256."""
    torch.manual_seed(0)
    g = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
    d = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
    return g, d, {"real": torch.randn(256, 2), "noise": torch.randn(256, 2)}


def dcgan() -> tuple[nn.Module, nn.Module, dict[str, Tensor]]:
    """A 28 x 28 DCGAN with 64 channels and a batch of 64."""
    torch.manual_seed(0)
    g, d = Generator(64, 1, 28, 64), Critic(1, 28, 64)
    return g, d, {"real": torch.randn(64, 1, 28, 28), "noise": torch.randn(64, 64)}


def ours(game: mm.Game, modules: tuple[nn.Module, nn.Module], optimizer: mm.GameOptimizer, batch: object) -> Step:
    """A step of a bound trainer, as users take it."""
    trainer = mm.bind(game, modules, optimizer)
    return lambda: trainer.step(batch)


def hand_alternating(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Step:
    """The usual loop: critic on detached samples, then generator, a torch Adam each."""
    opt_g = torch.optim.Adam(g.parameters(), lr=2e-4, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(d.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def step() -> None:
        opt_d.zero_grad()
        fake = g(batch["noise"]).detach()
        (softplus(-d(batch["real"])).mean() + softplus(d(fake)).mean()).backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g(g, d, batch).backward()
        opt_g.step()

    return step


def hand_simultaneous(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Step:
    """Both gradients at one point, then plain descent."""
    ps_g, ps_d = list(g.parameters()), list(d.parameters())

    def step() -> None:
        l_g, l_d = losses(g, d, batch)
        grads_g = torch.autograd.grad(l_g, ps_g, retain_graph=True)
        grads_d = torch.autograd.grad(l_d, ps_d)
        with torch.no_grad():
            for p, grad in zip(ps_g + ps_d, grads_g + grads_d, strict=True):
                p.sub_(1e-4 * grad)

    return step


def hand_consensus(g: nn.Module, d: nn.Module, batch: dict[str, Tensor]) -> Step:
    """The double backward: the gradient of half the squared field, by backward through the gradients."""
    ps_g, ps_d = list(g.parameters()), list(d.parameters())

    def step() -> None:
        l_g, l_d = losses(g, d, batch)
        grads = [
            *torch.autograd.grad(l_g, ps_g, create_graph=True),
            *torch.autograd.grad(l_d, ps_d, create_graph=True),
        ]
        squared = sum((grad.square().sum() for grad in grads), torch.zeros(()))
        pulls = torch.autograd.grad(0.5 * squared, ps_g + ps_d)
        with torch.no_grad():
            for p, grad, pull in zip(ps_g + ps_d, grads, pulls, strict=True):
                p.sub_(1e-4 * (grad + 0.1 * pull))

    return step


def hand_scalars() -> Step:
    """Simultaneous play on f = x y with two scalars."""
    x, y = torch.tensor(1.0), torch.tensor(1.0)

    def step() -> None:
        nonlocal x, y
        x.requires_grad_()
        y.requires_grad_()
        g_x, g_y = torch.autograd.grad(x * y, (x, y))
        x, y = (x - 1e-3 * g_x).detach(), (y + 1e-3 * g_y).detach()

    return step


def our_scalars() -> Step:
    """The same by the library's pure step."""
    game, optimizer = mm.zero_sum(lambda x, y: x * y), mm.SimultaneousGDA(mm.sgd(1e-3))
    players = (torch.tensor(1.0), torch.tensor(1.0))
    state = optimizer.init(game, players)

    def step() -> None:
        nonlocal players, state
        players, state, _ = optimizer.step(game, players, state)

    return step


def sixteen(game: mm.Game, optimizer: mm.GameOptimizer, steps: int = 20) -> tuple[Step, Step]:
    """Sixteen ring GANs, so many steps each: in one vmapped call, its start-up included, and one after the other."""
    members = [ring()[:2] for _ in range(16)]
    batch = ring()[2]

    def together() -> None:
        mm.ensemble(game, optimizer, members, lambda k: batch, steps=steps, every=steps)

    def in_turn() -> None:
        for modules in members:
            trainer = mm.bind(game, modules, optimizer)
            for _ in range(steps):
                trainer.step(batch)

    return together, in_turn


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


def ritz_products() -> tuple[int, float]:
    """Products spent on the ten leading Ritz values of the DCGAN's Jacobian, and the largest of their residuals."""
    g, d, batch = dcgan()
    found = mm.diagnostics.spectrum(mm.Game(losses), (g, d), batch, k=10)
    return found.hvps, float((found.residuals / found.eigenvalues.abs()).max())


def cases() -> Iterator[Case]:
    """The comparisons, with their aims."""
    game, joint = mm.Game(loss_g, loss_d), mm.Game(losses)
    adam, sgd = mm.adam(2e-4, betas=(0.5, 0.999)), mm.sgd(1e-4)
    alternating = mm.AlternatingGDA(adam, order=(1, 0))
    for name, build, aims in (
        ("ring MLP", ring, (0.95, 1.0, 1.5, 1.0, 2.5)),
        ("DCGAN 28x28", dcgan, (1.0, 1.0, 1.5, 1.0, 6.0)),
    ):

        def pair(game: mm.Game, optimizer: mm.GameOptimizer, hand: Hand, build: Build = build) -> tuple[Step, Step]:
            (g, d, batch), theirs = build(), build()
            return ours(game, (g, d), optimizer, batch), hand(*theirs)

        yield Case(f"alternating Adam, {name}", aims[0], *pair(game, alternating, hand_alternating))
        yield Case(f"simultaneous SGD, {name}", aims[1], *pair(joint, mm.SimultaneousGDA(sgd), hand_simultaneous))
        extra = mm.ExtraGradient(adam)
        yield Case(f"extragradient Adam / alternating, {name}", aims[2], *pair(joint, extra, hand_alternating))
        yield Case(f"consensus SGD, {name}", aims[3], *pair(joint, mm.ConsensusOptimization(sgd), hand_consensus))
        acgd = mm.CompetitiveGradientDescent(mm.adam(2e-4, betas=(0.0, 0.99)), tolerance=1e-6)
        yield Case(f"ACGD / alternating Adam, {name}", aims[4], *pair(mm.zero_sum(payoff), acgd, hand_alternating))
    (g, d, batch), theirs = ring(), ring()
    trainer = mm.bind(game, (g, d), alternating, compile=True)
    yield Case("alternating Adam compiled, ring MLP", 0.6, lambda: trainer.step(batch), hand_alternating(*theirs))
    yield Case("simultaneous SGD, two scalars", 1.3, our_scalars(), hand_scalars())
    yield Case("16 ring GANs x 20 steps, one ensemble / in turn", 0.5, *sixteen(game, alternating))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each case is measured (default 10)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--only", default="", help="run only the cases whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"ours / hand-written, median [quartiles]; torch {torch.__version__}, {options.threads} thread(s)")
    for case in cases():
        if options.only in case.name:
            middle, low, high, ms = ratio(case, options.seconds)
            mark = "ok" if middle <= case.aim else "above"
            figures = f"{middle:5.2f} [{low:.2f}, {high:.2f}]  aim <= {case.aim:.2f} {mark:5}  {ms:8.3f} ms"
            print(f"{case.name:48} {figures}", flush=True)
    if options.only in "bilinear":
        print(f"{'8,192 bilinear games, extragradient':48} {bilinear_ensemble():5.0f} ns per game and step, aim <= 100")
    if options.only in "Ritz":
        products, residual = ritz_products()
        print(f"{'ten Ritz values, DCGAN 28x28':48} {products:5} products, aim <= 80; relative residual {residual:.1e}")


if __name__ == "__main__":
    main()
