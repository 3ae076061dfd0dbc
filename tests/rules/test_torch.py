"""Rules are torch's optimizers, step by step; and what from_torch makes of those."""

import math

import pytest
import torch

import minimax as mm
from tests.rules.play import played, players_and_gradients, stepped

pytestmark = pytest.mark.usefixtures("float64")

NATIVE = {
    "sgd": (mm.sgd(0.1), torch.optim.SGD, {"lr": 0.1}),
    "sgd, decay": (mm.sgd(0.1, weight_decay=0.3), torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.3}),
    "momentum": (mm.sgd(0.1, momentum=0.9), torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "momentum, decay": (
        mm.sgd(0.1, momentum=0.9, weight_decay=0.2),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.2},
    ),
    "nesterov": (
        mm.sgd(0.1, momentum=0.9, nesterov=True),
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    ),
    "rmsprop": (
        mm.rmsprop(0.1, alpha=0.9, eps=1e-6),
        torch.optim.RMSprop,
        {"lr": 0.1, "alpha": 0.9, "eps": 1e-6},
    ),
    "adam": (mm.adam(0.1), torch.optim.Adam, {"lr": 0.1}),
    "adam of GANs": (
        mm.adam(0.1, betas=(0.0, 0.9), eps=1e-4),
        torch.optim.Adam,
        {"lr": 0.1, "betas": (0.0, 0.9), "eps": 1e-4},
    ),
    "amsgrad": (
        mm.adam(0.1, betas=(0.5, 0.6), amsgrad=True),
        torch.optim.Adam,
        {"lr": 0.1, "betas": (0.5, 0.6), "amsgrad": True},
    ),
    "adam, decay": (mm.adam(0.1, weight_decay=0.3), torch.optim.Adam, {"lr": 0.1, "weight_decay": 0.3}),
    "amsgrad, decay": (
        mm.adam(0.1, weight_decay=0.3, amsgrad=True),
        torch.optim.Adam,
        {"lr": 0.1, "weight_decay": 0.3, "amsgrad": True},
    ),
    "adamw": (mm.adamw(0.1), torch.optim.AdamW, {"lr": 0.1}),
    "adamw, decay": (mm.adamw(0.1, weight_decay=0.3), torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.3}),
    "adamw, amsgrad": (
        mm.adamw(0.1, betas=(0.5, 0.6), weight_decay=0.3, amsgrad=True),
        torch.optim.AdamW,
        {"lr": 0.1, "betas": (0.5, 0.6), "weight_decay": 0.3, "amsgrad": True},
    ),
}


@pytest.mark.parametrize("name", NATIVE)
def test_native_rules_are_torchs(name: str, generator: torch.Generator) -> None:
    rule, optimizer, options = NATIVE[name]
    player, gradients = players_and_gradients(generator)
    expected = stepped(optimizer, options, player, gradients)
    torch.testing.assert_close(played(rule, player, gradients), expected, rtol=1e-12, atol=1e-12)


WRAPPED = [
    (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1}),
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "foreach": True}),
    (torch.optim.Adam, {"betas": (0.5, 0.9), "amsgrad": True}),
    (torch.optim.Adam, {"foreach": True, "weight_decay": 0.1}),
    (torch.optim.AdamW, {}),
    (torch.optim.RMSprop, {"centered": True, "momentum": 0.5}),
    (torch.optim.Adagrad, {}),
    (torch.optim.NAdam, {}),
    (torch.optim.RAdam, {}),
    (torch.optim.Adadelta, {}),
    (torch.optim.Adamax, {}),
    (torch.optim.Rprop, {}),
]


@pytest.mark.parametrize("optimizer, options", WRAPPED)
def test_from_torch_is_the_optimizer(optimizer: type, options: dict, generator: torch.Generator) -> None:
    player, gradients = players_and_gradients(generator)
    kept = [g.clone() for g in gradients[0]]
    rule = mm.from_torch(optimizer, lr=0.05, **options)
    expected = stepped(optimizer, {"lr": 0.05, **options}, player, gradients)
    torch.testing.assert_close(played(rule, player, gradients), expected, rtol=1e-12, atol=1e-12)
    assert all(map(torch.equal, kept, gradients[0])), "the optimizer wrote into the gradient"


@pytest.mark.parametrize("optimizer, options", WRAPPED)
def test_from_torch_resumes_and_stays_pure(optimizer: type, options: dict) -> None:
    game_optimizer = mm.ExtraGradient(mm.from_torch(optimizer, lr=0.01, **options))
    mm.testing.CHECKS["resume"](game_optimizer)
    mm.testing.CHECKS["purity"](game_optimizer)


@pytest.mark.parametrize(
    "rule",
    [
        mm.sgd(0.1),
        mm.rmsprop(0.1, alpha=0.7, eps=0.3),
        mm.adam(0.1, betas=(0.5, 0.6), eps=0.3),
        mm.adamw(0.1, betas=(0.5, 0.6), eps=0.3, weight_decay=0.0, amsgrad=True),
    ],
)
def test_the_metric_makes_the_move_of_the_mean_gradient(rule: mm.Rule, generator: torch.Generator) -> None:
    """d = -A m at every move, m being Adam's m / (1 - β₁ᵗ), without moments the gradient."""
    player, gradients = players_and_gradients(generator)
    memory = rule.init(player)
    for k, g in enumerate(gradients[:5]):
        d, memory = rule.move(player, g, memory, torch.tensor(k))
        A = rule.metric(memory, torch.tensor(k))
        mean = [m / (1 - 0.5 ** (k + 1)) for m in memory["m"]] if "m" in memory else g
        found = [-a * m for a, m in zip(A if isinstance(A, list) else [A] * len(g), mean, strict=True)]
        torch.testing.assert_close(found, d, rtol=1e-12, atol=1e-12)


def test_from_torch_says_where_it_cannot_run() -> None:
    rule = mm.from_torch(torch.optim.SGD, lr=0.1)
    move = lambda x: rule.move([x], [x], {"state": {}}, torch.tensor(0))[0][0]
    with pytest.raises(
        RuntimeError, match=r"from_torch cannot run under vmap or torch\.compile: use sgd, rmsprop or adam"
    ):
        torch.vmap(move)(torch.ones(3))


def test_from_torch_has_derivatives_but_not_of_everything() -> None:
    """In the player, the gradient and the memory; under grad inside vmap, or in the rate, it says no."""
    rule = mm.from_torch(torch.optim.SGD, lr=0.1, momentum=0.5, weight_decay=0.2)
    saved = {"state": {0: {"momentum_buffer": torch.tensor(3.0)}}}

    def move(z: torch.Tensor, g: torch.Tensor, v: torch.Tensor, lr: object = 0.1) -> torch.Tensor:
        memory = {"state": {0: {"momentum_buffer": v}}}
        own = mm.from_torch(torch.optim.SGD, lr=lr, **dict(rule.options))
        return own.move([z], [g], memory, torch.tensor(0))[0][0]

    point = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)
    slopes = torch.func.grad(move, argnums=(0, 1, 2))(*point)
    torch.testing.assert_close(torch.stack(slopes), torch.tensor([-0.02, -0.1, -0.05]))
    assert rule.move([point[0]], [point[1]], saved, torch.tensor(0))[0][0] == move(*point)
    with pytest.raises(RuntimeError, match=r"from_torch cannot run under vmap or torch\.compile"):
        torch.vmap(torch.func.grad(lambda z: move(z, *point[1:])))(torch.ones(3))
    with pytest.raises(RuntimeError, match="from_torch has no derivative in its learning rate: use sgd"):
        torch.func.grad(lambda lr: move(*point, lr))(torch.tensor(0.1))


def test_from_torch_is_a_value() -> None:
    rule = mm.from_torch(torch.optim.Adam, lr=0.1, betas=(0.5, 0.9))
    assert rule == mm.from_torch(torch.optim.Adam, betas=(0.5, 0.9), lr=0.1)
    assert hash(rule) == hash(mm.from_torch(torch.optim.Adam, lr=0.1, betas=(0.5, 0.9)))
    assert rule != mm.from_torch(torch.optim.Adam, lr=0.2, betas=(0.5, 0.9))


@pytest.mark.parametrize("kind", [mm.sgd, mm.rmsprop, mm.adam])
def test_rate_may_be_number_tensor_or_schedule(kind: type[mm.Rule], generator: torch.Generator) -> None:
    player, gradients = players_and_gradients(generator)
    expected = played(kind(0.1), player, gradients)
    for rate in (torch.tensor(0.1), lambda step: 0.1, lambda step: torch.tensor(0.1)):
        torch.testing.assert_close(played(kind(rate), player, gradients), expected, rtol=1e-13, atol=1e-13)


def test_schedule_follows_the_step() -> None:
    rule = mm.sgd(lambda step: 1.0 / (1 + step))
    ones = [torch.ones(2)]
    sizes = [rule.move(ones, ones, {}, torch.tensor(k))[0][0][0].item() for k in range(4)]
    assert sizes == pytest.approx([-1, -1 / 2, -1 / 3, -1 / 4])


def test_negative_momentum_by_hand() -> None:
    """z⁺ = z - h g + b (z - z₋)."""
    z, before, b, h = 1.0, 1.0, -0.4, 0.1
    player, rule = [torch.tensor(z)], mm.sgd(h, momentum=b)
    memory = rule.init(player)
    for k in range(20):
        d, memory = rule.move(player, [player[0] * 2], memory, torch.tensor(k))
        player = [player[0] + d[0]]
        z, before = z - h * 2 * z + b * (z - before), z
        assert player[0].item() == pytest.approx(z, abs=1e-14)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: mm.sgd(-0.1), r"lr must be a finite number >= 0, got -0\.1"),
        (lambda: mm.adam(lr=-1), "lr must be a finite number >= 0, got -1"),
        (lambda: mm.rmsprop(math.nan), "lr must be a finite number >= 0, got nan"),
        (lambda: mm.from_torch(torch.optim.Adam, lr=-1e-3), r"lr must be a finite number >= 0, got -0\.001"),
        (lambda: mm.sgd(0.1, weight_decay=-1), "weight_decay must be a finite number >= 0, got -1"),
        (lambda: mm.adam(0.1, eps=-1e-8), "eps must be a finite number >= 0, got -1e-08"),
        (lambda: mm.adam(0.1, betas=(0.9, 1.0)), r"betas\[1\] must be a finite number >= 0 and < 1, got 1\.0"),
        (lambda: mm.adam(0.1, betas=(-0.5, 0.9)), r"betas\[0\] must be a finite number >= 0 and < 1, got -0\.5"),
        (lambda: mm.rmsprop(0.1, alpha=1.5), r"alpha must be a finite number >= 0 and < 1, got 1\.5"),
    ],
)
def test_bad_numbers(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_adam_first_step_in_float32() -> None:
    """1 - 0.999 keeps few digits in float32; the first step is -lr all the same."""
    g = [torch.tensor([1e-3, 2.0], dtype=torch.float32)]
    rule = mm.adam(0.1)
    d, memory = rule.move(g, g, rule.init(g), torch.tensor(0))
    torch.testing.assert_close(d[0], torch.full((2,), -0.1, dtype=torch.float32), rtol=2e-5, atol=0)
    assert d[0].dtype == memory["m"][0].dtype == torch.float32
