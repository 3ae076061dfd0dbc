"""Schedules against torch's own loops, compiled and under vmap; and what they refuse."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

import minimax as mm
from minimax import schedules

pytestmark = pytest.mark.usefixtures("float64")

STEPS = 12
CYCLES = {
    "one cycle": (lr_scheduler.OneCycleLR, {"max_lr": 0.1, "total_steps": STEPS}),
    "one cycle, linear": (
        lr_scheduler.OneCycleLR,
        {"max_lr": 0.1, "total_steps": STEPS, "anneal_strategy": "linear", "base_momentum": 0.5, "max_momentum": 0.9},
    ),
    "cyclic": (lr_scheduler.CyclicLR, {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 3}),
}
LOSS = lambda x: (x.sin().square() + 0.1 * (x - 1) ** 4).sum()
START = torch.tensor([0.3, -0.7, 2.0], dtype=torch.float64)


def loop(kind: type, scheduler: type, options: dict, **more: object) -> torch.Tensor:
    """Torch's own: an optimizer and its scheduler."""
    x = START.clone().requires_grad_()
    optimizer = kind([x], lr=0.05, **more)
    follow = scheduler(optimizer, **options)
    for k in range(STEPS):
        optimizer.zero_grad()
        LOSS(x).backward()
        optimizer.step()
        if k < STEPS - 1:
            follow.step()
    return x.detach()


def played(optimizer: mm.GameOptimizer) -> torch.Tensor:
    game, z = mm.Game(LOSS), (START,)
    state = optimizer.init(game, z)
    for _ in range(STEPS):
        z, state, _ = optimizer.step(game, z, state)
    return z[0]


def rule_of(kind: type, wrapped: bool, lr: object, momentum: object) -> mm.Rule:
    if kind is torch.optim.SGD:
        return mm.from_torch(kind, lr=lr, momentum=momentum) if wrapped else mm.sgd(lr, momentum=momentum)
    betas = (momentum, 0.99)
    return mm.from_torch(kind, lr=lr, betas=betas) if wrapped else mm.adam(lr, betas=betas)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("name", CYCLES)
def test_cycles_move_rate_and_momentum_as_torch_does(name: str, kind: type, wrapped: bool) -> None:
    scheduler, options = CYCLES[name]
    own = {"momentum": 0.9} if kind is torch.optim.SGD else {"betas": (0.9, 0.99)}
    lr, momentum = schedules.cycle_from_torch(scheduler, 0.05, STEPS, **options)
    found = played(mm.SimultaneousGDA(rule_of(kind, wrapped, lr, momentum)))
    torch.testing.assert_close(found, loop(kind, scheduler, options, **own), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CYCLES)
def test_a_momentum_is_not_dropped(name: str) -> None:
    scheduler, options = CYCLES[name]
    with pytest.raises(
        ValueError, match=r"moves the momentum with the rate: take lr, momentum = schedules\.cycle_from"
    ):
        schedules.from_torch(scheduler, 0.05, STEPS, **options)
    lr = schedules.from_torch(scheduler, 0.05, STEPS, **options, cycle_momentum=False)
    expected = loop(torch.optim.SGD, scheduler, options | {"cycle_momentum": False}, momentum=0.9)
    found = played(mm.SimultaneousGDA(mm.sgd(lr, momentum=0.9)))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", [mm.sgd, mm.adam, mm.rmsprop])
def test_linear_decay_is_the_loop_with_lambda_lr(rule: type) -> None:
    """In double precision: CycleGAN's schedule, say, is equal to rounding."""
    kind = {mm.sgd: torch.optim.SGD, mm.adam: torch.optim.Adam, mm.rmsprop: torch.optim.RMSprop}[rule]
    expected = loop(kind, lr_scheduler.LambdaLR, {"lr_lambda": lambda k: 1 - min(k / 7, 1)})
    for schedule in (
        schedules.linear(0.05, 0.0, 7),
        schedules.from_torch(lr_scheduler.LambdaLR, 0.05, STEPS, lr_lambda=lambda k: 1 - min(k / 7, 1)),
    ):
        torch.testing.assert_close(played(mm.SimultaneousGDA(rule(schedule))), expected, rtol=1e-12, atol=1e-12)
    cosine = loop(kind, lr_scheduler.LambdaLR, {"lr_lambda": lambda k: (1 + math.cos(math.pi * min(k / 7, 1))) / 2})
    found = played(mm.SimultaneousGDA(rule(schedules.cosine(0.05, 0.0, 7))))
    torch.testing.assert_close(found, cosine, rtol=1e-12, atol=1e-12)


VALUES = {"lr": 0.03, "momentum": 0.6, "weight_decay": 0.2, "alpha": 0.7, "eps": 1e-3, "betas": (0.4, 0.8)}
FIELDS = [
    (mm.sgd, "lr"),
    (mm.sgd, "momentum"),
    (mm.sgd, "weight_decay"),
    (mm.rmsprop, "alpha"),
    (mm.rmsprop, "eps"),
    (mm.adam, "betas"),
    (mm.adam, "eps"),
    (mm.adam, "weight_decay"),
]


@pytest.mark.parametrize("kind, name", FIELDS)
def test_every_number_of_a_rule_may_be_a_schedule_or_a_tensor(kind: type[mm.Rule], name: str) -> None:
    value, asked = VALUES[name], set()

    def constant(number: float):
        def schedule(step: torch.Tensor) -> float:
            asked.add(int(step))
            return number

        return schedule

    spread = lambda make: tuple(map(make, value)) if isinstance(value, tuple) else make(value)
    options = {"lr": 0.05}
    expected = played(mm.ExtraGradient(kind(**options | {name: value})))
    tensor = spread(lambda number: torch.tensor(number, dtype=torch.float64))
    for given in (spread(constant), tensor):
        found = played(mm.ExtraGradient(kind(**options | {name: given})))
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    assert asked == set(range(STEPS))


@pytest.mark.parametrize("make", [mm.sgd, lambda lr: mm.adam(lr, betas=(lr, 0.9))])
def test_tables_compile(make) -> None:
    table = schedules.from_torch(lr_scheduler.StepLR, 0.1, 3, step_size=1, gamma=0.5)
    optimizer, game, z = mm.SimultaneousGDA(make(table)), mm.Game(LOSS), (START,)
    torch._dynamo.reset()
    step = torch.compile(lambda z, s: optimizer.step(game, z, s)[:2], fullgraph=True, backend="eager")
    state = optimizer.init(game, z)
    for _ in range(STEPS):
        z, state = step(z, state)
    torch.testing.assert_close(z[0], played(optimizer), rtol=1e-12, atol=1e-12)


def test_tables_under_vmap_equal_and_print() -> None:
    make = lambda: schedules.from_torch(lr_scheduler.StepLR, 0.5, 3, step_size=1, gamma=0.5)
    assert make() == make() and hash(make()) == hash(make())
    assert repr(make()) == "_Table(values=(0.5, 0.25, 0.125))"
    assert torch.vmap(make())(torch.arange(4)).tolist() == [0.5, 0.25, 0.125, 0.125]


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: schedules.linear("a", 0.0, 3), ValueError, "start must be a finite number, got 'a'"),
        (lambda: schedules.linear(1.0, math.nan, 3), ValueError, "end must be a finite number, got nan"),
        (lambda: schedules.cosine(1.0, 0.0, 0), ValueError, "steps must be an integer >= 1, got 0"),
        (lambda: schedules.cosine(1.0, 0.0, 1e3), ValueError, r"steps must be an integer >= 1, got 1000\.0"),
        (lambda: schedules.from_torch(3, 0.1, 2), TypeError, "scheduler must be a class such as"),
        (lambda: schedules.from_torch(lr_scheduler.StepLR, [0.1], 2, step_size=1), ValueError, "lr must be a finite"),
        (lambda: schedules.from_torch(lr_scheduler.StepLR, 0.1, 2.5, step_size=1), ValueError, "steps must be an int"),
        (
            lambda: schedules.from_torch(lr_scheduler.ReduceLROnPlateau, 0.1, 2),
            ValueError,
            "scheduler must follow the steps alone, got ReduceLROnPlateau",
        ),
    ],
)
def test_bad_schedules(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
