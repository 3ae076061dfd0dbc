"""A player who answers every batch anew: against closed forms, hand-written loops, and finite differences."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

import minimax as mm
from minimax.optimizers import BY_NAME
from minimax.projections import box
from minimax.swap import Modules
from minimax.testing._scenes import on_two_ranks
from minimax.transforms import accumulate, add, autocast, best_response, consensus, response

pytestmark = pytest.mark.usefixtures("float64")


X = torch.tensor([[2, 1], [1.5, -0.5], [0.5, 2], [-1, -1.5], [-2, 0.5], [0.2, -1]], dtype=torch.float64)
Y = torch.tensor([1, 1, 1, -1, -1, -1], dtype=torch.float64)


def robust_risk(ε: float, steps: int = 1, **options: Any) -> mm.Game:
    """Logistic loss of a linear classifier, against a box of half width ε around every sample."""

    def risk(model: dict, δ: Tensor, batch: tuple) -> Tensor:
        x, y = batch
        w, b = model["w"], model["b"]
        return softplus(-y * ((x + δ) @ w + b)).mean() + 0.005 * (w @ w)

    game = mm.zero_sum(risk, constraints=(None, box(-ε, ε)))
    return best_response(game, 1, lambda batch: torch.zeros_like(batch[0]), mm.rules.sign(2 * ε), steps, **options)


@pytest.mark.parametrize("ε, risk, w", [(0.5, 0.3264594514, (2.578755, 1.560010)), (1.0, 0.6795214630, None)])
def test_robust_training_of_a_linear_model_is_exact(ε: float, risk: float, w: tuple | None) -> None:
    """One FGSM step is the best answer; the minimum of the robust risk is that of a convex program."""
    game, players = robust_risk(ε), ({"w": torch.tensor([1.0, 0.5]), "b": torch.tensor(0.0)},)
    rule = mm.sgd(2.0) if w else mm.sgd(lambda k: 0.5 / (1 + k / 50))  # at ε = 1 the gradient jumps at the answer
    solution = mm.solve(game, players, mm.SimultaneousGDA(rule), lambda k: (X, Y), steps=500 if w else 3000)
    model = solution.players[0]
    margins = Y * (X @ model["w"] + model["b"]) - ε * model["w"].abs().sum()
    written = softplus(-margins).mean() + 0.005 * (model["w"] @ model["w"])
    found = game.losses(solution.players, (X, Y))[0]
    torch.testing.assert_close(found, written, rtol=1e-12, atol=0)
    assert float(found) == pytest.approx(risk, abs=1e-9 if w else 1e-4)
    if w:
        assert model["w"].tolist() == pytest.approx(w, abs=1e-6)


def net(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3))


def samples(k: int, n: int = 8) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(k)
    x = torch.rand(n, 4, generator=g, dtype=torch.float64)
    noise = 0.1 * torch.rand(n, 4, generator=g, dtype=torch.float64)
    return {"x": x, "y": torch.randint(3, (n,), generator=g), "noise": noise}


def pixels(batch: dict) -> box:
    return box((-batch["x"]).clamp(min=-0.2), (1 - batch["x"]).clamp(max=0.2))


def attacked(net: nn.Module, δ: Tensor, batch: dict) -> Tensor:
    return cross_entropy(net(batch["x"] + δ), batch["y"])


def adversarial(**options: Any) -> mm.Game:
    game = mm.zero_sum(attacked)
    return best_response(game, 1, lambda batch: batch["noise"], mm.rules.sign(0.06), 3, constraint=pixels, **options)


def by_hand(model: nn.Module, steps: int, step: Callable[[nn.Module, Tensor, dict], None]) -> None:
    """PGD adversarial training as everyone writes it."""
    for k in range(steps):
        batch = samples(k)
        low, high = (-batch["x"]).clamp(min=-0.2), (1 - batch["x"]).clamp(max=0.2)
        δ = torch.minimum(torch.maximum(batch["noise"], low), high)
        for _ in range(3):
            δ.requires_grad_()
            (g,) = torch.autograd.grad(attacked(model, δ, batch), δ)
            δ = torch.minimum(torch.maximum(δ.detach() + 0.06 * g.sign(), low), high)
        step(model, δ, batch)


@pytest.mark.parametrize("compile", [False, True])
def test_pgd_training_is_the_loop_written_by_hand(compile: bool, quick: object) -> None:
    """Parameters and BatchNorm's statistics: each of four forward passes a step counts."""

    def sgd(model: nn.Module, δ: Tensor, batch: dict) -> None:
        grads = torch.autograd.grad(attacked(model, δ, batch), list(model.parameters()))
        with torch.no_grad():
            for p, g in zip(model.parameters(), grads, strict=True):
                p -= 0.5 * g

    ours, theirs = net(0), net(0)
    trainer = mm.bind(adversarial(), (ours,), mm.SimultaneousGDA(mm.sgd(0.5)), compile=compile)
    for k in range(4):
        info = trainer.step(samples(k))
    by_hand(theirs, 4, sgd)
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12, msg=name)
    assert int(ours[1].num_batches_tracked) == 16
    assert info.cost == mm.Cost(3 + 1, 0, 8)


@pytest.mark.parametrize("norm, puts", [(nn.Identity(), 2), (nn.BatchNorm1d(6), 4)])
def test_parameters_stay_in_a_network_without_buffers(norm: nn.Module, puts: int, monkeypatch) -> None:
    """While δ moves three times; a forward pass that has to be tried again finds buffers as they were."""
    ours, count, put = nn.Sequential(nn.Linear(4, 6), norm, nn.Tanh(), nn.Linear(6, 3)).double(), [], Modules.put
    theirs = copy.deepcopy(ours)
    monkeypatch.setattr(Modules, "put", lambda *args: count.append(1) or put(*args))
    found = adversarial().gradient((ours,), 0, samples(0))
    assert len(count) == puts
    by_hand(theirs, 1, lambda model, δ, batch: attacked(model, δ, batch).backward())
    torch.testing.assert_close(found, {name: p.grad for name, p in theirs.named_parameters()}, rtol=1e-10, atol=1e-12)


def test_the_attack_itself() -> None:
    """On a network in evaluation mode, in the structure of the start; the network is only read."""
    model, batch = net(0).eval(), samples(1)
    found = []
    by_hand(model, 2, lambda model, δ, batch: found.append(δ))
    before = [leaf.clone() for leaf in model.state_dict().values()]
    start = lambda batch: {"δ": batch["noise"]}
    game = mm.zero_sum(lambda model, y, batch: attacked(model, y["δ"], batch))
    δ = response(game, (model,), 1, start, mm.rules.sign(0.06), 3, batch=batch, constraint=pixels)["δ"]
    torch.testing.assert_close(δ, found[1])
    torch.testing.assert_close(list(model.state_dict().values()), before)
    assert attacked(model, δ, batch).item() > attacked(model, 0 * δ, batch).item()


# ------------------------------------------------------------------------------------------- meta-learning: quadratics

A, C, α = torch.tensor([1.0, 3.0]).double(), torch.tensor([0.0, 1.0]).double(), 0.25


def adaptation(through: bool) -> mm.Game:
    """Tasks a/2 (θ - c)²; each adapts by one step of gradient descent from θ."""

    def task(θ: Tensor, φ: Tensor) -> Tensor:
        return (A / 2 * (θ + φ - C) ** 2).sum()

    return best_response(mm.Game(task, task), 1, lambda _: torch.zeros(2), mm.sgd(α), 1, through=through)


@pytest.mark.parametrize("through, weights", [(True, (1 - α * A) * A * (1 - α * A)), (False, A * (1 - α * A))])
def test_maml_has_the_weights_of_theory(through: bool, weights: Tensor) -> None:
    """(I - αA) A (I - αA) in full, A (I - αA) to first order: the field is Σ weights (θ - c)."""
    θ = torch.tensor(0.7)
    torch.testing.assert_close(adaptation(through).field((θ,))[0], (weights * (θ - C)).sum())


def test_maml_s_minimum() -> None:
    newton = mm.solve(adaptation(True), (torch.tensor(0.7),), mm.SimultaneousGDA(mm.sgd(0.5)), steps=200)
    assert float(newton.players[0]) == pytest.approx(0.25, abs=1e-9)


# ------------------------------------------------------------------------------------------ through: what is the truth


def smooth(
    players: int, answers: int, joint: bool = False, steps: int = 3
) -> tuple[mm.Game, mm.Game, tuple[Tensor, ...]]:
    """A general-sum game in which one answers, through the answer and not, and where the others stand."""
    g = torch.Generator().manual_seed(players)
    W = [torch.randn(3, 2, generator=g, dtype=torch.float64) for _ in range(players)]
    c = torch.randn(players, 3, generator=g, dtype=torch.float64)
    z = tuple(torch.randn(2, generator=g, dtype=torch.float64) for _ in range(players - 1))

    def loss(i: int, *z: Tensor) -> Tensor:
        u = torch.stack([w @ x for w, x in zip(W, z, strict=True)]).sum(0)
        return (c[i] * u.tanh()).sum() + (u.sin() * z[i].sum()).mean() + z[i].square().sum() / 2

    whole = mm.Game(*(lambda *z, i=i: loss(i, *z) for i in range(players)))
    if joint:
        whole = mm.Game(lambda *z: [loss(i, *z) for i in range(players)])
    start = lambda _: torch.tensor([0.3, -0.2])
    ways = (best_response(whole, answers, start, mm.adam(0.1), steps, through=through) for through in (True, False))
    return (*ways, z)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("players, answers", [(2, 0), (2, 1), (3, 0), (3, 1)])
def test_derivatives_through_the_answer_are_those_of_differences(players: int, answers: int, joint: bool) -> None:
    """`check_game` differences losses, and fields."""
    through, _, z = smooth(players, answers, joint)
    mm.testing.check_game(through, z)
    mm.testing.check_game(consensus(through, 0.1), z)
    mm.testing.check_game(add(through, lambda *z: z[0].square().sum(), 0), z)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("players, answers", [(2, 0), (2, 1), (3, 0), (3, 1)])
def test_the_answer_stands_still(players: int, answers: int, joint: bool) -> None:
    """Losses are those through the answer; gradients and products those of the game with the answer held fixed."""
    through, still, z = smooth(players, answers, joint)
    torch.testing.assert_close(still.losses(z), through.losses(z))
    field = still.field(z)
    for i in range(players - 1):
        torch.testing.assert_close(still.gradient(z, i), field[i])
    v = tuple(torch.ones_like(x) for x in z)
    oracle, point = still.enter(z)
    y = oracle.beside(point, None).y
    fixed = mm.Game(*(_at(oracle, y, i) for i in range(players - 1)))
    for ask in (lambda g: g.field(z), lambda g: g.jvp(z, v), lambda g: g.vjp(z, v)):
        torch.testing.assert_close(ask(still), ask(fixed), rtol=1e-10, atol=1e-12)


def _at(oracle: Any, y: list[Tensor], i: int) -> Callable[..., Tensor]:
    response = oracle.response
    return lambda *z: oracle.inner.loss(response.among(tuple([x] for x in z), y), response.seat(i), None)


@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize("name", BY_NAME)
def test_every_optimizer_plays_it(name: str, through: bool) -> None:
    """As it plays the same game with the answer written into the losses."""

    def payoff(x: Tensor, y: Tensor, a: Tensor) -> Tensor:
        return (x**2 / 2 + x.sin() * y - y**2 / 2 + a * (x - y) - a**2 / 2 * (1 + 0.1 * x.cos())).sum()

    whole = mm.Game(lambda x, y, a: payoff(x, y, a), lambda x, y, a: -payoff(x, y, a), lambda x, y, a: -payoff(x, y, a))
    ours = best_response(whole, 2, lambda _: torch.zeros(2), mm.sgd(0.4), 2, through=through)

    def answer(x: Tensor, y: Tensor) -> Tensor:
        if not through:
            x, y = x.detach(), y.detach()
        a = torch.zeros(2)
        for _ in range(2):
            a = a + 0.4 * ((x - y) - a * (1 + 0.1 * x.cos()))
        return a

    theirs = mm.Game(lambda x, y: payoff(x, y, answer(x, y)), lambda x, y: -payoff(x, y, answer(x, y)))
    ends = []
    for game in (ours, theirs):
        optimizer = BY_NAME[name].of(mm.sgd(0.05))
        players = (torch.tensor([0.5, -0.3]), torch.tensor([0.2, 0.7]))
        state = optimizer.init(game, players)
        for _ in range(2):
            players, state, info = optimizer.step(game, players, state)
        ends.append((players, info.losses))
    torch.testing.assert_close(*ends, rtol=1e-9, atol=1e-11)


# ----------------------------------------------------------------------------------------------------- costs and graphs


@pytest.mark.parametrize("through, cost", [(False, (2 * 3 + 2, 0)), (True, (2 * (3 + 1), 2 * 3))])
def test_costs_of_alternating_play(through: bool, cost: tuple[int, int]) -> None:
    """K gradients before every evaluation; with `through`, K products per gradient."""
    ways = smooth(3, 1)
    game, z = ways[0 if through else 1], ways[2]
    optimizer = mm.AlternatingGDA(mm.sgd(0.1))
    assert optimizer.step(game, z, optimizer.init(game, z))[2].cost[:2] == cost


@pytest.mark.parametrize("joint", [False, True])
def test_the_answer_is_found_once_for_a_field(joint: bool) -> None:
    through, still, z = smooth(3, 1, joint)
    plain, second = mm.SimultaneousGDA(mm.sgd(0.1)), mm.ConsensusOptimization(mm.sgd(0.1))
    spent = lambda game, optimizer: optimizer.step(game, z, optimizer.init(game, z))[2].cost[:2]
    assert spent(still, plain) == (3 + 2, 0)
    assert spent(still, second) == (3 + 2, 1)
    assert spent(through, plain) == ((3 + 2, 6) if joint else (2 * (3 + 1), 6))
    assert spent(through, second)[1] == 6 + (1 + 3 * 3)


@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize("kind", [mm.AlternatingGDA, mm.ConsensusOptimization])
def test_members_and_graphs(kind: Any, through: bool) -> None:
    ways = smooth(3, 1, steps=2)  # a graph holds every one of them
    game, z = ways[0 if through else 1], ways[2]
    alone = mm.solve(game, z, kind(mm.sgd(0.05)), steps=3)
    together = mm.ensemble(game, kind(mm.sgd(torch.tensor([0.1, 0.05]))), [z, z], steps=3)
    torch.testing.assert_close(together.member(1), alone.players)
    torch._dynamo.reset()
    optimizer = kind(mm.sgd(0.05))
    step = torch.compile(lambda z, s: optimizer.step(game, z, s), fullgraph=True, backend="eager")
    players, state = z, optimizer.init(game, z)
    for _ in range(3):
        players, state, info = step(players, state)
    torch.testing.assert_close(players, alone.players)
    assert mm.Cost(*(3 * count for count in info.cost)) == alone.cost


def test_an_ensemble_of_networks() -> None:
    """Every member answers for itself, and keeps its own statistics."""
    batch = samples(0)
    found = mm.ensemble(
        adversarial(), mm.SimultaneousGDA(mm.sgd(0.5)), [(net(k),) for k in range(2)], lambda k: batch, steps=2
    )
    for k in range(2):
        model = net(k)
        trainer = mm.bind(adversarial(), (model,), mm.SimultaneousGDA(mm.sgd(0.5)))
        for _ in range(2):
            trainer.step(batch)
        (other,) = found.member(k, (net(9),))
        for a, b in zip(other.state_dict().values(), model.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b)


def test_within_other_transforms() -> None:
    """A penalty goes around the answer; micro-batches answer each for themselves."""
    batch = samples(3)
    game, model = adversarial(), nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    torch.testing.assert_close(
        accumulate(game, 2).field((model,), batch), game.field((model,), batch), rtol=1e-9, atol=1e-12
    )
    oracle, z = accumulate(game, 2).enter((model,))
    oracle.field(z, batch)
    assert oracle.gradients == 4, "as one evaluation of the whole batch"
    oracle, z = consensus(accumulate(game, 4), 0.1).enter((model,))
    oracle.gradient(z, 0, batch)
    assert (oracle.gradients, oracle.hvps) == (4, 1)


def test_half_precision_inside_and_outside_is_the_same() -> None:
    model, batch = nn.Linear(4, 3).float(), samples(0)
    batch = {name: leaf.float() if leaf.is_floating_point() else leaf for name, leaf in batch.items()}
    inside = best_response(autocast(mm.zero_sum(attacked)), 1, lambda b: b["noise"], mm.rules.sign(0.06), 2)
    outside = autocast(best_response(mm.zero_sum(attacked), 1, lambda b: b["noise"], mm.rules.sign(0.06), 2))
    plain = best_response(mm.zero_sum(attacked), 1, lambda b: b["noise"], mm.rules.sign(0.06), 2)
    torch.testing.assert_close(inside.field((model,), batch), outside.field((model,), batch), rtol=0, atol=0)
    assert not torch.equal(inside.field((model,), batch)[0]["weight"], plain.field((model,), batch)[0]["weight"])


def test_ranks_go_around_the_answer() -> None:
    """Each rank answers its own batch; an average inside of the answer is refused."""
    batch, model = samples(0), nn.Linear(4, 3).double()
    parts = [{name: leaf.chunk(2)[rank] for name, leaf in batch.items()} for rank in range(2)]
    models = [copy.deepcopy(model) for _ in range(2)]  # threads cannot share one
    ends = on_two_ranks(adversarial(), lambda game, rank: game.field((models[rank],), parts[rank]))
    torch.testing.assert_close(ends, [adversarial().field((model,), batch)] * 2)


def test_two_players_may_answer() -> None:
    """Nested: the inner one answers the outer one's answer as well."""
    f = lambda x, a, b: (x**2 / 2 + x * a - a**2 / 2 + x * b - b**2 / 2 + 0.5 * a * b).sum()
    whole = mm.Game(f, lambda x, a, b: -f(x, a, b), lambda x, a, b: -f(x, a, b))
    start = lambda _: {"y": torch.zeros(1)}
    whole = mm.Game(
        lambda x, a, b: f(x, a["y"], b["y"]),
        lambda x, a, b: -f(x, a["y"], b["y"]),
        lambda x, a, b: -f(x, a["y"], b["y"]),
    )
    game = best_response(best_response(whole, 1, start, mm.sgd(1.0), 1), 1, start, mm.sgd(1.0), 1)
    x = torch.tensor([0.8])
    a = x  # from b = 0, one exact step
    b = x + 0.5 * a
    a = x + 0.5 * b  # to the b that is played
    torch.testing.assert_close(game.field((x,))[0], x + a + b)
    torch.testing.assert_close(game.field({"x": x})["x"], x + a + b)


def test_moves_from_where_the_gradient_is_zero_have_derivatives() -> None:
    """Adam divides by the root of its squares: the derivative there is 0, not a NaN."""
    f = lambda x, a: (x * a[:1]).sum() - (a**2).sum() + x.square().sum()
    game = best_response(mm.zero_sum(f), 1, lambda _: torch.zeros(2), mm.adam(0.1), 2, through=True)
    (field,) = game.field((torch.tensor([0.5]),))
    assert bool(field.isfinite().all())
    mm.testing.check_game(game, (torch.tensor([0.5]),))


def test_rules_that_hide_their_derivatives_are_refused() -> None:
    rule = mm.from_torch(torch.optim.SGD, lr=0.1)
    game = lambda through: best_response(GAME, 1, START, rule, 1, through=through)
    assert float(game(False).field((torch.tensor(1.0),))[0]) == pytest.approx(1.1)
    with pytest.raises(mm.GameError, match=r"has no derivative in the gradient.*use sgd or adam, or through=False"):
        game(True).field((torch.tensor(1.0),))


def test_rules_see_the_names_of_the_answer() -> None:
    """Some leaves by one rule, the others by another."""
    rule = mm.rules.split(lambda name, _: name == "a", mm.sgd(1.0), mm.sgd(0.0))
    f = lambda x, y: x * (y["a"] + y["b"])
    game = best_response(mm.zero_sum(f), 1, lambda _: {"a": torch.tensor(1.0), "b": torch.tensor(1.0)}, rule, 1)
    assert float(game.field((torch.tensor(3.0),))[0]) == 1 + 3 + 1


@pytest.mark.parametrize("build", [lambda g: add(g, lambda *z: z[0].square().sum(), 0), lambda g: consensus(g, 0.1)])
def test_the_answer_stands_still_for_transforms_around_it_under_vmap_too(build: Any) -> None:
    _, still, z = smooth(3, 1)
    game = build(still)
    for ask in (lambda *z: game.field(z), lambda *z: (game.gradient(z, 0),), lambda *z: game.vjp(z, z)):
        many = torch.vmap(ask)(*(x.expand(2, -1) for x in z))
        torch.testing.assert_close([leaf[1] for leaf in many], list(ask(*z)), rtol=1e-9, atol=1e-11)


def test_a_module_behind_two_who_answer() -> None:
    net = nn.Linear(2, 1).double()
    f = lambda a, b, net: (net(a + b) ** 2).sum() - (a**2).sum() - (b**2).sum() / 2 + (a * b).sum() / 4
    whole = mm.Game(lambda *z: -f(*z), lambda *z: -f(*z), f)
    start = lambda _: torch.ones(2)
    game = best_response(best_response(whole, 0, start, mm.sgd(0.1), 1), 0, start, mm.sgd(0.1), 1)
    a = torch.ones(2) - 0.1 * whole.gradient((torch.ones(2), torch.ones(2), net), 0)
    b = torch.ones(2) - 0.1 * whole.gradient((a, torch.ones(2), net), 1)
    a = torch.ones(2) - 0.1 * whole.gradient((torch.ones(2), b, net), 0)
    torch.testing.assert_close(game.field((net,))[0], whole.gradient((a, b, net), 2))


def test_modules_keep_their_places() -> None:
    """The one who answers sits between two modules."""
    first, last = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
    payoff = lambda f, δ, last, b: (last(f(b + δ)) ** 2).mean() - (δ**2).sum()
    whole = mm.Game(payoff, lambda *a: -payoff(*a), payoff)
    game = best_response(whole, 1, torch.zeros_like, mm.sgd(0.1), 2)
    b = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    δ = torch.zeros_like(b)
    for _ in range(2):
        δ = δ + 0.1 * whole.gradient((first, δ, last), 1, b).neg()
    ours = game.field((first, last), b)
    torch.testing.assert_close(ours[0], whole.gradient((first, δ, last), 0, b))
    torch.testing.assert_close(ours[1], whole.gradient((first, δ, last), 2, b))
    trainer = mm.bind(game, (first, last), mm.ExtraGradient(mm.sgd(0.1)))
    before = first.weight.clone()
    trainer.step(b)
    assert not torch.equal(before, first.weight)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 1))
def test_answers_keep_to_constraints_that_depend_on_the_batch(seed: int, ε: float) -> None:
    batch = samples(seed)
    seen = []

    def loss(model: nn.Module, δ: Tensor, batch: dict) -> Tensor:
        seen.append(δ.detach())
        return attacked(model, δ, batch)

    game = best_response(
        mm.zero_sum(loss), 1, lambda b: 3 * b["noise"], mm.sgd(100.0), 2, constraint=lambda b: box(-ε * b["x"], b["x"])
    )
    game.field((nn.Linear(4, 3).double(),), batch)
    assert len(seen) == 3 and all(bool(((δ >= -ε * batch["x"]) & (δ <= batch["x"])).all()) for δ in seen)


# ------------------------------------------------------------------------------------------------------------- refusals

GAME = mm.zero_sum(lambda x, y: x * y)
START = lambda _: torch.tensor(1.0)


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: best_response(3, 0, START, mm.sgd(1), 1), TypeError, "game must be a Game, got 3"),
        (lambda: best_response(GAME, 2, START, mm.sgd(1), 1), mm.GameError, "player 2 does not exist"),
        (lambda: best_response(GAME, 0, 1, mm.sgd(1), 1), TypeError, "start must be a function of the batch, got 1"),
        (lambda: best_response(GAME, 0, START, 0.1, 1), TypeError, "best_response moves players by a rule, got 0.1"),
        (lambda: best_response(GAME, 0, START, mm.sgd(1), -1), ValueError, "steps must be an integer >= 0"),
        (lambda: best_response(GAME, 0, START, mm.sgd(1), 1, through=1), ValueError, "through must be True or False"),
        (
            lambda: best_response(GAME, 0, START, mm.sgd(1), 1, constraint=3),
            TypeError,
            "constraint must be a function from a batch to a projection",
        ),
        (
            lambda: best_response(GAME, 0, lambda _: 3, mm.sgd(1), 1).field((torch.tensor(1.0),)),
            mm.GameError,
            "start must return floating point tensors, or a pytree of them, got 3",
        ),
        (
            lambda: best_response(GAME, 0, START, mm.sgd(1), 1, constraint=lambda _: 3).field((torch.tensor(1.0),)),
            mm.GameError,
            "constraint must return a projection for a batch, got 3",
        ),
        (
            lambda: best_response(mm.Game(lambda x, y: (x, y)), 4, START, mm.sgd(1), 1).field((torch.tensor(1.0),)),
            mm.GameError,
            "player 4 does not exist",
        ),
    ],
)
def test_refusals(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
