"""The speed of learning problems: ours against hand-written PyTorch, and against public packages.

An epoch of the VAE, a step of adversarial training, a hypergradient of hyper-cleaning: the benchmark's own problems,
networks, data and rates. Run `python -m benchmarks.studies.learning` on a machine that does nothing else. A package
that is not installed is left out: `pip install pythae torchopt`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import minimax as mm
from benchmarks.problem import Batch, Problem
from benchmarks.problems.adversarial._defence import STEPS
from benchmarks.problems.adversarial.pgd import PGD
from benchmarks.problems.bilevel.hyperclean import BOX, RIDGE, ROWS, HyperClean
from benchmarks.problems.vaes.vae import VAE
from benchmarks.studies.speed import Case, Step, Table, compared

ITERATIONS = 10  # of conjugate gradients


def drawn(problem: Problem) -> Iterator[Batch]:
    """The batches of seed 0."""
    return (problem.batch(0, draw) for draw in count())


def ours(problem: Problem, optimizer: mm.GameOptimizer, compile: bool = False, steps: int = 1) -> Step:
    """So many steps of a bound trainer, batches included."""
    trainer, batches = mm.bind(problem.game(), problem.players(0), optimizer, compile=compile), drawn(problem)

    def step() -> None:
        for _ in range(steps):
            trainer.step(next(batches))

    return step


# ---------------------------------------------------------------------------------------------------- an epoch of a VAE


def vae() -> tuple[VAE, int]:
    """The VAE of digits, and how many batches make an epoch."""
    VAE.prepare("digits", None, False)
    problem = VAE("cpu", "digits")
    return problem, len(problem.images.train) // problem.preset.batch


def vae_loss(coder: Any, x: Tensor, noise: Tensor) -> Tensor:
    """-E log p(x|z) + KL(q(z|x) ‖ N(0, I)) of images ±1, by hand."""
    mean, log_var = coder.encoder(x)
    logits = coder.decoder(mean + (log_var / 2).exp() * noise)
    distortion = binary_cross_entropy_with_logits(logits, (x + 1) / 2, reduction="none").flatten(1).sum(1)
    return (distortion - (1 + log_var - mean.square() - log_var.exp()).sum(1) / 2).mean()


def hand_epoch() -> Step:
    """The loop of every tutorial: a DataLoader, backward, torch's Adam."""
    problem, _ = vae()
    (coder,) = problem.players(0)
    loader = DataLoader(TensorDataset(problem.images.train), problem.preset.batch, shuffle=True, drop_last=True)
    optimizer = torch.optim.Adam(coder.parameters(), lr=3e-3)

    def epoch() -> None:
        for (x,) in loader:
            optimizer.zero_grad()
            vae_loss(coder, x, torch.randn(len(x), problem.option["latent"])).backward()
            optimizer.step()

    return epoch


def pythae_epoch() -> Step:
    """The same networks in pythae's VAE, under its trainer."""
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE as Model
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    problem, _ = vae()
    (coder,) = problem.players(0)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = coder.encoder

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_var = self.net(2 * x - 1)
            return ModelOutput(embedding=mean, log_covariance=log_var)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = coder.decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z).sigmoid())

    images = (problem.images.train + 1) / 2
    config = VAEConfig(tuple(images.shape[1:]), problem.option["latent"], reconstruction_loss="bce")
    told = BaseTrainerConfig(
        output_dir=tempfile.gettempdir(),
        per_device_train_batch_size=problem.preset.batch,
        learning_rate=3e-3,
        optimizer_cls="Adam",
        keep_best_on_train=True,
    )
    trainer = BaseTrainer(Model(config, Encoder(), Decoder()), BaseDataset(images, torch.ones(len(images))), None, told)
    trainer.prepare_training()
    trainer.callback_handler.callbacks = []  # no progress bar
    epochs = count(1)
    return lambda: trainer.train_step(next(epochs))


# --------------------------------------------------------------------------------------- a step of adversarial training


def pgd() -> PGD:
    """Robust classification of digits."""
    PGD.prepare("digits", None, False)
    return PGD("cpu", "digits")


def hand_defence(problem: PGD, net: nn.Module) -> Step:
    """Ten steps of sign ascent on δ, then Adam on the weights."""
    optimizer, batches = torch.optim.Adam(net.parameters(), lr=2e-3), drawn(problem)
    radius = problem.reach.radius
    length = 2.5 * radius / STEPS

    def step() -> None:
        batch = next(batches)
        x, y, δ = batch["x"], batch["y"], batch["start"]
        for _ in range(STEPS):
            δ.requires_grad_()
            (slope,) = torch.autograd.grad(cross_entropy(net(x + δ), y), δ)
            δ = (δ.detach() + length * slope.sign()).clamp(-radius, radius)
            δ = (x + δ).clamp(0, 1) - x
        optimizer.zero_grad()
        cross_entropy(net(x + δ), y).backward()
        optimizer.step()

    return step


# ------------------------------------------------------------------------------------ a hypergradient and its two moves


def led(iterations: int) -> mm.GameOptimizer:
    """Leader and follower by the library, the leader's system in so many iterations."""
    return mm.StackelbergGradient((mm.adam(0.1), mm.sgd(0.2)), tolerance=0.0, iterations=iterations)


def hyperclean() -> HyperClean:
    """Weights of 600 digits."""
    HyperClean.prepare(None, None, False)
    return HyperClean("cpu")


def inner(problem: HyperClean, θ: Tensor, w: Tensor) -> Tensor:
    """The follower's loss, by hand."""
    errors = (problem.rows.x @ w - problem.rows.y).square().sum(1)
    return (θ.sigmoid() @ errors) / (2 * ROWS) + RIDGE / 2 * w.square().sum()


def hand_hypergradient(problem: HyperClean, θ: Tensor, w: Tensor, iterations: int) -> Step:
    """Conjugate gradients on products by double backward, Adam on the leader, a step of the follower."""
    θ.requires_grad_()
    optimizer = torch.optim.Adam([θ], lr=0.1)

    def step() -> None:
        w.requires_grad_()
        (slope,) = torch.autograd.grad(inner(problem, θ, w), w, create_graph=True)
        (b,) = torch.autograd.grad(problem.rows.error(w), w)
        u, r = torch.zeros_like(b), b
        p, rr = r, r.square().sum()
        for _ in range(iterations):
            (Bp,) = torch.autograd.grad(slope, w, p, retain_graph=True)
            a = rr / (p * Bp).sum()
            u, r = u + a * p, r - a * Bp
            before, rr = rr, r.square().sum()
            p = r + rr / before * p
        (cross,) = torch.autograd.grad(slope, θ, u)
        θ.grad = -cross
        optimizer.step()
        with torch.no_grad():
            θ.clamp_(*BOX)
            w.sub_(0.2 * slope)

    return step


def torchopt_hypergradient(problem: HyperClean, θ: Tensor, w: Tensor, iterations: int) -> Step:
    """The same by TorchOpt's implicit differentiation, with its own conjugate gradients."""
    from torchopt.diff.implicit import custom_root
    from torchopt.linear_solve import solve_cg

    θ.requires_grad_()
    optimizer = torch.optim.Adam([θ], lr=0.1)
    slope = torch.func.grad(lambda w, θ: inner(problem, θ, w))
    found: list[Tensor] = []

    @custom_root(slope, argnums=1, solve=solve_cg(maxiter=iterations, rtol=0.0, atol=0.0))
    def answer(w: Tensor, θ: Tensor) -> Tensor:
        found[:] = [slope(w, θ).detach()]
        return w

    def step() -> None:
        optimizer.zero_grad()
        answered: Any = answer(w.detach().requires_grad_(), θ)
        problem.rows.error(answered).backward()
        optimizer.step()
        with torch.no_grad():
            θ.clamp_(*BOX)
            w.sub_(0.2 * found[0])

    return step


# ------------------------------------------------------------------------------------------------------------ the table


def cases() -> Iterator[Case]:
    """The comparisons, with their aims."""
    epochs: dict[str, Callable[[], Step]] = {"hand-written": hand_epoch}
    if find_spec("pythae"):
        epochs["pythae"] = pythae_epoch
    ways: dict[str, Callable[..., Step]] = {"hand-written": hand_hypergradient}
    if find_spec("torchopt"):
        ways["TorchOpt"] = torchopt_hypergradient
    for compile in (False, True):
        how = ", compiled" * compile
        for other, epoch in epochs.items():
            yield Case(f"epoch of the VAE{how} / {other}", 0.8, partial(epochs_of, compile, epoch))
        yield Case(f"PGD step{how} / hand-written", 1.05, partial(attacked, compile))
        for other, way in ways.items():
            yield Case(f"hypergradient of hyper-cleaning{how} / {other}", 1.05, partial(following, compile, way))


def epochs_of(compile: bool, other: Callable[[], Step]) -> tuple[Step, Step]:
    """An epoch by the library, and in another way."""
    problem, steps = vae()
    return ours(problem, mm.SimultaneousGDA(mm.adam(3e-3)), compile, steps), other()


def attacked(compile: bool) -> tuple[Step, Step]:
    """Adversarial training by the library, and by hand."""
    problem = pgd()
    return ours(problem, mm.SimultaneousGDA(mm.adam(2e-3)), compile), hand_defence(problem, *problem.players(0))


def following(compile: bool, other: Callable[..., Step]) -> tuple[Step, Step]:
    """A step of leader and follower by the library, and in another way."""
    problem = hyperclean()
    return ours(problem, led(ITERATIONS), compile), other(problem, *problem.players(0), ITERATIONS)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.learning", description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each case is measured (default 10)")
    parser.add_argument("--only", default="", help="run only the cases whose name contains this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"ours / other, median [quartiles]; torch {torch.__version__}, 1 thread")
    table = Table()
    for case in cases():
        if options.only in case.name:
            compared(table, case, options.seconds)
    table.total()


if __name__ == "__main__":
    main()
