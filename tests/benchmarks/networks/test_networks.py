import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap

from benchmarks import networks as nets

SIZES = (8, 16, 28, 32, 64)
NORMS = (nets.no_norm, nets.batch_norm, nets.instance_norm)

Case = tuple[Callable[[], nn.Module], tuple[int, ...]]

# name -> (builder, shape of one input); all on 8 x 8 images with 2 channels
CASES: dict[str, Case] = {
    "mlp": (partial(nets.MLP, (5, 7, 3), nn.Tanh), (5,)),
    "generator": (partial(nets.Generator, 5, 2, 8, 4), (5,)),
    "critic": (partial(nets.Critic, 2, 8, 4), (2, 8, 8)),
    "critic, batch": (partial(nets.Critic, 2, 8, 4, norm=nets.batch_norm), (2, 8, 8)),
    "mlp generator": (partial(nets.MLPGenerator, 5, 2, 8, 16), (5,)),
    "mlp critic": (partial(nets.MLPCritic, 2, 8, 16), (2, 8, 8)),
    "normed generator": (partial(nets.NormedGenerator, 5, 2, 8, 16), (5,)),
    "mlp encoder": (partial(nets.MLPEncoder, 2, 8, 16, 3), (2, 8, 8)),
    "translator": (partial(nets.Translator, 2, 2, 4, 1), (2, 8, 8)),
    "patches": (partial(nets.PatchCritic, 2, 4), (2, 8, 8)),
}


def first(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else torch.cat([part.reshape(len(part), -1) for part in output], dim=1)


def loss(net: nn.Module, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    return first(functional_call(net, parameters, (x,))).square().mean()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    build, shape = CASES[request.param]
    return nets.seeded(0, build).double(), torch.randn(4, *shape, dtype=torch.float64)


@pytest.mark.parametrize("size", SIZES)
def test_image_pairs_fit_every_size(size: int) -> None:
    z = torch.randn(3, 7)
    for generator in (
        nets.Generator(7, 2, size, 4),
        nets.MLPGenerator(7, 2, size, 8),
        nets.NormedGenerator(7, 2, size, 8),
    ):
        x = generator(z)
        assert x.shape == (3, 2, size, size)
        assert x.abs().max() <= 1
    for norm in NORMS:
        assert nets.Critic(2, size, 4, norm)(x).shape == (3,)
    assert nets.MLPCritic(2, size, 8)(x).shape == (3,)
    assert nets.Critic(2, size, 4, outputs=11)(x).shape == (3, 11)
    assert [part.shape for part in nets.MLPEncoder(2, size, 4, 6)(x)] == [(3, 6), (3, 6)]
    assert nets.Translator(2, 1, 4)(x).shape == (3, 1, size, size)
    assert nets.PatchCritic(2, 4)(x).shape == (3, 1, size // 4, size // 4)


def test_other_sizes_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="8, 16, 28, 32 or 64 pixels a side, not 12"):
        nets.Critic(1, 12)


def test_one_sample_keeps_its_batch_axis() -> None:
    assert nets.Critic(1, 8, 4)(torch.zeros(1, 1, 8, 8)).shape == (1,)
    assert nets.MLPCritic(1, 8, 4, outputs=3)(torch.zeros(1, 1, 8, 8)).shape == (1, 3)


def test_there_are_no_buffers(case: tuple[nn.Module, Tensor]) -> None:
    net, x = case
    before = first(net(x))
    net.eval()
    assert list(net.buffers()) == []
    assert torch.equal(first(net(x)), before)


def test_precision_follows_the_module(case: tuple[nn.Module, Tensor]) -> None:
    net, x = case
    assert first(net(x)).dtype == torch.float64
    assert first(net.float()(x.float())).dtype == torch.float32


def test_double_backward_equals_finite_differences(case: tuple[nn.Module, Tensor]) -> None:
    """The derivative of the input gradient's norm along a direction of the parameters, as in a gradient penalty."""
    net, x = case
    start = {name: p.detach() for name, p in net.named_parameters()}
    direction = {name: torch.randn_like(p) for name, p in start.items()}

    def penalty(parameters: dict[str, Tensor]) -> Tensor:
        x_ = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(loss(net, parameters, x_), x_, create_graph=True)
        return slope.square().sum().sqrt()

    leaves = {name: p.clone().requires_grad_() for name, p in start.items()}
    # A bias after a normalisation, or of a last layer, leaves no trace in the input gradient.
    found = torch.autograd.grad(penalty(leaves), list(leaves.values()), allow_unused=True)
    pairs = zip(found, direction.values(), strict=True)
    slope = sum((g * v).sum().item() for g, v in pairs if g is not None)
    h = 1e-6
    up, down = ({k: p + s * h * direction[k] for k, p in start.items()} for s in (1, -1))
    assert slope == pytest.approx((penalty(up) - penalty(down)).item() / (2 * h), rel=2e-3, abs=1e-7)


def test_func_grad_vmap_and_jvp_agree_with_autograd(case: tuple[nn.Module, Tensor]) -> None:
    net, x = case
    start = {name: p.detach() for name, p in net.named_parameters()}
    gradient = grad(partial(loss, net))(start, x)
    expected = torch.autograd.grad(first(net(x)).square().mean(), list(net.parameters()))
    for g, e in zip(gradient.values(), expected, strict=True):
        torch.testing.assert_close(g, e)

    stacked = {name: torch.stack((p, 2 * p)) for name, p in start.items()}
    both = vmap(grad(partial(loss, net)), in_dims=(0, None))(stacked, x)
    twice = grad(partial(loss, net))({name: 2 * p for name, p in start.items()}, x)
    for name in start:
        torch.testing.assert_close(both[name][0], gradient[name])
        torch.testing.assert_close(both[name][1], twice[name])

    along = jvp(partial(loss, net, x=x), (start,), (gradient,))[1]
    torch.testing.assert_close(along, sum((g * g).sum() for g in gradient.values()))


def test_networks_compile_without_graph_breaks(case: tuple[nn.Module, Tensor]) -> None:
    net, x = case
    torch._dynamo.reset()
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    assert torch.equal(first(compiled(x)), first(net(x)))


def test_batch_norm_uses_the_present_batch_only() -> None:
    norm = nets.batch_norm(3)
    x = 5 + 3 * torch.randn(64, 3, 4, 4)
    for _ in range(2):
        y = norm(x)
        torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
        torch.testing.assert_close(y.var((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
        norm.eval()


@pytest.mark.parametrize("norm", [nets.no_norm, nets.instance_norm])
def test_norms_for_penalties_keep_samples_apart(norm: nets.Norm) -> None:
    x = torch.randn(4, 1, 8, 8)
    critic = nets.Critic(1, 8, 8, norm)
    torch.testing.assert_close(critic(x)[:2], critic(x[:2]))


def test_dcgan_init() -> None:
    generator = nets.seeded(0, lambda: nets.Generator(64, 1, 64, 16))
    weights = torch.cat([m.weight.flatten() for m in generator.modules() if isinstance(m, nn.ConvTranspose2d)])
    gains = torch.cat([m.weight for m in generator.modules() if isinstance(m, nn.BatchNorm2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    assert weights.mean().item() == pytest.approx(0, abs=2e-4)
    assert gains.mean().item() == pytest.approx(1, abs=0.01)
    biases = [m.bias for m in generator.modules() if isinstance(m, nn.ConvTranspose2d) and m.bias is not None]
    assert len(biases) == 5
    assert all(torch.equal(bias, torch.zeros_like(bias)) for bias in biases)


def test_seeded_repeats_and_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    one, two, other = (nets.seeded(seed, lambda: nets.MLP((3, 4, 2))) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))

    def crash() -> Any:
        torch.rand(1)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        nets.seeded(0, crash)
    assert torch.equal(torch.get_rng_state(), state)


def test_seeds_stack_into_one_vmapped_network() -> None:
    critics = [nets.seeded(seed, lambda: nets.Critic(1, 8, 4)) for seed in range(3)]
    parameters, buffers = stack_module_state(critics)
    x = torch.randn(5, 1, 8, 8)
    found = vmap(lambda p: functional_call(critics[0], p, (x,)))(parameters)
    assert buffers == {}
    torch.testing.assert_close(found, torch.stack([critic(x) for critic in critics]))


def test_a_decoder_has_logits() -> None:
    decoder = nets.MLPGenerator(4, 1, 8, 16, output=nn.Identity)
    with torch.no_grad():
        list(decoder.parameters())[-1].fill_(7.0)  # the last bias
    assert decoder(torch.zeros(1, 4)).max() > math.pi


@pytest.mark.gpu
def test_networks_run_on_a_gpu() -> None:
    for build, shape in CASES.values():
        net = nets.seeded(0, build).double().cuda()  # in float32 convolutions may round to TF32
        x = torch.randn(4, *shape, dtype=torch.float64)
        torch.testing.assert_close(first(net(x.cuda())).cpu(), first(net.cpu()(x)))
