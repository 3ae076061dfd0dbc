"""Functions recorded operator by operator."""

import gc
from weakref import ref

import pytest
import torch
from torch import Tensor

import minimax as mm
from minimax.recording import ReadsNumbers, Recording, Traced


def test_what_is_recorded_runs_on_other_numbers_without_the_function() -> None:
    calls = []

    def gradient(z: dict[str, Tensor], scale: Tensor) -> tuple[dict[str, Tensor], int]:
        calls.append(z)
        x = z["x"].detach().requires_grad_()
        with torch.enable_grad():
            y = (x.exp() * scale).sum() + torch.tensor(2.0)  # exp keeps its result for the way back
            (g,) = torch.autograd.grad(y, x)
        return {"x": g, "y": y.detach()}, 3

    one, two = ({"x": torch.randn(3), "unused": torch.ones(1)} for _ in range(2))
    recording = Recording(gradient, one, torch.tensor(2.0))
    (found, count), scale = recording(two, torch.tensor(5.0)), torch.tensor(5.0)
    assert len(calls) == 1 and count == 3
    torch.testing.assert_close(found["x"], scale * two["x"].exp(), rtol=0, atol=0)
    torch.testing.assert_close(found["y"], (scale * two["x"].exp()).sum() + 2, rtol=0, atol=0)


def test_one_tensor_in_two_places_may_be_two_the_next_time() -> None:
    x, y = torch.tensor(3.0), torch.tensor(5.0)
    assert Recording(torch.sub, x, x)(y, x) == 2


def test_constants_are_those_of_the_recording_and_may_be_written_to() -> None:
    weight = torch.tensor([2.0, 3.0])

    def counted(x: Tensor) -> Tensor:
        total = torch.tensor([1.0, 1.0])
        total.add_(weight * x)
        return total

    recording = Recording(counted, torch.ones(2))
    for _ in range(2):
        assert recording(torch.ones(2)).tolist() == [3.0, 4.0]


def test_a_constant_that_asks_for_a_gradient_leaves_no_graph_behind() -> None:
    layer, x = torch.nn.Linear(2, 2), torch.ones(2)
    assert not Recording(lambda x: layer(x).detach(), x)(x).requires_grad


def test_nothing_is_kept_of_what_a_step_computes() -> None:
    seen: list[ref[Tensor]] = []

    def middle(x: Tensor) -> Tensor:
        y = x.exp()
        seen.append(ref(y))
        z = y.sum()
        del y
        gc.collect()
        assert seen[-1]() is None
        return z

    Recording(middle, torch.ones(3))


@pytest.mark.parametrize("read", [bool, float, lambda x: x.expand(2).nonzero(), lambda x: torch.equal(x, x)])
def test_functions_that_read_numbers_are_refused(read: object) -> None:
    def function(x: Tensor) -> Tensor:
        read(x)  # type: ignore[operator]
        return x + 1

    with pytest.raises(ReadsNumbers, match=r"cannot read numbers off a tensor .* Keep them tensors"):
        Recording(function, torch.tensor(1.0))


def test_shapes_have_a_recording_each() -> None:
    calls = []

    def double(x: Tensor) -> Tensor:
        calls.append(x)
        return 2 * x

    traced = Traced(double)
    for size in (2, 3, 2, 3):
        assert traced(torch.ones(size)).tolist() == [2.0] * size
    assert len(calls) == 2


def test_a_recorded_step_goes_on_as_the_step_does(float64: torch.dtype) -> None:
    game, opt = mm.zero_sum(lambda x, y: (x * y).sum() + x.tanh().sum()), mm.Unrolled(mm.adam(0.1), steps=2)
    z = (torch.tensor([1.0, 2.0]), torch.tensor([0.5, -1.0]))
    state = opt.init(game, z)
    recording = Recording(lambda z, state: opt.step(game, z, state), z, state)
    eager, replayed = (z, state), (z, state)
    for _ in range(5):
        *eager, info = opt.step(game, *eager)
        *replayed, seen = recording(*replayed)
    assert all(torch.equal(a, b) for a, b in zip(eager[0], replayed[0], strict=True))
    assert seen.cost == info.cost and torch.equal(seen.norm, info.norm)
