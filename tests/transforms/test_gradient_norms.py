"""Penalties on the players' gradients, Game -> Game, against named methods, losses written out, and differences."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import minimax as mm
from minimax import penalties, transforms
from minimax.optimizers import BY_NAME
from minimax.transforms import accumulate

pytestmark = pytest.mark.usefixtures("float64")

A = torch.tensor([[1.0, -0.5, 0.3], [0.2, 0.8, -0.7]], dtype=torch.float64)
C = torch.linspace(-1, 1, 108, dtype=torch.float64).reshape(3, 6, 6).sin()


def payoff(x: Tensor, y: Tensor) -> Tensor:
    return x.sin() @ A @ y.tanh() + (x**3).sum() / 3 - y.cosh().sum() / 4 + (x @ A).exp() @ y.cos() / 5


def three(i: int):
    def loss(*players: Tensor) -> Tensor:
        z = torch.cat(players)
        return z.sin() @ C[i] @ z + (C[i] @ z).tanh().sum()

    return loss


def numbers(seed: int, *sizes: int) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(n, generator=generator, dtype=torch.float64) for n in sizes)


def scene(kind: str, seed: int = 0) -> tuple[mm.Game, tuple[Tensor, ...]]:
    if kind == "zero-sum":
        return mm.zero_sum(payoff), numbers(seed, 2, 3)
    if kind == "joint":
        return mm.Game(lambda *z: tuple(three(i)(*z) for i in range(3))), numbers(seed, 1, 2, 3)
    return mm.Game(*map(three, range(3))), numbers(seed, 1, 2, 3)


KINDS = ("zero-sum", "general-sum", "joint")
PAIRS = {
    "consensus": (lambda game: transforms.consensus(game, 0.3), lambda rule: mm.ConsensusOptimization(rule, gamma=0.3)),
    "jare": (lambda game: transforms.jare(game, 0.3), lambda rule: mm.JARE(rule, gamma=0.3)),
    "nagarajan-kolter": (
        lambda game: transforms.nagarajan_kolter(game, 0.3, generator=1),
        lambda rule: mm.NagarajanKolter(rule, eta=0.3, generator=1),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PAIRS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**31))
def test_plain_play_on_the_penalised_game_is_the_named_method(name: str, kind: str, seed: int) -> None:
    game, z = scene(kind, seed)
    penalised, method = PAIRS[name]
    rule = mm.adam(0.01)
    plain, named = mm.SimultaneousGDA(rule), method(rule)
    ours, theirs = (z, plain.init(game, z)), (z, named.init(game, z))
    for _ in range(3):
        ours = plain.step(penalised(game), *ours)[:2]
        theirs = named.step(game, *theirs)[:2]
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-10, atol=1e-12)


def written_out(game: mm.Game, Γ: list[list[float]]) -> mm.Game:
    """The same penalties inside the losses, by nested `torch.func.grad`."""

    def loss(i: int):
        def of(*z: Tensor) -> Tensor:
            own = [
                lambda w, j=j: game.enter(z)[0].losses(tuple([w if k == j else v] for k, v in enumerate(z)), None)[j]
                for j in range(len(z))
            ]
            ξ = [torch.func.grad(f)(z[j]) for j, f in enumerate(own)]
            return own[i](z[i]) + sum(Γ[i][j] / 2 * ξ[j].square().sum() for j in range(len(z)))

        return of

    return mm.Game(*map(loss, range(len(Γ))))


@pytest.mark.parametrize("kind", KINDS)
def test_every_oracle_is_that_of_the_losses_written_out(kind: str) -> None:
    game, z = scene(kind)
    n = len(z)
    Γ = [[0.1 * (i + 2 * j) if i != 1 else 0.0 for j in range(n)] for i in range(n)]
    ours, theirs, v = transforms.gradient_norms(game, Γ), written_out(game, Γ), numbers(7, *map(len, z))
    calls = [lambda g: g.losses(z), lambda g: g.field(z), lambda g: g.jvp(z, v), lambda g: g.vjp(z, v)]
    calls += [lambda g, i=i: g.gradient(z, i) for i in range(n)]
    calls += [lambda g, i=i: g.block(z, i, 0, v[0]) for i in range(n)]
    for call in calls:
        torch.testing.assert_close(call(ours), call(theirs), rtol=1e-9, atol=1e-11)
    for i in range(n):
        oracle, point = ours.enter(z)
        other, _ = theirs.enter(z)
        torch.testing.assert_close(oracle.gradient(point, 0, None, of=i), other.gradient(point, 0, None, of=i))
    assert not any(value.requires_grad for value in ours.losses(z))


@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_finite_differences_twice_over(kind: str) -> None:
    game, z = scene(kind)
    mm.testing.check_game(transforms.consensus(game, 0.3), z)
    mm.testing.check_game(transforms.consensus(transforms.jare(game, 0.2), 0.3), z)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_optimizer_plays_it(name: str) -> None:
    game, z = scene("zero-sum")
    Γ = [[0.2, 0.1], [0.0, 0.3]]
    ends = []
    for each in (transforms.gradient_norms(game, Γ), written_out(game, Γ)):
        optimizer = BY_NAME[name].of(mm.sgd(0.02))
        players, state = z, optimizer.init(each, z)
        for _ in range(2):
            players, state, _ = optimizer.step(each, players, state)
        ends.append(players)
    torch.testing.assert_close(*ends, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_products_under_vmap_are_those_of_eager_play(kind: str) -> None:
    """The gradients in the losses are differentiated there as well."""
    game, z = scene(kind)
    v = numbers(7, *map(len, z))
    for each in (transforms.consensus(game, 0.3), transforms.consensus(transforms.jare(game, 0.2), 0.3)):
        ask = lambda z, v, each=each: (each.jvp(z, v), each.vjp(z, v), each.block(z, 0, 1, v[1]))
        many = torch.vmap(ask)(*(tuple(x.expand(2, -1) for x in point) for point in (z, v)))
        found = pytree.tree_map(lambda x: x[1], many)
        torch.testing.assert_close(found, ask(z, v), rtol=1e-9, atol=1e-11)


def test_products_in_graphs_are_those_of_eager_play() -> None:
    game, z = scene("general-sum")
    penalised, v = transforms.consensus(game, 0.3), numbers(7, *map(len, z))
    torch._dynamo.reset()
    found = torch.compile(lambda z, v: penalised.vjp(z, v), fullgraph=True, backend="eager")(z, v)
    torch.testing.assert_close(found, penalised.vjp(z, v), rtol=1e-9, atol=1e-11)


def test_members_and_graphs(quick: object) -> None:
    """Under vmap and as one compiled graph it is the game it is eagerly."""
    game, z = transforms.consensus(scene("zero-sum")[0], 0.3), numbers(1, 2, 3)
    optimizer = mm.ExtraGradient(mm.sgd(torch.tensor([0.1, 0.05])))
    together = mm.ensemble(game, optimizer, [z, z], steps=3)
    compiled = mm.compiled(mm.ExtraGradient(mm.sgd(0.05)))
    ours, state = z, compiled.init(game, z)
    for _ in range(3):
        ours, state, _ = compiled.step(game, ours, state)
    alone = mm.solve(game, z, mm.ExtraGradient(mm.sgd(0.05)), steps=3).players
    torch.testing.assert_close(together.member(1), alone)
    torch.testing.assert_close(ours, alone)


def test_costs(quick: object) -> None:
    game, z = scene("zero-sum")

    def spent(game: mm.Game, optimizer: mm.GameOptimizer) -> tuple[int, int]:
        return optimizer.step(game, z, optimizer.init(game, z))[2].cost[:2]

    plain, alternating = mm.SimultaneousGDA(mm.sgd(0.1)), mm.AlternatingGDA(mm.sgd(0.1))
    assert spent(transforms.consensus(game), plain) == (2, 1)
    assert spent(transforms.jare(game), plain) == (2, 2)
    assert spent(transforms.nagarajan_kolter(game), plain) == (2, 1)
    assert spent(transforms.nagarajan_kolter(game), alternating) == (2 + 1, 1)  # the critic pays no penalty
    assert spent(transforms.consensus(game, 0.0), plain) == (2, 0)
    compiled = mm.compiled(mm.ConsensusOptimization(mm.sgd(0.1)))
    assert spent(transforms.consensus(game), compiled) == spent(transforms.consensus(game), compiled.inner)


def test_modules_and_buffers() -> None:
    torch.manual_seed(0)
    g, d = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Tanh()), nn.Linear(2, 1)
    before = d.weight.clone()

    def loss(g: nn.Module, d: nn.Module, batch: Tensor) -> Tensor:
        return d(g(batch)).mean() - nn.functional.softplus(d(batch)).mean()

    batch = torch.randn(8, 2)
    trainer = mm.bind(transforms.consensus(mm.zero_sum(loss), 0.5), (g, d), mm.SimultaneousGDA(mm.sgd(0.1)))
    trainer.step(batch)
    assert int(g[1].num_batches_tracked) == 1 and not torch.equal(before, d.weight)


def test_the_norm_is_the_whole_batch_s_inside_and_the_parts_outside() -> None:
    game = mm.zero_sum(lambda x, y, b: (x * y * b).mean())
    z, batch = (torch.tensor(1.0), torch.tensor(2.0)), torch.tensor([1.0, -1.0])
    inside, outside = (
        transforms.consensus(accumulate(game, 2), 2.0),
        accumulate(transforms.consensus(game, 2.0), 2),
    )
    assert [float(L) for L in inside.losses(z, batch)] == [0, 0]
    assert [float(L) for L in outside.losses(z, batch)] == [5, 5]  # γ/2 (x² + y²) mean b²
    for each in (inside, outside):
        mm.testing.check_game(each, z, batch + 0.5)


def test_bad_weights_are_named() -> None:
    game, z = scene("zero-sum")
    for build in (transforms.consensus, transforms.jare, transforms.nagarajan_kolter):
        with pytest.raises(ValueError, match="must be a finite number >= 0, got -1"):
            build(game, -1)
        with pytest.raises(
            ValueError, match="must be a finite number >= 0, a tensor of such or a schedule step -> number, got 'x'"
        ):
            build(game, "x")
    with pytest.raises(ValueError, match=r"weights\[0\]\[1\] must be a finite number >= 0, got -1"):
        transforms.gradient_norms(game, [[0, -1], [0, 0]])
    for weights in ([[1.0]], [[1.0, 1.0]], [[1.0], [1.0]]):
        with pytest.raises(mm.GameError, match="2 rows of 2"):
            transforms.gradient_norms(game, weights).field(z)
    with pytest.raises(mm.GameError, match="player 2 does not exist"):
        transforms.nagarajan_kolter(game, 0.1, generator=2).field(z)


@pytest.mark.parametrize("kind", KINDS)
def test_a_term_is_added_to_one_loss(kind: str) -> None:
    game, z = scene(kind)
    taxed = transforms.add(game, lambda *z: 0.7 * z[1].square().sum() + z[0].sum(), player=1)
    expected = list(game.losses(z))
    expected[1] = expected[1] + 0.7 * z[1].square().sum() + z[0].sum()
    torch.testing.assert_close(taxed.losses(z), tuple(expected))
    field = list(game.field(z))
    field[1] = field[1] + 1.4 * z[1]
    torch.testing.assert_close(taxed.field(z), tuple(field))
    with pytest.raises(mm.GameError, match="player 3 does not exist"):
        transforms.add(game, lambda *z: z[0].sum(), player=3).field(z)


def test_a_critic_s_penalty_is_a_transform_too() -> None:
    """R1 added to the critic's loss is R1 written in it, and the generator does not see it."""
    critic = lambda w: lambda x: (x * w).sin().sum(1)
    plain = lambda g, d, b: (critic(d)(b * g) - critic(d)(b)).mean()
    r1 = lambda g, d, b: 0.1 / 2 * penalties.r1(critic(d), b)
    z, batch = numbers(3, 2, 2), torch.randn(4, 2)
    ours = transforms.add(mm.zero_sum(plain), r1, player=1)
    theirs = mm.Game(plain, lambda g, d, b: -plain(g, d, b) + r1(g, d, b))
    torch.testing.assert_close(ours.field(z, batch), theirs.field(z, batch))
    torch.testing.assert_close(ours.jvp(z, z, batch), theirs.jvp(z, z, batch))


@pytest.mark.parametrize("γ", [0.3, 1.0, 3.0])
def test_spectra_at_equilibria_are_those_of_theory(γ: float) -> None:
    """Dirac-GAN with consensus γ: γ/4 ± i/2. f = σxy with Nagarajan-Kolter's η: ησ² ± iσ√(1 - η²σ²)."""

    def eigenvalues(game: mm.Game, players: tuple[Tensor, ...]) -> list[complex]:
        return sorted(mm.diagnostics.spectrum(game, players).eigenvalues.tolist(), key=lambda λ: λ.imag)

    dirac = mm.games.dirac_gan()
    found = eigenvalues(transforms.consensus(dirac.game, γ), dirac.equilibrium)
    assert found == pytest.approx([γ / 4 - 0.5j, γ / 4 + 0.5j], abs=1e-12)
    σ, η = 0.8, γ / 4
    zero = (torch.tensor(0.0), torch.tensor(0.0))
    found = eigenvalues(transforms.nagarajan_kolter(mm.zero_sum(lambda x, y: σ * x * y), η), zero)
    ω = σ * (1 - (η * σ) ** 2) ** 0.5
    assert found == pytest.approx([η * σ**2 - 1j * ω, η * σ**2 + 1j * ω], abs=1e-12)
