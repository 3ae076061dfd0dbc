"""Muon's moves have the gradient's singular vectors; in torch's bfloat16 they are torch.optim.Muon's."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import minimax as mm
from minimax.rules import muon, split
from tests.rules.play import players_and_gradients, stepped

pytestmark = pytest.mark.usefixtures("float64")


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 10**6))
def test_singular_values_follow_the_polynomial(rows: int, columns: int, seed: int) -> None:
    G = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    U, s, Vh = torch.linalg.svd(G, full_matrices=False)
    s = s / s.norm()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    expected = -0.1 * max(1, rows / columns) ** 0.5 * (U * s) @ Vh
    rule, z = muon(0.1, momentum=0.0, weight_decay=0.0), [torch.zeros_like(G)]
    d = rule.move(z, [G], rule.init(z), torch.tensor(0))[0][0]
    torch.testing.assert_close(d, expected, rtol=1e-10, atol=1e-12)


def test_momentum_and_decay_by_hand() -> None:
    """On multiples of one orthogonal matrix O(v) = φ(v) Q, with φ known from one move."""
    Q, h, b, w = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), 0.1, 0.9, 0.5
    sizes = [1.0, -3.0, 0.5]
    plain = muon(h, momentum=0.0, weight_decay=0.0)
    (unit,) = plain.move([0 * Q], [Q], plain.init([Q]), torch.tensor(0))[0]
    for nesterov in (False, True):
        rule, z, v, expected = muon(h, b, nesterov, w), [2 * Q], 0.0, 2 * Q
        memory = rule.init(z)
        for k, size in enumerate(sizes):
            v = b * v + (1 - b) * size
            ahead = (1 - b) * size + b * v if nesterov else v
            d, memory = rule.move(z, [size * Q], memory, torch.tensor(k))
            expected = expected + (1 if ahead > 0 else -1) * unit - h * w * expected
            z = [z[0] + d[0]]
            torch.testing.assert_close(z[0], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.5, "nesterov": False, "weight_decay": 0.0}])
def test_it_is_torchs_up_to_bfloat16(options: dict[str, Any], generator: torch.Generator) -> None:
    shapes = [(3, 2), (4, 4), (2, 5)]
    player, *gradients = ([torch.randn(shape, generator=generator) for shape in shapes] for _ in range(9))
    expected = stepped(torch.optim.Muon, {"lr": 0.02, **options}, player, gradients)
    rule, found = muon(0.02, **options), player
    memory = rule.init(found)
    for k, g in enumerate(gradients):
        d, memory = rule.move(found, g, memory, torch.tensor(k))
        found = [z + move for z, move in zip(found, d, strict=True)]
    torch.testing.assert_close(found, expected, rtol=0, atol=8 * 0.02 * 2**-6)  # a few bits of 8 moves


@pytest.mark.parametrize("wrapped", [False, True])
def test_matrices_by_muon_and_the_rest_by_adam(wrapped: bool, generator: torch.Generator) -> None:
    """Also torch's own."""
    player, gradients = players_and_gradients(generator)
    first = mm.from_torch(torch.optim.Muon, lr=0.02) if wrapped else muon(0.02)
    rule = split(lambda name, shape: len(shape) >= 2, first, mm.adam(0.1))
    memory, found = rule.init(player, ["weight", "bias", "scale"]), player
    for k, g in enumerate(gradients[:3]):
        d, memory = rule.move(found, g, memory, torch.tensor(k))
        found = [z + move for z, move in zip(found, d, strict=True)]
    rest = stepped(torch.optim.Adam, {"lr": 0.1}, player[1:], [g[1:] for g in gradients[:3]])
    matrix = stepped(torch.optim.Muon, {"lr": 0.02}, player[:1], [g[:1] for g in gradients[:3]])
    torch.testing.assert_close(found[1:], rest, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found[:1], matrix, rtol=0, atol=1e-12 if wrapped else 3 * 0.02 * 2**-6)


def test_kernels_are_matrices_of_their_first_dimension(generator: torch.Generator) -> None:
    kernel, rule = torch.randn(4, 3, 2, 2, generator=generator), muon(0.1)
    (d,) = rule.move([kernel], [kernel], rule.init([kernel]), torch.tensor(0))[0]
    flat = [kernel.reshape(4, 12)]
    (expected,) = rule.move(flat, flat, rule.init(flat), torch.tensor(0))[0]
    torch.testing.assert_close(d, expected.reshape(4, 3, 2, 2))


@pytest.mark.parametrize("check", mm.testing.CHECKS)
def test_contract(check: str) -> None:
    rule = split(lambda name, shape: len(shape) >= 2, muon(0.01), mm.adam(0.01))
    mm.testing.CHECKS[check](mm.ExtraGradient(rule))


def test_what_cannot_be() -> None:
    def loss(x: Tensor) -> Tensor:
        return x @ x

    with pytest.raises(mm.GameError, match=r"muon moves matrices, got a leaf of shape \(3,\): split\(lambda"):
        mm.SimultaneousGDA(muon(0.1)).init(mm.Game(loss), (torch.ones(3),))
    with pytest.raises(ValueError, match="KBeam moves candidates as one player, which muon mixes"):
        mm.KBeam(muon(0.1))
    with pytest.raises(ValueError, match=r"momentum must be a finite number >= 0 and < 1, got 1\.0"):
        muon(0.1, momentum=1.0)
