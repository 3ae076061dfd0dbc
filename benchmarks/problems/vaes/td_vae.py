from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.networks import seeded
from benchmarks.problem import Batch, Floor, Memory, Metric, Pictures, Preset, Problem, Recipe, View
from benchmarks.problems._gaussian import LOG_2PI
from benchmarks.problems._images import EVALUATION, PICTURES, compared
from benchmarks.problems.vaes._linear import LinearNormal, log_normal

STATE, SEEN, BELIEF = 2, 4, 4  # numbers in a state, in what is seen of it, and in a belief
WARM = 10  # steps after which a filter's gain is what it stays
TILE = 6  # pixels a side of a number, in pictures


class System(NamedTuple):
    """z_t = A z_{t-1} + N(0, Q), x_t = C z_t + N(0, R), from the stationary state."""

    A: Tensor
    Q: Tensor
    C: Tensor
    R: Tensor

    def stationary(self) -> Tensor:
        """The covariance of z, P = A P Aᵀ + Q."""
        n = len(self.A)
        solved = torch.linalg.solve(torch.eye(n * n).to(self.A) - torch.kron(self.A, self.A), self.Q.flatten())
        return solved.view(n, n)

    def drawn(self, stream: torch.Generator, size: int, length: int) -> Tensor:
        """Sequences of x, (size, length, seen)."""
        roots = [torch.linalg.cholesky(each) for each in (self.stationary(), self.Q, self.R)]
        shapes = ((size, len(self.A)), (length, size, len(self.A)), (length, size, len(self.C)))
        draws = [torch.randn(shape, generator=stream, device=stream.device) for shape in shapes]
        start, steps, noise = (draw.to(root) @ root.T for draw, root in zip(draws, roots, strict=True))
        z, xs = start, []
        for k in range(length):
            z = z if k == 0 else z @ self.A.T + steps[k]
            xs.append(z @ self.C.T + noise[k])
        return torch.stack(xs, dim=1)


class Filtered(NamedTuple):
    """What the Kalman filter knows of sequences (n, length, seen).

    Args:
        log: log p(x_t | x_<t), (n, length).
        seen: the mean of p(x_t | x_<t), (n, length, seen).
        scale: its covariance, (length, seen, seen).
        mean: of p(z_t | x_≤t), (n, length, state).
        covariance: of that, at the last step, (state, state).
        gain: at the last step, (state, seen).
    """

    log: Tensor
    seen: Tensor
    scale: Tensor
    mean: Tensor
    covariance: Tensor
    gain: Tensor


def kalman(system: System, x: Tensor) -> Filtered:
    """Filter sequences (n, length, seen).

    Source: Kalman, A New Approach to Linear Filtering and Prediction Problems, 1960.
    """
    A, Q, C, R = system
    m, P = x.new_zeros(len(x), len(A)), system.stationary()
    logs, seen, scales, means = [], [], [], []
    for k in range(x.shape[1]):
        if k > 0:
            m, P = m @ A.T, A @ P @ A.T + Q
        S = C @ P @ C.T + R
        ahead = m @ C.T
        logs.append(log_normal(x[:, k] - ahead, torch.linalg.cholesky(S)))
        gain = torch.linalg.solve(S, C @ P).T
        m, P = m + (x[:, k] - ahead) @ gain.T, P - gain @ C @ P
        seen.append(ahead)
        scales.append(S)
        means.append(m)
    return Filtered(torch.stack(logs, 1), torch.stack(seen, 1), torch.stack(scales), torch.stack(means, 1), P, gain)


class TDVAE(Problem):
    """Temporal-difference VAE of a linear-Gaussian state space, one player, whose best belief is the Kalman filter.

    A belief b_t = F b_{t-1} + G x_t tells z_t by p_B(z|b); with z₂ ~ p_B(z|b₂), z₁ ~ q(z|z₂, b₁, b₂) it minimises
    -[log p(x₂|z₂) + log p_B(z₁|b₁) + log p_T(z₂|z₁) - log p_B(z₂|b₂) - log q(z₁|z₂, b₁, b₂)] for all pairs of
    successive times from the tenth on. At the optimum that is -log p(x₂|x_≤1) for every draw: p_B is the filter, and q
    the smoother of two slices. All conditionals are linear with a full covariance.

    `gap`: of the loss on test sequences to the filter's -log p(x_t|x_<t) on the same, as a share of that;
    `prediction_kl`: KL from the filter's law of the next x to the model's, without a draw; `rollout_error`: E|x - its
    mean|² a number, as many steps ahead as the preset says.

    Differs from the source, whose times are any distance apart, and whose beliefs and conditionals are deep.

    Source: Gregor, Papamakarios, Besse, Buesing & Weber, Temporal Difference Variational Auto-Encoder, 2019.
    """

    name = "td-vae"
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(3, 16, evaluations=1, samples=64, options={"length": 16, "horizon": 5}),
        "cpu": Preset(1200, 64, evaluations=10, options={"length": 24, "horizon": 5}),
        "gpu": Preset(20_000, 256, evaluations=20, samples=5000, options={"length": 48, "horizon": 10}),
    }
    recipe: ClassVar[Recipe] = Recipe(mm.adam(1e-2), decay=True)
    metrics = (
        Metric("gap", range=(-1, math.inf), headline=True, target=0.02),
        Metric("loss", unit="nats"),
        Metric("prediction_kl", unit="nats", range=(0, math.inf)),
        Metric("rollout_error", range=(0, math.inf)),
    )

    def __init__(self, preset: str = "cpu", data: str | None = None, device: str | torch.device = "cpu") -> None:
        super().__init__(preset, data, device)
        self.length, self.horizon = self.preset.options["length"], self.preset.options["horizon"]
        if self.length <= WARM + self.horizon:
            raise ValueError(
                f"length = {self.length}: sequences take more than {WARM} steps to warm up, {self.horizon} to predict."
            )

    @cached_property
    def system(self) -> System:
        """A damped rotation, seen in four directions."""
        A = 0.95 * torch.tensor([[math.cos(0.5), -math.sin(0.5)], [math.sin(0.5), math.cos(0.5)]])
        C = seeded(1, lambda: torch.randn(SEEN, STATE))
        system = System(A, 0.2 * torch.eye(STATE), C, 0.5 * torch.eye(SEEN))
        return System(*(each.to(self.device, torch.get_default_dtype()) for each in system))

    def players(self, seed: int) -> tuple[Any, ...]:
        return (seeded(seed, Model).to(self.device),)

    @torch.no_grad()
    def perfect(self, seed: int) -> tuple[Any, ...]:
        """The filter and the smoother."""
        (model,) = self.players(seed)
        A, Q, C, R = self.system
        P, K = kalman(self.system, torch.zeros(1, 200, SEEN).to(A))[-2:]
        ahead = A @ P @ A.T + Q
        back = torch.linalg.solve(ahead, A @ P).T
        model.step.weight.zero_()[:STATE, :STATE] = A - K @ C @ A
        model.look.weight.zero_()[:STATE] = K
        model.belief.set(torch.eye(STATE), P)
        model.transition.set(A, Q)
        model.decoder.set(C, R)
        # (z₂, b₁) to z₁: m₁ + back (z₂ - A m₁)
        model.smoother.set(torch.cat((back, torch.eye(STATE).to(A) - back @ A), dim=1), P - back @ ahead @ back.T)
        return (model,)

    def game(self) -> mm.Game:
        return mm.Game(lambda model, batch: model.losses(batch["seen"], batch["noise"]).mean())

    def noise(self, stream: torch.Generator, size: int) -> Tensor:
        """For the two draws of every pair of times, (2, size, pairs, state)."""
        return torch.randn(2, size, self.length - WARM, STATE, generator=stream, device=self.device)

    def batch(self, seed: int, draw: int, memory: Memory = None) -> Batch:
        stream, size = self.generator(seed, draw), self.preset.batch
        return {"seen": self.system.drawn(stream, size, self.length), "noise": self.noise(stream, size)}

    @cached_property
    def tested(self) -> tuple[Tensor, Filtered]:
        """Test sequences, the same for all seeds, and what the filter knows of them."""
        x = self.system.drawn(self.generator(0, EVALUATION), self.preset.samples, self.length)
        return x, kalman(self.system, x)

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        (model,), (x, filtered) = view.players, self.tested
        noise = self.noise(self.generator(view.seed, EVALUATION), len(x))
        loss, best = float(model.losses(x, noise).mean()), -float(filtered.log[:, WARM:].mean())
        mean, covariance = model.predicted(model.beliefs(x)[:, WARM - 1 : -1])
        known, scale = filtered.seen[:, WARM:], filtered.scale[-1]
        ahead = self.rolled(model, x)
        return {
            "gap": (loss - best) / best,
            "loss": loss,
            "prediction_kl": divergence(known, scale, mean, covariance),
            "rollout_error": float((ahead - x[:, -self.horizon :])[:, -1].square().mean()),
        }

    def rolled(self, model: Model, x: Tensor) -> Tensor:
        """The means of the last steps of sequences, from the belief before them: (n, horizon, seen)."""
        z, steps = model.belief(model.beliefs(x)[:, -self.horizon - 1]), []
        for _ in range(self.horizon):
            z = model.transition(z)
            steps.append(model.decoder(z))
        return torch.stack(steps, dim=1)

    @torch.no_grad()
    def floors(self) -> Iterable[Floor]:
        x, filtered = self.tested
        (perfect,), best = self.perfect(0), -float(filtered.log[:, WARM:].mean())
        covariance = self.system.C @ self.system.stationary() @ self.system.C.T + self.system.R
        unknown = -float(log_normal(x[:, WARM:], torch.linalg.cholesky(covariance)).mean())
        return [
            Floor("gap", "kalman", 0.0),
            Floor("gap", "no past", unknown / best - 1),
            Floor("loss", "kalman", best),
            Floor("loss", "no past", unknown),
            Floor("rollout_error", "kalman", float((self.rolled(perfect, x)[:, -1] - x[:, -1]).square().mean())),
            Floor("rollout_error", "zero", float(x[:, -1].square().mean())),
        ]

    @torch.no_grad()
    def pictures(self, view: View) -> Pictures:
        """Time goes right, a row of tiles for each number; the last steps are predicted from the belief before."""
        (model,), (perfect,) = view.players, self.perfect(0)
        x = self.system.drawn(self.generator(view.seed, PICTURES), 6, self.length)
        known = x[:, : -self.horizon]
        rows = {"truth": x}
        for name, each in (("rolled out", model), ("kalman", perfect)):
            rows[name] = torch.cat((known, self.rolled(each, x)), dim=1)
        about = f"sequences, of which the last {self.horizon} steps are predicted"
        return {"predictions": compared({name: tiles(each) for name, each in rows.items()}, about, columns=3)}


class Model(nn.Module):
    """Beliefs, and the conditionals p_B(z|b), p_T(z₂|z₁), p(x|z) and q(z₁|z₂, b₁, b₂)."""

    def __init__(self) -> None:
        super().__init__()
        self.step = nn.Linear(BELIEF, BELIEF, bias=False)
        self.look = nn.Linear(SEEN, BELIEF, bias=False)
        self.belief = LinearNormal(BELIEF, STATE, full=True)
        self.transition = LinearNormal(STATE, STATE, full=True)
        self.decoder = LinearNormal(STATE, SEEN, full=True)
        self.smoother = LinearNormal(STATE + 2 * BELIEF, STATE, full=True)

    def beliefs(self, x: Tensor) -> Tensor:
        """b_t of sequences (n, length, seen), (n, length, belief), from b = 0."""
        looks = self.look(x)
        b, found = torch.zeros_like(looks[:, 0]), []
        for k in range(x.shape[1]):
            b = self.step(b) + looks[:, k]
            found.append(b)
        return torch.stack(found, dim=1)

    def losses(self, x: Tensor, noise: Tensor) -> Tensor:
        """Of every pair of successive times from the tenth on, by noise (2, n, pairs, state): (n, pairs)."""
        b = self.beliefs(x)
        before, after = b[:, WARM - 1 : -1], b[:, WARM:]
        z2 = self.belief.at(after, noise[0])
        known = torch.cat((z2, before, after), dim=-1)
        z1 = self.smoother.at(known, noise[1])
        model = self.decoder.log(x[:, WARM:], z2) + self.belief.log(z1, before) + self.transition.log(z2, z1)
        return self.belief.log(z2, after) + self.smoother.log(z1, known) - model

    def predicted(self, b: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the next x, given a belief."""
        P, A, C = self.belief.root(), self.transition, self.decoder
        ahead = A.weight @ P @ P.T @ A.weight.T + A.root() @ A.root().T
        return C(A(self.belief(b))), C.weight @ ahead @ C.weight.T + C.root() @ C.root().T


def divergence(mean: Tensor, covariance: Tensor, other: Tensor, scale: Tensor) -> float:
    """E KL(N(mean, covariance) ‖ N(other, scale)), in nats; nan where the latter is not finite."""
    if not bool(scale.isfinite().all()):
        return math.nan
    mean, covariance, other, scale = (each.double() for each in (mean, covariance, other, scale))
    entropy = len(scale) * (LOG_2PI + 1) / 2 + torch.linalg.slogdet(covariance).logabsdet / 2
    cross = torch.linalg.solve(scale, covariance).trace() / 2
    return float(cross - log_normal(mean - other, torch.linalg.cholesky(scale)).mean() - entropy)


def tiles(x: Tensor) -> Tensor:
    """Sequences (n, length, seen) as images, -4 black and 4 white."""
    return (x / 4).clamp(-1, 1).mT[:, None].repeat_interleave(TILE, 2).repeat_interleave(TILE, 3)
