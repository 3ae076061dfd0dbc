import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

import minimax as mm
from benchmarks import exchange, problems


def test_the_operations_of_matrix_products_are_counted_exactly():
    """Quadratic losses of one layer: forward and backward are known products."""
    n, m, size = 64, 32, 50
    layer = nn.Linear(n, m, bias=False)
    x = torch.randn(size, n)
    game, players = mm.Game(lambda f, batch: f(batch).square().mean()).functional((layer,))
    one = 2 * size * n * m
    # x is no player: a gradient is the product forward and one back, a product with DF the same two once more.
    assert exchange.measure(game, players, x) == exchange.Rate(1.0, measured=True)
    oracle, z = game.enter(players)
    assert exchange.operations(lambda: oracle.field(z, x)) == 2 * one


def test_a_game_of_a_few_numbers_has_the_rate_of_theory():
    game = mm.zero_sum(lambda x, y: x * y)
    assert exchange.measure(game, (torch.ones(()), torch.ones(())), None) == exchange.theory(2) == exchange.Rate(4.0)


@pytest.mark.parametrize("name", ["ring8", "ring8-plain"])
def test_networks_come_near_to_theory_penalties_or_not(name):
    """Two gradients of each player, less what needs no second pass (the input of the first layer, say)."""
    problem = problems.discover()[name].kind("smoke")
    game, players = problem.game().functional(problem.players(0))
    rate = exchange.measure(game, players, problem.batch(0, 0))
    assert rate.measured and 3 < rate.product <= 4.5


def test_a_cost_in_gradients():
    assert exchange.Rate(3.8).units(mm.Cost(gradients=2, hvps=1)) == pytest.approx(5.8)


def test_a_game_without_second_derivatives_has_the_rate_of_theory():
    """Fused attention has none, and first-order methods play it."""
    q = torch.randn(4, 8, 64, 32)

    def loss(f, batch):
        return scaled_dot_product_attention(batch @ f.weight, batch, batch).square().mean()

    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        game, players = mm.Game(loss).functional((nn.Linear(32, 32, bias=False),))
        assert exchange.measure(game, players, q) == exchange.theory(1)
