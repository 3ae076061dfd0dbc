"""What rules, games, penalties and steps are handed, and refuse in one sentence each."""

import math
from typing import Any

import pytest
import torch

import minimax as mm
from minimax import games, transforms

nan, inf = math.nan, math.inf
SADDLE = mm.zero_sum(lambda x, y: x * y)
ONE = torch.tensor(1.0)

NUMBERS = [nan, inf, -1, "0.1", True, 1j, [0.1], (), (0.1, 0.2), None, torch.optim.Adam, torch.tensor(-1.0)]


@pytest.mark.parametrize("value", NUMBERS, ids=str)
@pytest.mark.parametrize(
    "make, name",
    [
        (mm.sgd, "lr"),
        (mm.rmsprop, "lr"),
        (mm.adam, "lr"),
        (mm.entropic, "lr"),
        (lambda value: mm.from_torch(torch.optim.SGD, lr=value), "lr"),
        (lambda value: mm.sgd(0.1, weight_decay=value), "weight_decay"),
        (lambda value: mm.rmsprop(0.1, alpha=value), "alpha"),
        (lambda value: mm.rmsprop(0.1, eps=value), "eps"),
        (lambda value: mm.adam(0.1, eps=value), "eps"),
        (lambda value: mm.adam(0.1, weight_decay=value), "weight_decay"),
        (lambda value: mm.adamw(0.1, weight_decay=value), "weight_decay"),
        (lambda value: mm.adam(0.1, betas=(value, 0.9)), r"betas\[0\]"),
        (lambda value: mm.adam(0.1, betas=(0.9, value)), r"betas\[1\]"),
    ],
)
def test_hyperparameters_of_rules(make: Any, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{name} must be a finite number >= 0.*, got .*\.$"):
        make(value)


@pytest.mark.parametrize("value", [nan, inf, "0.9", True, None, (0.9,), [0.9]])
def test_momentum_has_any_sign_but_is_a_number(value: Any) -> None:
    mm.sgd(0.1, momentum=-0.5)
    with pytest.raises(ValueError, match=r"^momentum must be a finite number.*, got .*\.$"):
        mm.sgd(0.1, momentum=value)


@pytest.mark.parametrize("value", [0.5, (0.5), (0.5,), [0.5, 0.9], (0.1, 0.2, 0.3), None, "ab"])
def test_betas_are_two(value: Any) -> None:
    with pytest.raises(ValueError, match="betas must be a tuple of two numbers, as"):
        mm.adam(0.1, betas=value)


def test_nesterov_needs_a_momentum() -> None:
    with pytest.raises(ValueError, match="nesterov looks ahead along the momentum, got momentum=0"):
        mm.sgd(0.1, nesterov=True)
    for make in (lambda: mm.sgd(0.1, nesterov="no"), lambda: mm.adam(0.1, amsgrad=1)):
        with pytest.raises(ValueError, match="must be True or False"):
            make()


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: mm.from_torch(0.1), TypeError, r"optimizer must be a class such as torch\.optim\.Adam, got 0\.1"),
        (lambda: mm.from_torch(torch.optim.SGD([torch.ones(1)])), TypeError, "optimizer must be a class such as"),
        (lambda: mm.from_torch(lambda params, lr: lr), TypeError, r"must make a torch\.optim\.Optimizer, got <lambda>"),
        (
            lambda: mm.from_torch(torch.optim.LBFGS, lr=1),
            ValueError,
            "from_torch cannot use LBFGS, which evaluates the",
        ),
        (lambda: mm.from_torch(torch.optim.SparseAdam), ValueError, "SparseAdam, as players' gradients are dense"),
        (lambda: mm.from_torch(torch.optim.SGD, momentun=1), ValueError, "cannot make SGD with the options .*momentun"),
        (lambda: mm.from_torch(torch.optim.SGD, momentum=-1), ValueError, "cannot make SGD .*momentum value: -1"),
        (lambda: mm.from_torch(torch.optim.Adam, betas=(2.0, 0.9)), ValueError, "cannot make Adam .*2.0"),
        (lambda: mm.from_torch(torch.optim.Adam, betas=0.5), ValueError, "cannot make Adam with the options given"),
        (lambda: mm.from_torch(mm.adam), ValueError, "cannot make adam with the options given"),
        (lambda: mm.from_torch(torch.optim.SGD, lr=torch.ones(2)), ValueError, "from_torch takes one lr, not one per"),
    ],
)
def test_from_torch(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "player",
    [
        torch.tensor([0.5, 0.6]),
        torch.tensor([1.5, -0.5]),
        torch.tensor([[0.5, 0.5], [nan, 0.5]]),
        torch.tensor(1.0),
        torch.zeros(3),
    ],
)
def test_entropic_starts_on_the_simplex(player: torch.Tensor) -> None:
    game = mm.Game(lambda x: x.square().sum())
    with pytest.raises(mm.GameError, match=r"entropic moves rows of numbers >= 0 that sum to 1, got a player of shape"):
        mm.SimultaneousGDA(mm.entropic(0.1)).init(game, (player,))
    for fits in (torch.tensor([0.0, 1.0]), torch.full((100,), 0.01), torch.ones(4, dtype=torch.float16) / 4):
        mm.SimultaneousGDA(mm.entropic(0.1)).init(game, (fits,))


# ------------------------------------------------------------------------------------- closed-form games, penalties


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: games.bilinear(dim=0), "dim must be an integer >= 1, got 0"),
        (lambda: games.bilinear(dim=2.0), "dim must be an integer >= 1, got 2.0"),
        (lambda: games.bilinear(condition=0.5), "condition must be a finite number >= 1, got 0.5"),
        (lambda: games.bilinear(condition=inf), "condition must be a finite number >= 1, got inf"),
        (lambda: games.bilinear(torch.ones(3)), r"A must be a matrix of finite .*, got a tensor of shape \(3,\)"),
        (lambda: games.bilinear(torch.ones(2, 2, dtype=torch.int64)), "A must be a matrix of finite floating point"),
        (lambda: games.bilinear([[1.0]]), "A must be a matrix of finite floating point numbers"),
        (lambda: games.bilinear(torch.tensor([[nan]])), "A must be a matrix of finite floating point numbers"),
        (lambda: games.noisy_bilinear(nan), "noise must be a finite number, got nan"),
        (lambda: games.quadratic("a", 1.0, 1.0), "a must be a finite number, got 'a'"),
        (lambda: games.scsc(mu=None), "mu must be a finite number, got None"),
        (lambda: games.scsc(sigma=inf), "sigma must be a finite number, got inf"),
        (lambda: games.rotated_saddle(nan), "angle must be a finite number, got nan"),
        (lambda: games.cooperative(torch.tensor([[1.0, 2.0], [0.0, 1.0]])), "Q must be symmetric"),
        (lambda: games.cooperative(torch.ones(2, 3)), "Q must be symmetric"),
        (lambda: games.cyclic(players=0), "players must be an integer >= 1, got 0"),
        (lambda: games.cyclic(mu=1j), "mu must be a finite number"),
        (lambda: games.dirac_gan(-1.0), "gamma must be a finite number >= 0, got -1.0"),
        (lambda: games.dirac_wgan(clip=-1.0), "clip must be a finite number >= 0, got -1.0"),
        (lambda: games.dirac_wgan_gp("x"), "weight must be a finite number >= 0, got 'x'"),
        (lambda: mm.projections.box("a", 1), "low must be a number, got 'a'"),
        (lambda: mm.projections.box(0, None), "high must be a number, got None"),
        (lambda: mm.projections.ball(inf), "radius must be a finite number >= 0, got inf"),
        (lambda: mm.projections.weight_clipping(-0.1), "c must be a finite number >= 0, got -0.1"),
    ],
)
def test_closed_form_games_and_projections(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: transforms.add(SADDLE, 3, 0), TypeError, "term must be a function of the players .*, got 3"),
        (lambda: transforms.add(0.1, abs, 0), TypeError, r"game must be a Game, got 0\.1: zero_sum\(payoff\) or Game"),
        (lambda: transforms.add(SADDLE, abs, -1), ValueError, "player must be an integer >= 0, got -1"),
        (lambda: transforms.add(SADDLE, abs, "x"), ValueError, "player must be an integer >= 0, got 'x'"),
        (lambda: transforms.add(SADDLE, abs, True), ValueError, "player must be an integer >= 0, got True"),
        (
            lambda: transforms.add(SADDLE, abs, 5),
            mm.GameError,
            "player 5 does not exist: the game has the players 0 to 1",
        ),
        (lambda: transforms.add(mm.Game(abs, abs), abs, 2), mm.GameError, "player 2 does not exist"),
        (lambda: transforms.consensus(0.1, SADDLE), ValueError, "gamma must be a finite number >= 0"),
        (lambda: transforms.consensus(0.1, 0.1), TypeError, "game must be a Game, got 0.1"),
        (lambda: transforms.consensus(SADDLE, inf), ValueError, "gamma must be a finite number >= 0, got inf"),
        (lambda: transforms.jare(SADDLE, torch.ones(2)), ValueError, "gamma must be one number, got a tensor of shape"),
        (lambda: transforms.nagarajan_kolter(SADDLE, "x"), ValueError, "eta must be a finite number >= 0"),
        (lambda: transforms.nagarajan_kolter(SADDLE, generator=0.5), ValueError, "generator must be an integer >= 0"),
        (lambda: transforms.gradient_norms(SADDLE, 0.1), ValueError, "weights must hold a row of numbers per player"),
        (lambda: transforms.gradient_norms(SADDLE, [[0, nan], [0, 0]]), ValueError, r"weights\[0\]\[1\] must be a fin"),
    ],
)
def test_penalties(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# --------------------------------------------------------------------------------------- players, batches and states


@pytest.mark.parametrize(
    "player, message",
    [
        (torch.zeros(2, device="meta"), r"players\[1\] (is|lies) on the meta device"),
        (torch.eye(2).to_sparse(), r"players\[1\] holds a torch\.sparse_coo tensor; players are dense: use \.to_dense"),
        (torch.ones(2, dtype=torch.complex64), r"players\[1\] holds torch\.complex64; players are real"),
        (torch.ones(2, dtype=torch.int64), r"players\[1\] holds torch\.int64; players must be floating point"),
        ({}, r"players\[1\] has no tensors"),
    ],
)
def test_players(player: Any, message: str) -> None:
    with pytest.raises(mm.GameError, match=message):
        mm.SimultaneousGDA(mm.sgd(0.1)).init(SADDLE, (ONE, player))


TWO_DRAWS = mm.ExtraGradient(mm.sgd(0.1), fresh=True)
SAMPLES = mm.zero_sum(lambda x, y, b: x * y * torch.utils._pytree.tree_leaves(b)[0].float().mean())


@pytest.mark.parametrize(
    "pair",
    [
        [torch.ones(4, 3), torch.ones(4, dtype=torch.int64)],
        [torch.ones(4, 3), torch.ones(4, 2)],
        [torch.ones(4), torch.ones(4, 1)],
        [torch.ones(4, 3), torch.ones(4, 3, dtype=torch.float64)],
        [torch.ones(4), (torch.ones(4),)],
        [{"x": torch.ones(4)}, {"y": torch.ones(4)}],
        [torch.ones(4), 3],
    ],
    ids=range(7),
)
@pytest.mark.parametrize("compile", [False, True])
def test_a_batch_of_two_parts_is_not_two_batches(pair: list[Any], compile: bool) -> None:
    """The x and y of a data loader."""
    z = (ONE, ONE)
    state = TWO_DRAWS.init(SAMPLES, z)
    message = r"a step of extragradient takes 2 batches, but entries 0 and 1 .* not alike: .* pass \[batch, batch\]"
    if not compile:
        with pytest.raises(mm.GameError, match=message):
            TWO_DRAWS.step(SAMPLES, z, state, pair)
    TWO_DRAWS.step(SAMPLES, z, state, [pair, pair])
    if compile and isinstance(pair[1], torch.Tensor):
        torch._dynamo.reset()
        step = torch.compile(lambda b: TWO_DRAWS.step(SAMPLES, z, state, b)[0], fullgraph=True, backend="eager")
        torch.testing.assert_close(step([pair, pair]), TWO_DRAWS.step(SAMPLES, z, state, [pair, pair])[0])
        with pytest.raises(Exception, match="not alike"):
            step(pair)


def test_batches_may_differ_in_size() -> None:
    z = (ONE, ONE)
    TWO_DRAWS.step(SAMPLES, z, TWO_DRAWS.init(SAMPLES, z), [torch.ones(4, 3), torch.ones(2, 3)])


STATES = {
    "another optimizer's": (mm.OptimisticGDA(mm.sgd(0.1)), "state has the entries .* there, .*'past'"),
    "another rule's": (mm.SimultaneousGDA(mm.adam(0.1)), r"state\['rules'\]\[0\] has the entries \[\] there"),
    "one inside": (mm.Lookahead(mm.SimultaneousGDA(mm.sgd(0.1))), "state has the entries .* there, .*'inner'"),
}


@pytest.mark.parametrize("name", STATES)
def test_states_of_others(name: str) -> None:
    (mine, differs), other = STATES[name], mm.SimultaneousGDA(mm.sgd(0.1))
    z = (ONE, ONE)
    with pytest.raises(
        mm.GameError, match=rf"the state is not one of {type(mine).__name__} .*, as {differs}.*: make it by"
    ):
        mine.step(SADDLE, z, other.init(SADDLE, z))


def test_states_of_other_players() -> None:
    optimizer = mm.SimultaneousGDA(mm.sgd(0.1, momentum=0.5))
    game, small, large = mm.zero_sum(lambda x, y: (x * y).sum()), (torch.ones(2),) * 2, (torch.ones(3),) * 2
    with pytest.raises(mm.GameError, match=r"\['v'\]\[0\] is .* of shape \(2,\) there, .* of shape \(3,\) here"):
        optimizer.step(game, large, optimizer.init(game, small))
    with pytest.raises(mm.GameError, match="as state is a NoneType there, a dict here"):
        optimizer.step(game, large, None)


def test_an_error_of_the_losses_stays_theirs() -> None:
    def broken(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        raise KeyError("step")

    game, z, optimizer = mm.zero_sum(broken), (ONE, ONE), mm.OptimisticGDA(mm.sgd(0.1))
    with pytest.raises(KeyError, match="step"):
        optimizer.step(game, z, optimizer.init(game, z))
