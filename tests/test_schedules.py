"""Schedules against torch's own loops, compiled and under vmap; and what they refuse."""

import dataclasses
import math

import pytest
import torch
from torch.optim import lr_scheduler

import minimax as mm
from minimax import rules, schedules
from minimax.optimizers import BY_NAME

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


# ------------------------------------------------------- every hyperparameter there is: whatever is annotated as one


def noise(batch: dict) -> tuple:
    return batch["noise"]


COMPOSED = {
    "clipped by norm": rules.clipped(mm.adam(0.05), norm=0.5),
    "clipped by value": rules.clipped(mm.adam(0.05), value=0.5),
    "sgld": rules.sgld(0.05, noise),
    "sghmc": rules.sghmc(0.05, noise),
    "torch's": mm.from_torch(torch.optim.SGD, lr=0.05, momentum=0.5),
}
RULES = {name: kind(0.05) for name, kind in rules.BY_RATE.items()} | COMPOSED
MATRICES = ("muon",)
OPTIMIZERS = {name: kind.of(mm.sgd(0.05)) for name, kind in BY_NAME.items()} | {
    "k-beam": mm.KBeam(mm.sgd(0.05), spread=1.0),
}
PAIRS = {  # two values of a hyperparameter, where (0.2, 0.4) would be none or make no difference
    "lr": (0.05, 0.02),
    "eps": (1e-3, 0.1),
    "betas": ((0.4, 0.8), (0.7, 0.9)),
    "regularization": (1e-3, 0.1),
    "rho": (-0.1, -0.05),
    "epsilon": (0.01, 1.0),
    "sga: eps": (0.1, -1e3),
    "sos: a": (0.01, 0.99),
    "sos: b": (0.01, 0.99),
    "fast-optimistic: alpha": (3.0, 9.0),
    "cesp: rho": (5.0, 10.0),
    "halpern: gamma": (1.1, 2.0),
}


def scheduled(part: object) -> list[str]:
    return [field.name for field in dataclasses.fields(part) if "Hyperparameter" in str(field.type)]


def with_value(part, name: str, value: object):
    if isinstance(part, mm.from_torch):
        return mm.from_torch(part.optimizer, **{"lr": part.lr, **dict(part.options), name: value})
    return dataclasses.replace(part, **{name: value})


def spread(make, value: object) -> object:
    """Betas are two numbers, each of which may be a schedule."""
    return tuple(map(make, value)) if isinstance(value, tuple) else make(value)


def stream(k: int) -> dict:
    draw = torch.Generator().manual_seed(k)
    return {"x": torch.rand(4, generator=draw), "noise": torch.randn(2, generator=draw)}


def loss(x: torch.Tensor, y: torch.Tensor, batch: dict) -> torch.Tensor:
    b, x, y = batch["x"].mean(), x.reshape(-1), y.reshape(-1)
    return b * (x**2).sum() + 2 * x.sin() @ y - (y**2).sum() + (x @ y) ** 3 / 5


def tandem(x: torch.Tensor, y: torch.Tensor, batch: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """Where shaping turns against the descent, as it does not in a zero-sum game."""
    both = (x + y).square().sum()
    return both - 2 * x.sum(), both - 2 * y.sum()


def hilly(x: torch.Tensor, y: torch.Tensor, batch: dict) -> torch.Tensor:
    """Where players find negative curvature in their own losses."""
    return loss(x, y, batch) - 3 * x.square().sum()


GAMES = {mm.SOS: mm.Game(tandem), mm.CurvatureExploitation: mm.zero_sum(hilly)}


def run(optimizer: mm.GameOptimizer, first: int, last: int, z: object, state: object = None) -> tuple:
    game = GAMES.get(type(optimizer), mm.zero_sum(loss))
    state = optimizer.init(game, z) if state is None else state
    for k in range(first, last):
        batches = [stream(100 * k + j) for j in range(optimizer.draws)]
        z, state, _ = optimizer.step(game, z, state, batches if len(batches) > 1 else batches[0])
    return z, state


OF_RULES = [(name, field) for name, rule in RULES.items() for field in scheduled(rule)]
OF_RULES = [case for case in OF_RULES if getattr(RULES[case[0]], case[1]) is not None] + [("torch's", "momentum")]
OF_OPTIMIZERS = [(name, field) for name, optimizer in OPTIMIZERS.items() for field in scheduled(optimizer)]


@pytest.mark.parametrize("name, field", OF_RULES + OF_OPTIMIZERS)
def test_every_hyperparameter_may_be_a_schedule(name: str, field: str) -> None:
    """A constant one is the number, as a tensor is; one that changes at step 3 changes the play there, not before."""
    before, after = PAIRS.get(f"{name}: {field}", PAIRS.get(field, (0.2, 0.4)))

    def make(value: object) -> mm.GameOptimizer:
        if name in RULES:
            return mm.ExtraGradient(with_value(RULES[name], field, value))
        return with_value(OPTIMIZERS[name], field, value)

    start = tuple(torch.tensor(point).softmax(-1) for point in ((0.3, -0.7), (0.5, 1.0)))
    start = tuple(z[:, None] for z in start) if name in MATRICES else start
    early, late = make(before), make(after)
    usual = run(early, 0, 6, start)
    constants = [lambda number: lambda step: number, lambda number: lambda step: torch.tensor(number)]
    constants += [torch.tensor] * (name != "torch's")
    for constant in constants:
        found = run(make(spread(constant, before)), 0, 6, start)
        torch.testing.assert_close(found, usual, rtol=1e-12, atol=1e-12)

    def switched(pair: tuple[float, float]):
        return lambda step: torch.where(step < 3, *map(torch.tensor, pair))

    betas = isinstance(before, tuple)
    schedule = tuple(map(switched, zip(before, after, strict=True))) if betas else switched((before, after))
    found = run(make(schedule), 0, 6, start)
    torch.testing.assert_close(found, run(late, 3, 6, *run(early, 0, 3, start)), rtol=1e-12, atol=1e-12)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(found, usual, rtol=1e-9, atol=1e-9)


RESTARTS = {"sufficient", "necessary", "artificial"}


def test_what_is_no_hyperparameter_is_a_setting() -> None:
    """Where a run starts, when a solver stops, the constants of an inertia: all other numbers may follow the step."""
    fields = [(kind.name, field) for kind in BY_NAME.values() for field in dataclasses.fields(kind)]
    plain = {(name, field.name) for name, field in fields if str(field.type) in ("float", "float | None")}
    assert {field for _, field in plain} <= {
        "tolerance",
        "stagnation",
        "spread",
        "longest",
        "phi",
        "variable",
        "power",
    } | RESTARTS


def test_every_rule_has_been_asked() -> None:
    """So that a new rule's hyperparameters are not forgotten."""
    none = {rules.split, rules.regret_matching, rules.Rated, rules.Rule}  # they have no hyperparameters
    known = {type(rule) for rule in RULES.values()} | none
    assert known == {kind for kind in vars(rules).values() if isinstance(kind, type) and issubclass(kind, rules.Rule)}


def test_the_decay_of_an_average_may_be_a_schedule() -> None:
    """A warm-up, asked with the step that is averaged; saved and gone on with at the right place."""
    warm = lambda step: torch.where(step < 3, (step + 1) / (step + 10), 0.9)

    def trainer() -> mm.Trainer:
        net = torch.nn.Linear(1, 1)
        with torch.no_grad():
            net.weight.fill_(1.0), net.bias.fill_(2.0)
        game = mm.Game(lambda net: net(torch.ones(1)).square().sum())
        return mm.bind(game, (net,), mm.SimultaneousGDA(mm.sgd(0.05)), ema=warm)

    straight, mean = trainer(), 1.0
    for k in range(6):
        straight.step()
        β = (k + 1) / (k + 10) if k < 3 else 0.9
        mean = β * mean + (1 - β) * straight.modules[0].weight.item()
    assert straight.averaged()[0].weight.item() == pytest.approx(mean, rel=1e-12)
    first, second = trainer(), trainer()
    first.step(), first.step()
    second.load_state_dict(first.state_dict())
    for _ in range(4):
        second.step()
    assert second.averaged()[0].weight.item() == straight.averaged()[0].weight.item()
    with pytest.raises(ValueError, match="the decay is a schedule: say which step it was"):
        mm.EMA((torch.ones(1),), warm).update((torch.ones(1),))
    with pytest.raises(ValueError, match="decay must be one number for all players, got a tensor of shape"):
        mm.EMA((torch.ones(1),), torch.tensor([0.5, 0.9]))


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
