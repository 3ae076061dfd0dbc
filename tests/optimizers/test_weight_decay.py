"""L2 decay in a rule is the game with w/2 |z|² on all losses: a gradient gets w times the point where it was taken."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import minimax as mm
from minimax.optimizers import BY_NAME

pytestmark = pytest.mark.usefixtures("float64")

few = settings(max_examples=8)
seeds, decays = st.integers(0, 10**6), st.floats(0.01, 2.0)

RULES = {
    "sgd": lambda w: mm.sgd(0.05, weight_decay=w),
    "scheduled": lambda w: mm.sgd(0.05, weight_decay=lambda step: w),
    "tensor": lambda w: mm.sgd(0.05, weight_decay=torch.tensor(w, dtype=torch.float64)),
    "momentum": lambda w: mm.sgd(0.05, momentum=0.7, nesterov=True, weight_decay=w),
    "adam": lambda w: mm.adam(0.02, betas=(0.5, 0.9), eps=0.1, amsgrad=True, weight_decay=w),
    "torch": lambda w: mm.from_torch(torch.optim.SGD, lr=0.05, momentum=0.7, weight_decay=w),
}
TURNS_THE_FIELD = (
    "consensus",
    "hamiltonian",
    "jare",
    "lola",
    "policy-prediction",
    "nagarajan-kolter",
    "sga",
    "sos",
    "stackelberg",
    "mehra-hamm",
)
EXCEPT = {
    "follow-the-ridge": "moves y along the ridge of the losses as they are",
    "k-beam": "see below",
    "cesp": "goes by the curvature of the losses as they are",
    "polyak-extragradient": "projects by the field as it is",
    "restarted": "judges points by the field as it is",
    "bome": "weighs both gradients against each other",
    "value-function": "its follower pays 1/γ of the leader's loss",
}
FIRST_ORDER = {
    name: kind.of for name, kind in BY_NAME.items() if name not in (*TURNS_THE_FIELD, *EXCEPT, "cgd", "unrolled")
} | {
    "cgd": lambda rule: mm.CompetitiveGradientDescent(rule, tolerance=1e-14, iterations=40),
    "unrolled": lambda rule: mm.Unrolled(rule, steps=2),
    "svre": lambda rule: mm.SVRE(rule, iterations=2),
    "a beam of one": lambda rule: mm.KBeam(rule, candidates=1, steps=2),
    "extragradient, far": lambda rule: mm.ExtraGradient(rule, explore=2.0, fresh=True),
    "past extragradient, far": lambda rule: mm.PastExtraGradient(rule, explore=1.5),
    "EAG-V": lambda rule: mm.ExtraAnchoredGradient(rule, variable=0.6),
    "comonotone": lambda rule: mm.FastExtraGradient(rule, rho=-0.2),
    "extragradient ahead": lambda rule: mm.Lookahead(mm.ExtraGradient(rule), k=2),
    "critic steps": lambda rule: mm.AlternatingGDA(rule, steps=(1, 2), order=(1, 0)),
}


def some_game(seed: int, decay: float) -> tuple[mm.Game, tuple[Tensor, Tensor]]:
    """Two players, losses that are not quadratic and depend on the batch, and the decay in them."""
    generator = torch.Generator().manual_seed(seed)
    A, B = (torch.randn(2, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    start = tuple(torch.randn(n, generator=generator, dtype=torch.float64) for n in (2, 3))

    def first(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
        return b.mean() * (x.sin() @ A @ y) + decay / 2 * (x @ x)

    def second(x: Tensor, y: Tensor, b: Tensor) -> Tensor:
        return -(x @ B @ y.tanh()) + b.mean() * y.cos().sum() + decay / 2 * (y @ y)

    return mm.Game(first, second), start


def played(optimizer: mm.GameOptimizer, game: mm.Game, z: tuple[Tensor, ...], steps: int) -> tuple[Tensor, ...]:
    state, draws = optimizer.init(game, z), optimizer.draws
    for k in range(steps):
        batches = [torch.tensor([1.0, 0.1 * (k + j)], dtype=torch.float64) for j in range(draws)]
        z, state, _ = optimizer.step(game, z, state, batches if draws > 1 else batches[0])
    return z


def pairs() -> list[tuple[str, str]]:
    """Every method with a rule that remembers nothing and with one that does."""
    bare, remembering = ("sgd", "scheduled", "tensor"), ("momentum", "adam", "torch")
    return [(name, kinds[(i + i // 3) % 3]) for i, name in enumerate(FIRST_ORDER) for kinds in (bare, remembering)]


@pytest.mark.parametrize("name, kind", pairs())
@few
@given(seeds, decays)
def test_decay_is_the_regularised_game(name: str, kind: str, seed: int, w: float) -> None:
    if (name, kind) == ("cgd", "torch"):
        return  # it needs the rule's metric
    game, z = some_game(seed, 0.0)
    regularised, _ = some_game(seed, w)
    decayed = played(FIRST_ORDER[name](RULES[kind](w)), game, z, 4)
    expected = played(FIRST_ORDER[name](RULES[kind](0.0)), regularised, z, 4)
    torch.testing.assert_close(decayed, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", TURNS_THE_FIELD)
@few
@given(seeds, decays)
def test_decay_comes_after_what_turns_the_field(name: str, seed: int, w: float) -> None:
    """Where DF turns the field, decay is what torch's loop does: w z on top of the direction."""
    game, z = some_game(seed, 0.0)
    decayed = played(BY_NAME[name].of(mm.sgd(0.05, weight_decay=w)), game, z, 1)
    plain = played(BY_NAME[name].of(mm.sgd(0.05)), game, z, 1)
    expected = tuple(p - 0.05 * w * z_i for p, z_i in zip(plain, z, strict=True))
    torch.testing.assert_close(decayed, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", [mm.ExtraGradient, mm.PastExtraGradient, mm.ExtraAnchoredGradient])
@few
@given(seeds, decays)
def test_a_mirror_step_starts_where_it_is_added(make: type[mm.Ruled], seed: int, w: float) -> None:
    """The entropic rule is the exception: its displacement belongs to the start, so that z stays on the simplex."""
    game, z = some_game(seed, w)
    z = tuple(z_i.softmax(-1) for z_i in z)
    for player in played(make(mm.entropic(0.3)), game, z, 5):
        assert bool((player > 0).all()) and float(player.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("decoupled", [True, False])
def test_extra_adam_by_hand(native: bool, decoupled: bool) -> None:
    """Both half steps update one set of moments, start from the saved z, and decay the point the gradient is of."""
    game, z = some_game(0, 0.0)
    h, w, (β1, β2), ε, b = 0.02, 0.3, (0.5, 0.9), 1e-8, torch.ones(2)
    if native:
        rule = (mm.adamw if decoupled else mm.adam)(h, betas=(β1, β2), weight_decay=w)
    else:
        kind = torch.optim.AdamW if decoupled else torch.optim.Adam
        rule = mm.from_torch(kind, lr=h, betas=(β1, β2), weight_decay=w)
    found, optimizer = z, mm.ExtraGradient(rule)
    state = optimizer.init(game, found)
    m, v, t = [torch.zeros_like(x) for x in z], [torch.zeros_like(x) for x in z], 0
    for _ in range(5):
        saved, point = z, z
        for _ in range(2):
            F, t, moved = game.field(point, b), t + 1, []
            for i, (at, start, g) in enumerate(zip(point, saved, F, strict=True)):
                g = g if decoupled else g + w * at
                m[i], v[i] = β1 * m[i] + (1 - β1) * g, β2 * v[i] + (1 - β2) * g**2
                u = m[i] / (1 - β1**t) / ((v[i] / (1 - β2**t)).sqrt() + ε)
                moved.append(start - h * u - (h * w * at if decoupled else 0))
            point = tuple(moved)
        z = point
        found, state, _ = optimizer.step(game, found, state, b)
    torch.testing.assert_close(found, z, rtol=1e-12, atol=1e-12)
