import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import minimax as mm
from benchmarks.problem import Preset, Problem, Recipe
from benchmarks.problems.games import bilinear, dirac, scsc
from benchmarks.problems.gans import cyclegan, dcgan, gan, infogan, lsgan, nsgan, vae, wgan, wgan_gp
from benchmarks.problems.gans._image import grid
from benchmarks.problems.gans._reference import bernoulli_mixture_nll, k_means
from benchmarks.problems.mixtures import grid25, ring8
from minimax.optimizers import BY_NAME
from minimax.solve import write

IMAGES: list[type[Problem]] = [
    gan.GAN,
    nsgan.NSGAN,
    dcgan.DCGAN,
    lsgan.LSGAN,
    wgan.WGAN,
    wgan_gp.WGANGP,
    infogan.InfoGAN,
    cyclegan.CycleGAN,
    cyclegan.CycleGANIdentity,
    vae.VAE,
]
MIXTURES: list[type[Problem]] = [ring8.Ring8, ring8.Ring8Plain, grid25.Grid25]
GAMES: list[type[Problem]] = [
    bilinear.Bilinear,
    bilinear.IllConditionedBilinear,
    scsc.StronglyConvexConcave,
    dirac.DiracGAN,
    dirac.DiracNSGAN,
    dirac.DiracR1,
    dirac.DiracNSR1,
    dirac.DiracWGAN,
    dirac.DiracWGANGP,
]
OPTIMIZERS = ("alternating", "consensus", "extragradient")


@pytest.fixture(scope="module", autouse=True)
def prepared() -> None:
    gan.GAN.prepare(None, None, download=False)


def rules(recipe: Recipe) -> Any:
    rates = recipe.lr if isinstance(recipe.lr, tuple) else (recipe.lr,)
    made = tuple(getattr(mm, recipe.rule)(rate, **recipe.options) for rate in rates)
    return made[0] if len(made) == 1 else made


def play(problem: Problem, optimizer: str, steps: int, seed: int = 0) -> tuple[Any, ...]:
    """The players after some steps, as modules where they came as modules."""
    own = {"steps": problem.recipe.steps, "order": problem.recipe.order} if optimizer == "alternating" else {}
    opt = BY_NAME[optimizer].of(rules(problem.recipe), **own)  # type: ignore[arg-type]
    players = problem.players(seed)
    game, z = problem.game().functional(players)
    memory, state = problem.memory(seed), opt.init(game, z)
    for step in range(steps):
        drawn = [problem.batch(seed, step * opt.draws + k, memory) for k in range(opt.draws)]
        z, state, info = opt.step(game, z, state, drawn[0] if opt.draws == 1 else drawn)
        assert bool(info.finite)
        players = tuple(_into(player, new) for player, new in zip(players, z, strict=True))
        memory = problem.remember(memory, players, drawn[-1])
    return players


def _into(player: Any, new: Any) -> Any:
    if not isinstance(player, nn.Module):
        return new
    write(player, new)
    return player


def leaves(value: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(value)


def weights(players: tuple[Any, ...]) -> list[Tensor]:
    return [w.clone() for p in players for w in (p.parameters() if isinstance(p, nn.Module) else [p])]


def equal(one: Any, two: Any) -> bool:
    if one is None or two is None:
        return one is two
    return all(torch.equal(a, b) for a, b in zip(leaves(one), leaves(two), strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("problem", [*IMAGES, *MIXTURES, *GAMES], ids=lambda problem: problem.name)
def test_trains_and_scores(problem: type[Problem], optimizer: str) -> None:
    it = problem("smoke")
    before = weights(it.players(0))
    players = play(it, optimizer, it.preset.steps)
    assert not equal(before, weights(players))
    scores = it.evaluate(players, 0)
    assert it.headline in scores and all(math.isfinite(value) for value in scores.values())
    assert all(type(value) is float for value in scores.values())


@pytest.mark.parametrize("problem", [*IMAGES, *MIXTURES, *GAMES], ids=lambda problem: problem.name)
def test_is_a_function_of_seed_and_draw(problem: type[Problem]) -> None:
    it, again = problem("smoke"), problem("smoke")
    assert equal(weights(it.players(3)), weights(again.players(3)))
    assert not equal(weights(it.players(3)), weights(it.players(4)))
    memory = it.memory(3)
    one = it.batch(3, 7, memory)
    assert equal(one, again.batch(3, 7, memory))
    if one is not None:
        assert not equal(one, it.batch(3, 8, memory)) and not equal(one, it.batch(4, 7, memory))


@pytest.mark.parametrize("problem", [*IMAGES, *MIXTURES, *GAMES], ids=lambda problem: problem.name)
def test_looking_changes_nothing(problem: type[Problem]) -> None:
    it = problem("smoke")
    players = it.players(0)
    before, state = weights(players), torch.random.get_rng_state()
    scores, pictures = it.evaluate(players, 0), it.pictures(players, 0)
    assert scores == it.evaluate(players, 0)
    assert all((pictures[name] == again).all() for name, again in it.pictures(players, 0).items())
    assert equal(before, weights(players)) and torch.equal(state, torch.random.get_rng_state())
    assert all(w.grad is None for p in players if isinstance(p, nn.Module) for w in p.parameters())


@pytest.mark.parametrize("problem", [*IMAGES, *MIXTURES, *GAMES], ids=lambda problem: problem.name)
def test_states_its_floors_and_targets(problem: type[Problem]) -> None:
    it = problem("smoke")
    scores = it.evaluate(it.players(0), 0)
    assert set(it.targets) <= set(scores)
    assert it.floors() and all(math.isfinite(value) for value in it.floors().values())
    assert {"smoke", "cpu", "gpu"} <= set(it.presets)
    assert any(name.startswith(it.headline) for name in it.floors())


def test_real_images_score_better_than_an_untrained_generator() -> None:
    it = gan.GAN("cpu")
    scores, floors = it.evaluate(it.players(0), 0), it.floors()
    assert floors["kid/real"] < 0.05 < scores["kid"]


def test_losses_of_the_gans_by_hand() -> None:
    class Constant(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.value = value

        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).sum(1) * 0 + self.value

    g, d = nn.Identity(), Constant(0.3)
    batch = {"real": torch.zeros(2, 1, 1, 1), "noise": torch.zeros(2, 1, 1, 1), "between": torch.rand(2)}
    up, down = math.log1p(math.exp(0.3)), math.log1p(math.exp(-0.3))
    expected: dict[Any, tuple[float, float]] = {
        gan.GAN: (-up, up + down),
        nsgan.NSGAN: (down, up + down),
        lsgan.LSGAN: (0.49 / 2, (0.49 + 0.09) / 2),
        wgan.WGAN: (-0.3, 0.0),
        wgan_gp.WGANGP: (-0.3, 10.0),  # a constant critic has slope 0, one away from 1
    }
    for problem, (generator, critic) in expected.items():
        assert problem.generator_loss(g, d, batch).item() == pytest.approx(generator)
        assert problem.critic_loss(g, d, batch).item() == pytest.approx(critic)


def test_wgan_clips_its_critic_and_nothing_else() -> None:
    g, d = play(wgan.WGAN("smoke"), "alternating", 2)
    assert max(w.abs().max().item() for w in d.parameters()) <= 0.01 + 1e-9
    assert max(w.abs().max().item() for w in g.parameters()) > 0.02


def test_ring_penalty_is_half_gamma() -> None:
    with_penalty, plain = ring8.Ring8("smoke"), ring8.Ring8Plain("smoke")
    players, batch = with_penalty.players(0), with_penalty.batch(0, 0)
    gap = with_penalty.game().losses(players, batch)[1] - plain.game().losses(players, batch)[1]
    assert gap.item() == pytest.approx(0.05 * mm.penalties.r1(players[1], batch["real"]).item(), rel=1e-3)


def test_infogan_information_reaches_both_players() -> None:
    it = infogan.InfoGAN("smoke")
    g, d = it.players(0)
    batch = it.batch(0, 0)
    category, uniform = infogan.codes(batch["noise"])
    assert torch.equal(category.sum(1), torch.ones(it.preset.batch)) and uniform.abs().max() <= 1
    # The rows of the last layer that make Q see a gradient from the critic's loss, and its trunk from the generator's.
    head = d.net[-1].weight
    (row,) = torch.autograd.grad(it.critic_loss(g, d, batch), head)
    assert row[1:].abs().sum() > 0
    told = infogan.ignorance(infogan.judged(d, g(batch["noise"]))[1], batch["noise"])
    assert torch.autograd.grad(told, g[0][0].weight)[0].abs().sum() > 0
    # Q that knows the codes leaves nothing to learn.
    known = torch.cat((1e3 * category, uniform), dim=1)
    assert infogan.ignorance(known, batch["noise"]).item() == pytest.approx(0.0, abs=1e-6)


def test_vae_bounds() -> None:
    it = vae.VAE("smoke")
    (model,) = it.players(0)
    x, one = it.images.test[:8], it.noise(it.generator(0, 0), 400, 8)
    weight = vae.log_weights(model, x, one).detach()
    # The mean over all groups of k draws grows with k, by Jensen's inequality and without a doubt.
    bound = [float((weight.unflatten(0, (400 // k, k)).logsumexp(1) - math.log(k)).mean()) for k in (1, 20, 400)]
    assert bound == sorted(bound) and bound[0] < bound[2]
    # At one draw the bound is an estimate of the ELBO, the loss that is trained.
    batch = {"real": x.repeat(400, 1, 1, 1), "noise": one.flatten(0, 1)}
    assert float(weight.mean()) == pytest.approx(-it.loss(model, batch).item(), abs=0.05)


def test_vae_weights_are_constant_at_the_exact_posterior() -> None:
    it = vae.VAE("smoke")
    (model,) = it.players(0)
    with torch.no_grad():  # a decoder that ignores z has the prior as its posterior
        for net in (model.encoder.net, model.decoder.net[0]):
            net[-1].weight.zero_()
            net[-1].bias.zero_()
    weight = vae.log_weights(model, it.images.test[:4], it.noise(it.generator(0, 0), 7, 4))
    assert torch.allclose(weight, torch.full_like(weight, -64 * math.log(2)))


def test_vae_sees_binary_images() -> None:
    it = vae.VAE("smoke")
    grey = gan.GAN("smoke").images.test
    assert set(it.images.test.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(it.images.test > 0, (grey + 1) * 8 > 8)


def test_cyclegan_domains_and_pool() -> None:
    it = cyclegan.CycleGAN("smoke")
    images = it.images.test[:16]
    assert torch.allclose(it.back(it.forth(images)), images, atol=1e-6)
    assert it.forth(it.images.train).abs().max() <= 1
    players, memory = it.players(0), it.memory(0)
    assert memory is not None
    for draw in itertools.count():
        batch = it.batch(0, draw, memory)
        if batch["use_past"].any():
            break
        stored = it.remember(memory, players, batch)
        assert stored is not None and not equal(stored, memory)
        memory = stored
    assert int(memory["count"]) >= 50  # the pool shows nothing before it is full
    assert all(memory[k].flatten(1).abs().sum(1).min() > 0 for k in "ab")
    kept = it.remember(memory, players, batch)
    assert kept is not None
    changed = (kept["a"] != memory["a"]).flatten(1).any(1).nonzero().flatten().tolist()
    assert set(changed) <= set(batch["slot"][batch["store"]].tolist())


def test_cyclegan_perfect_translators_reach_the_ceiling() -> None:
    it = cyclegan.CycleGAN("cpu")

    class Exact(nn.Module):
        def __init__(self, function: Any) -> None:
            super().__init__()
            self.function = function

        def forward(self, x: Tensor) -> Tensor:
            return self.function(x)

    g = nn.ModuleDict({"a": Exact(it.back), "b": Exact(it.forth)})
    scores, floors = it.evaluate((g, None), 0), it.floors()
    assert scores["agreement"] == pytest.approx(floors["agreement/real"]) and scores["agreement"] > 0.98
    assert scores["cycle_l1"] < 1e-5 and scores["truth_l1"] < 1e-5
    assert floors["agreement/shuffled"] < 0.2 and floors["agreement/untranslated"] < 0.3


@pytest.mark.parametrize(("problem", "radius"), [(dirac.DiracGAN, 3.09695), (dirac.DiracNSGAN, 0.640207)])
def test_dirac_radius_after_500_simultaneous_steps(problem: type[Problem], radius: float) -> None:
    it = problem("cpu")
    assert it.preset.steps == 500 and it.recipe.lr == 0.2
    start = (torch.tensor(1.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64))
    end = mm.solve(it.game(), start, mm.SimultaneousGDA(mm.sgd(0.2)), steps=500).players
    assert it.evaluate(end, 0)["distance"] == pytest.approx(radius, rel=1e-4)


def test_games_start_where_they_say_in_a_direction_of_the_seed() -> None:
    it = bilinear.Bilinear()
    assert [it.evaluate(it.players(seed), seed)["distance"] for seed in (0, 1)] == pytest.approx([math.sqrt(2)] * 2)
    assert it.evaluate(play(it, "extragradient", 1000), 0)["distance"] < 0.02
    assert it.evaluate(play(it, "simultaneous", 1000), 0)["distance"] > 10


def test_presets_grow_with_the_data() -> None:
    assert gan.GAN("cpu", "mnist").preset.steps > gan.GAN("cpu", "digits").preset.steps
    assert gan.GAN("smoke", "mnist").preset == gan.GAN("smoke").preset
    assert isinstance(gan.GAN("gpu", "mnist").preset, Preset)


@pytest.mark.parametrize("problem", IMAGES, ids=lambda problem: problem.name)
@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3)])
def test_fits_other_images(problem: type[Problem], size: int, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    it = problem("smoke")
    small = it.images  # type: ignore[attr-defined]
    names = ("train", "test")
    grown = {k: torch.nn.functional.interpolate(getattr(small, k)[:64], size).repeat(1, channels, 1, 1) for k in names}
    monkeypatch.setitem(vars(it), "images", vars(small) and type(small)(**{**vars(small), **grown}))
    losses = it.game().losses(it.players(0), it.batch(0, 0, it.memory(0)))
    assert all(torch.isfinite(loss) for loss in losses)


def test_reference_models() -> None:
    stream = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    truth = torch.randint(3, (300,), generator=stream)
    x = centres[truth] + torch.randn(300, 2, generator=stream)
    found = k_means(x, x, 3)
    assert all(len(found[truth == k].unique()) == 1 for k in range(3))
    bits = torch.tensor([[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]).repeat(500, 1)
    assert bernoulli_mixture_nll(bits, bits, 1) == pytest.approx(3 * math.log(2), abs=0.01)
    assert bernoulli_mixture_nll(bits, bits, 2) == pytest.approx(math.log(2), abs=0.05)


def test_grid_lays_images_out_in_rows() -> None:
    images = torch.linspace(-1, 1, 4).reshape(4, 1, 1, 1).expand(4, 1, 2, 2)
    assert grid(images, columns=2)[::3, ::3].tolist() == [[0, 85], [170, 255]]
    assert grid(torch.zeros(4, 3, 2, 2), columns=2).shape == (6, 6, 3)
