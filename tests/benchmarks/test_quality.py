import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from benchmarks import data
from benchmarks.data import Gaussian, Ring, stream
from benchmarks.quality import features, labels, metrics, modes, stability
from benchmarks.quality.stability import Path as Track

DIRECTIONS = st.integers(0, 10_000)  # a seed that hypothesis can shrink


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=stream(seed), dtype=torch.float64)


def whiten(x: Tensor) -> Tensor:
    """Give a sample exactly mean 0 and covariance I."""
    x = x - x.mean(0)
    inverse: Tensor = torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)))
    return x @ inverse.T


# --- Frechet distance -----------------------------------------------------------------------------------------------


def test_fd_of_gaussians_that_commute_has_a_closed_form() -> None:
    """With covariances diag(a^2), diag(b^2): |m|^2 + sum (a - b)^2."""
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    a, b = (torch.tensor(s, dtype=torch.float64) for s in ([1.0, 2.0, 0.1], [3.0, 0.5, 0.1]))
    x, y = whiten(randn(50, 3)) * a, whiten(randn(50, 3, seed=1)) * b + mean
    assert metrics.fd(x, y) == pytest.approx(float(mean.square().sum() + (a - b).square().sum()), rel=1e-10)


def test_fd_of_gaussians_that_do_not_commute() -> None:
    """Against tr sqrt(S1 S2) from the eigenvalues of the plain, nonsymmetric product."""
    one, two = randn(4, 4), randn(4, 4, seed=1)
    x, y = whiten(randn(50, 4)) @ one, whiten(randn(50, 4, seed=1)) @ two
    s, t = one.T @ one, two.T @ two
    cross = torch.linalg.eigvals(s @ t).sqrt().real.sum()
    assert metrics.fd(x, y) == pytest.approx(float(s.trace() + t.trace() - 2 * cross), rel=1e-9)


@given(DIRECTIONS)
def test_fd_is_a_symmetric_distance_without_a_direction(seed: int) -> None:
    x, y = randn(40, 3, seed=seed), 2 * randn(40, 3, seed=seed + 1) + 1
    turn = torch.linalg.qr(randn(3, 3, seed=seed + 2)).Q
    d = metrics.fd(x, y)
    assert d > 0
    assert metrics.fd(x, x) == pytest.approx(0, abs=1e-9)
    assert metrics.fd(y, x) == pytest.approx(d)
    assert metrics.fd(x @ turn + 5, y @ turn + 5) == pytest.approx(d)
    assert metrics.fd(3 * x, 3 * y) == pytest.approx(9 * d)


def test_fd_survives_constant_features_and_one_dimension() -> None:
    x = randn(30, 3) * torch.tensor([1.0, 0.0, 0.0])
    assert metrics.fd(x, x + 2) == pytest.approx(12)
    assert metrics.fd(randn(30, 1), randn(30, 1) + 2) == pytest.approx(4)


def test_fd_refuses_unequal_and_small_samples() -> None:
    with pytest.raises(ValueError, match="equal sizes, not 40 and 41"):
        metrics.fd(randn(40, 3), randn(41, 3))
    with pytest.raises(ValueError, match="fd in 20 dimensions needs at least 40 samples, not 39"):
        metrics.fd(randn(39, 20), randn(39, 20))
    with pytest.raises(ValueError, match="3 and 4 dimensions"):
        metrics.fd(randn(40, 3), randn(40, 4))


# --- kernel distance ------------------------------------------------------------------------------------------------


def test_kid_equals_its_double_sum() -> None:
    x, y = randn(5, 3), randn(4, 3, seed=1) + 0.5

    def k(a: Tensor, b: Tensor) -> float:
        return float((a @ b / 3 + 1) ** 3)

    xx = np.mean([k(x[i], x[j]) for i in range(5) for j in range(5) if i != j])
    yy = np.mean([k(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
    xy = np.mean([k(a, b) for a in x for b in y])
    assert metrics.kid(x, y) == pytest.approx(xx + yy - 2 * xy)


def test_kid_is_unbiased_even_on_tiny_samples() -> None:
    same = np.array([metrics.kid(randn(8, 2, seed=2 * k), randn(8, 2, seed=2 * k + 1)) for k in range(2000)])
    assert abs(same.mean()) < 4 * same.std() / math.sqrt(len(same))
    assert (same < 0).mean() > 0.2  # the biased estimate is never negative


def test_kid_has_the_value_of_the_population() -> None:
    """In 1-D, N(0, 1) against N(m, 1): the features of (xy + 1)^3 are 1, sqrt3 x, sqrt3 x^2, x^3."""
    m = 1.0
    gaps = [0, math.sqrt(3) * m, math.sqrt(3) * m**2, m**3 + 3 * m]
    expected = sum(gap**2 for gap in gaps)
    found = [metrics.kid(randn(300, 1, seed=2 * k), randn(300, 1, seed=2 * k + 1) + m) for k in range(100)]
    assert np.mean(found) == pytest.approx(expected, abs=0.4 * float(np.std(found)))
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


# --- precision, recall, density, coverage ---------------------------------------------------------------------------


def brute_prdc(x: list[list[float]], y: list[list[float]], k: int) -> dict[str, float]:
    def radius(points: list[list[float]], i: int) -> float:
        return sorted(math.dist(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]

    rx, ry = ([radius(points, i) for i in range(len(points))] for points in (x, y))
    inside = [[math.dist(a, b) < r for b in y] for a, r in zip(x, rx, strict=True)]
    return {
        "precision": sum(any(row[j] for row in inside) for j in range(len(y))) / len(y),
        "recall": sum(any(math.dist(a, b) < r for b, r in zip(y, ry, strict=True)) for a in x) / len(x),
        "density": sum(map(sum, inside)) / (k * len(y)),
        "coverage": sum(map(any, inside)) / len(x),
    }


@given(DIRECTIONS, st.integers(1, 5), st.integers(6, 15), st.integers(6, 15), st.floats(0, 2))
def test_prdc_equals_a_loop(seed: int, k: int, n: int, m: int, shift: float) -> None:
    x, y = randn(n, 2, seed=seed), randn(m, 2, seed=seed + 1) + shift
    assert metrics.prdc(x, y, k) == pytest.approx(brute_prdc(x.tolist(), y.tolist(), k))


def test_prdc_on_a_set_made_by_hand() -> None:
    """Real 0, 1, 3, 7 with radii 1, 1, 2, 4 for k=1; generated 0.5 and 100 with radius 99.5 each."""
    x, y = (torch.tensor(v)[:, None] for v in ([0.0, 1.0, 3.0, 7.0], [0.5, 100.0]))
    expected = {"precision": 1 / 2, "recall": 1.0, "density": 2 / 2, "coverage": 2 / 4}
    assert metrics.prdc(x, y, k=1) == pytest.approx(expected)


def test_prdc_tells_collapse_from_invention() -> None:
    x = torch.cat((randn(100, 2), randn(100, 2, seed=1) + 50))
    collapsed = metrics.prdc(x, randn(200, 2, seed=2))
    invented = metrics.prdc(randn(200, 2, seed=2), torch.cat((randn(100, 2), randn(100, 2, seed=1) + 50)))
    assert collapsed["precision"] > 0.9 > 0.6 > collapsed["recall"]
    assert invented["recall"] > 0.9 > 0.6 > invented["precision"]
    same = metrics.prdc(x, x.clone())
    # An open ball holds its centre and the k - 1 nearest, but not the k-th.
    assert same == pytest.approx({"precision": 1, "recall": 1, "density": 1, "coverage": 1})


def test_prdc_refuses_too_few() -> None:
    with pytest.raises(ValueError, match="k=5 needs more than 5 samples on each side, not 20 and 5"):
        metrics.prdc(randn(20, 2), randn(5, 2))


# --- the other scores -----------------------------------------------------------------------------------------------


def test_classifier_score_by_hand() -> None:
    p = torch.tensor([[0.9, 0.1], [0.3, 0.7]])
    kl = [0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4), 0.3 * math.log(0.3 / 0.6) + 0.7 * math.log(0.7 / 0.4)]
    assert metrics.classifier_score(p) == pytest.approx(math.exp(sum(kl) / 2))


def test_sliced_w2_in_one_dimension_and_under_translation() -> None:
    x, y = torch.tensor([[0.0], [3.0], [1.0]]), torch.tensor([[5.0], [1.0], [0.0]])
    assert metrics.sliced_w2(x, y) == pytest.approx(math.sqrt(4 / 3))  # 0-0, 1-1, 3-5
    x, shift = randn(50, 6), randn(6, seed=1)
    # A direction sees (direction . shift)^2, whose mean is |shift|^2 / d.
    found = metrics.sliced_w2(x, x + shift, projections=20_000)
    assert found == pytest.approx(float(shift.norm()) / math.sqrt(6), rel=0.02)
    assert metrics.sliced_w2(x, x[torch.randperm(50)]) == pytest.approx(0, abs=1e-12)
    assert metrics.sliced_w2(x, x + shift) == metrics.sliced_w2(x, x + shift)
    with pytest.raises(ValueError, match="equal sizes, not 50 and 49"):
        metrics.sliced_w2(x, x[1:])


def test_samples_that_are_not_finite_score_nan() -> None:
    x = randn(40, 2)
    y = x.clone()
    y[3, 1] = math.inf
    scores = metrics.report(x, y, "f")
    assert set(scores) == {f"{s}/f" for s in ("fd", "kid", "precision", "recall", "density", "coverage", "sliced_w2")}
    assert all(math.isnan(value) for value in scores.values())


def test_the_report_leaves_fd_out_of_small_samples() -> None:
    p = torch.full((30, 4), 0.25)
    scores = metrics.report(randn(30, 16), randn(30, 16, seed=1), "digits64", p)
    assert "fd/digits64" not in scores
    assert scores["classifier_score/digits64"] == pytest.approx(1)


# --- modes ----------------------------------------------------------------------------------------------------------


def test_a_perfect_ring() -> None:
    scores = modes.report(Ring().sample(stream(0), 20_000), Ring())
    assert (scores["modes"], scores["fair_modes"]) == (8, 8)
    assert scores["share"] == pytest.approx(1 - math.exp(-4.5), abs=0.004)
    # N samples of K even modes have E[KL] = (K - 1) / 2N, and a quarter of that in JSD.
    assert 0 < scores["reverse_kl"] < 5 * 7 / 40_000
    assert scores["mode_jsd"] == pytest.approx(scores["reverse_kl"] / 4, rel=0.05)


def test_a_ring_that_lost_one_mode() -> None:
    samples = Ring().means()[:7].repeat(10, 1)
    scores = modes.report(samples, Ring())
    assert (scores["modes"], scores["fair_modes"], scores["share"]) == (7, 7, 1)
    assert scores["reverse_kl"] == pytest.approx(math.log(8 / 7))
    assert scores["mode_jsd"] == pytest.approx(0.0454, abs=5e-5)


def test_hits_end_at_three_deviations_and_fairness_at_a_fifth() -> None:
    means = Ring().means()
    step = torch.tensor([0.02, 0.0])
    assert modes.hits(means + 2.99 * step, means, 0.02).tolist() == [1] * 8
    assert modes.hits(means + 3.01 * step, means, 0.02).tolist() == [0] * 8
    # 800 samples: a fair share is 100, a fifth of it 20.
    counts = torch.tensor([20, 19, 1, 0, 190, 190, 190, 190])
    scores = modes.report(means.repeat_interleave(counts, dim=0), Ring())
    assert (scores["modes"], scores["fair_modes"]) == (7, 5)
    q = counts.double() / 800
    expected = sum(float(p * (p * 8).log()) for p in q if p > 0)
    assert scores["reverse_kl"] == pytest.approx(expected)


def test_a_diverged_sample_hits_nothing() -> None:
    samples = Ring().means()
    samples[2] = math.nan
    scores = modes.report(samples, Ring())
    assert (scores["modes"], scores["share"]) == (7, 7 / 8)
    assert math.isnan(scores["reverse_kl"])
    assert math.isnan(scores["mode_jsd"])


@pytest.mark.parametrize(("mean", "expected"), [(1.0, 0.111421), (2.0, 0.336831)])
def test_exact_jsd_of_two_gaussians(mean: float, expected: float) -> None:
    p, q = Gaussian((0.0,)), Gaussian((mean,))
    assert modes.exact_jsd(p.log_density, q.log_density, -10, 12) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("mean", "expected"), [(0.0, 0.0), (1.0, 0.111421), (2.0, 0.336831)])
def test_density_jsd_of_a_large_sample(mean: float, expected: float) -> None:
    x = Gaussian((mean,)).sample(stream(0), 100_000)
    assert modes.density_jsd(x, Gaussian().log_density, -5, 7) == pytest.approx(expected, abs=2e-3)


def test_density_jsd_counts_what_lies_outside() -> None:
    far = torch.full((100,), 50.0)
    assert modes.density_jsd(far, Gaussian().log_density, -5, 5) == pytest.approx(math.log(2), abs=1e-5)
    assert math.isnan(modes.density_jsd(torch.tensor([0.0, math.nan]), Gaussian().log_density, -5, 5))


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4), st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_jsd_is_symmetric_and_bounded(a: list[float], b: list[float]) -> None:
    p, q = (torch.tensor(v) / sum(v) for v in (a, b))
    assert modes.jsd(p, q) == pytest.approx(modes.jsd(q, p))
    assert -1e-6 <= modes.jsd(p, q) <= math.log(2)
    assert modes.jsd(torch.tensor([1.0, 0]), torch.tensor([0, 1.0])) == pytest.approx(math.log(2))


# --- labels ---------------------------------------------------------------------------------------------------------


@given(st.permutations(range(6)), DIRECTIONS)
def test_code_accuracy_finds_the_permutation(order: list[int], seed: int) -> None:
    codes = torch.randint(6, (300,), generator=stream(seed))
    classes = torch.tensor(order)[codes]
    assert labels.code_accuracy(codes, classes, 6) == 1
    wrong = classes.clone()
    wrong[:30] = (wrong[:30] + 1) % 6
    assert labels.code_accuracy(codes, wrong, 6) == pytest.approx(0.9)


def test_code_accuracy_is_no_greedy_matching() -> None:
    """Greedy takes the 6 and is left with 0; the best matching takes 5 + 5."""
    codes = torch.tensor([0] * 11 + [1] * 5)
    classes = torch.tensor([0] * 6 + [1] * 5 + [0] * 5)
    assert labels.code_accuracy(codes, classes, 2) == pytest.approx(10 / 16)


def test_one_class_for_all_codes_scores_one_code() -> None:
    codes = torch.arange(100) % 10
    assert labels.code_accuracy(codes, torch.zeros(100)) == pytest.approx(0.1)


def test_train_on_generated_learns_from_the_labels_given() -> None:
    data.prepare("digits")
    real = data.load("digits")
    x, y = real.train[:400], real.train_labels[:400]
    honest = labels.train_on_generated(x, y, real, epochs=12)
    assert honest > 0.85
    assert labels.train_on_generated(x, (y + 1) % 10, real, epochs=3) < 0.1


# --- features -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits64() -> features.Features:
    data.prepare("digits")
    features.prepare("digits")
    return features.load("digits")


def test_digits_features_are_accurate_and_named(digits64: features.Features) -> None:
    images = data.load("digits")
    x, p = digits64.read(images.test)
    assert (digits64.name, digits64.dim, len(digits64.digest)) == ("digits64", 64, 12)
    assert digits64.accuracy >= 0.98
    assert labels.agreement(p, images.test_labels) == pytest.approx(digits64.accuracy)
    assert x.shape == (597, 64)
    assert digits64(images.train).square().mean().item() == pytest.approx(1, rel=1e-4)
    assert (x.std(0) > 0).all()
    assert not x.requires_grad


def test_features_see_the_same_digit_at_another_size(digits64: features.Features) -> None:
    images = data.load("digits", size=16)
    assert labels.agreement(digits64.read(images.test)[1], images.test_labels) >= 0.98


def test_features_do_not_depend_on_the_batch(digits64: features.Features) -> None:
    x = data.load("digits").test[:20]
    torch.testing.assert_close(digits64.read(x, batch=3)[0], digits64(x))


def test_scores_order_real_noisy_and_random_images(digits64: features.Features) -> None:
    images = data.load("digits")
    real, other = digits64(images.test), digits64(images.train[:597])
    noise = 2 * torch.rand(images.test.shape, generator=stream(0)) - 1
    noisy = digits64((images.train[:597] + noise).clamp(-1, 1))
    for score in (metrics.fd, metrics.kid):
        scores = [score(real, other), score(real, noisy), score(real, digits64(noise))]
        assert 3 * scores[0] < scores[1] < scores[2] / 3
    assert metrics.prdc(real, other)["recall"] > 0.8 > metrics.prdc(real, digits64(noise))["recall"]


def test_training_repeats_bit_for_bit_and_weights_make_the_digest(digits64: features.Features, cache: Path) -> None:
    recipe = features.Recipe(epochs=1)
    images = data.load("digits")
    state = torch.get_rng_state()
    one, two, other = (features.train(images, recipe, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
    (path,) = cache.glob("features-digits-*.pt")
    content = torch.load(path, weights_only=True)
    content["state"]["head.bias"][0] += 1
    torch.save(content, path)
    changed = features.load("digits")
    content["state"]["head.bias"][0] -= 1
    torch.save(content, path)
    assert changed.digest != digits64.digest


def test_features_that_are_not_trained_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path))
    with pytest.raises(data.DataError, match=r"^the feature network of mnist is not trained[^\n]*\.$"):
        features.load("mnist")


def test_images_without_classes_get_random_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = pytest.importorskip("PIL.Image")
    monkeypatch.setenv("MINIMAX_CACHE", str(tmp_path / "cache"))
    for k in range(8):
        image.new("L", (64, 64), 30 * k).save(tmp_path / f"{k}.png")
    spec = f"folder:{tmp_path}"
    data.prepare(spec)
    first, path = features.prepare(spec), features.prepare(spec)
    assert first == path
    network = features.load(spec)
    assert network.name == "random64"
    assert network(data.load(spec, size=32).train).shape == (7, 64)
    digest = network.digest
    image.new("L", (64, 64), 255).save(tmp_path / "0.png")
    data.prepare(spec)
    features.prepare(spec)
    assert features.load(spec).digest != digest  # other pictures, another scale


# --- stability ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e3, 5e6])
def test_divergence_is_the_first_bad_norm(bad: float) -> None:
    steps, norms = [0, 10, 20, 30], [1.0, 999.0, bad, 1.0]
    assert stability.diverged_at(steps, norms) == 20
    assert not stability.survived(norms)
    assert stability.survived([1.0, 999.0])
    assert stability.diverged_at([], []) is None


def test_norms_are_relative_to_the_first() -> None:
    assert stability.survived([100.0, 9e4])
    assert stability.diverged_at([0, 1], [1e-2, 11.0]) == 1
    assert stability.diverged_at([0, 1], [math.nan, 1.0]) == 0


def test_collapse_is_measured_against_the_peak_so_far() -> None:
    assert stability.collapsed_at([0, 5, 10], [1, 2, 8]) is None
    assert stability.collapsed_at([0, 5, 10, 15], [8, 4, 3.9, 8]) == 10
    assert stability.collapsed_at([0, 5], [8, math.nan]) == 5
    assert stability.collapsed_at([0, 5], [0, 0]) is None


def test_the_gap_to_the_best() -> None:
    assert stability.last_minus_best([2, 1, math.nan, 1.25]) == 0.25
    assert stability.last_minus_best([2, 7, 5], higher=True) == 2
    assert stability.last_minus_best([1.0, math.nan]) == math.inf
    assert stability.last_minus_best([]) == math.inf


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_the_gap_is_never_negative(values: list[float]) -> None:
    assert stability.last_minus_best(values) >= 0
    assert stability.last_minus_best(values, higher=True) >= 0


def test_gradient_ratio_and_saturation() -> None:
    assert stability.gradient_ratio([1, 2, 9, math.nan], [1, 1, 3, 1]) == 2
    assert math.isnan(stability.gradient_ratio([1.0], [0.0]))
    edge = math.log(99)
    assert stability.saturation(torch.tensor([edge + 0.01, -edge - 0.01, edge - 0.01, 0])) == 0.5


def test_a_straight_path() -> None:
    path = Track.start([torch.zeros(2), torch.zeros(1, 1)])
    for k in range(1, 6):
        path = path.add([torch.tensor([3.0 * k, 0.0]), torch.tensor([[4.0 * k]])])
    assert path.read() == {"path_length": 25.0, "path_ratio": pytest.approx(1), "update_cosine": pytest.approx(1)}


@pytest.mark.parametrize("corners", [3, 4, 12])
def test_a_path_around_a_polygon_turns_by_its_outer_angle(corners: int) -> None:
    angle = 2 * math.pi / corners
    points = [torch.tensor([math.cos(k * angle), math.sin(k * angle)], dtype=torch.float64) for k in range(corners + 1)]
    path = Track.start(points[:1])
    for point in points[1:-1]:
        path = path.add([point])
    side = 2 * math.sin(angle / 2)
    expected = {
        "path_length": (corners - 1) * side,
        "path_ratio": corners - 1,
        "update_cosine": math.cos(angle),
    }
    assert path.read() == pytest.approx(expected)


def test_players_that_move_in_place_are_safe() -> None:
    """A path that kept a reference would find every update to be zero."""
    player = torch.zeros(3)
    path = Track.start([player])
    for _ in range(4):
        player += 1
        path = path.add([player])
    assert path.read()["path_length"] == pytest.approx(4 * math.sqrt(3))


def test_a_path_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    points = randn(10, 5)
    whole = Track.start([points[0]])
    for point in points[1:]:
        whole = whole.add([point])
    half = Track.start([points[0]])
    for point in points[1:5]:
        half = half.add([point])
    torch.save(dict(vars(half)), tmp_path / "path.pt")
    half = Track(**torch.load(tmp_path / "path.pt", weights_only=True))
    for point in points[5:]:
        half = half.add([point])
    assert half.read() == whole.read()


def test_a_path_that_stands_still_or_blows_up() -> None:
    path = Track.start([torch.ones(2)]).add([torch.ones(2)]).add([torch.ones(2)])
    assert path.read() == pytest.approx({"path_length": 0, "path_ratio": 1, "update_cosine": math.nan}, nan_ok=True)
    blown = path.add([torch.full((2,), math.nan)])
    assert math.isnan(blown.read()["path_length"])


def test_adding_to_a_path_waits_for_no_device() -> None:
    """Nothing on the meta device has a value, so a read of one on the host would raise."""
    path = Track.start([torch.zeros(3, device="meta")])
    assert path.add([torch.ones(3, device="meta")]).length.device.type == "meta"
