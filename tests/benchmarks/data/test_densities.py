import numpy as np
import pytest
import torch

from benchmarks.data import Grid, Mixture, Ring, stream

DENSITIES = [Ring(), Grid()]


def test_ring_has_eight_distinct_modes_on_its_circle() -> None:
    means = Ring().means()
    distances = torch.pdist(means)
    assert means.shape == (8, 2)
    torch.testing.assert_close(means.norm(dim=1), torch.full((8,), 2.0))
    torch.testing.assert_close(distances.min(), torch.tensor(4 * np.sin(np.pi / 8)).float())


def test_grid_is_centred() -> None:
    means = Grid().means()
    assert means.shape == (25, 2)
    assert means.unique(dim=0).shape == (25, 2)
    assert means.mean(0).tolist() == [0, 0]
    assert (means.min().item(), means.max().item()) == (-4, 4)


@pytest.mark.parametrize(("density", "half"), [(Ring(), 2.4), (Grid(), 4.5)], ids=repr)
def test_a_density_integrates_to_one(density: Mixture, half: float) -> None:
    # Steps below every std: for smooth functions the rectangle rule is then exact to many digits.
    line = torch.linspace(-half, half, 301, dtype=torch.float64)
    x = torch.cartesian_prod(line, line)
    total = torch.cat([density.log_density(part).exp() for part in x.split(10_000)]).sum() * (2 * half / 300) ** 2
    assert total.item() == pytest.approx(1, abs=1e-3)


def test_a_ring_of_one_is_a_normal_density() -> None:
    x = torch.randn(20, 2, dtype=torch.float64)
    normal = torch.distributions.Normal(torch.tensor([1.5, 0.0], dtype=torch.float64), 0.7)
    torch.testing.assert_close(Ring(1, 1.5, 0.7).log_density(x), normal.log_prob(x).sum(1))


@pytest.mark.parametrize("density", DENSITIES, ids=repr)
def test_samples_follow_their_density(density: Mixture) -> None:
    """The mean of log p over samples of p is minus the entropy: modes this far apart add log K to a Gaussian's."""
    found = density.log_density(density.sample(stream(0), 5_000).double()).mean().item()
    entropy = np.log(len(density.means())) + np.log(2 * np.pi * np.e * density.std**2)
    assert found == pytest.approx(-entropy, abs=0.05)


@pytest.mark.parametrize("density", DENSITIES, ids=repr)
def test_a_draw_is_a_function_of_seed_and_draw(density: Mixture) -> None:
    torch.rand(1)  # the global generator must not matter
    one, two = (density.sample(stream(3, 7), 50) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, density.sample(stream(3, 8), 50))
    assert not torch.equal(one, density.sample(stream(4, 7), 50))


def test_streams_do_not_overlap_along_diagonals() -> None:
    seeds = {stream(seed, draw).initial_seed() for seed in range(30) for draw in range(30)}
    assert len(seeds) == 900
