"""Trivial models of images that the scores are read against, fitted in a moment."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, fold, linear, logsigmoid, one_hot, unfold

PATCHED = 2000  # images whose patches are clustered


def k_means(train: Tensor, test: Tensor, clusters: int, rounds: int = 50) -> Tensor:
    """Cluster of every test row, (tests,), by Lloyd's algorithm on the training rows from `clusters` of them.

    >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> assigned = k_means(x, x, 2)
    >>> bool(assigned[0] == assigned[1] != assigned[2] == assigned[3])
    True
    """
    centres = train[_some(len(train), clusters)]
    for _ in range(rounds):
        near = torch.cdist(train, centres).argmin(1)
        centres = torch.stack([train[near == k].mean(0) if (near == k).any() else centres[k] for k in range(clusters)])
    return torch.cdist(test, centres).argmin(1)


def k_means_of_patches(train: Tensor, test: Tensor, side: int, clusters: int) -> Tensor:
    """Test images (n, channels, height, width), each patch of so many pixels a side replaced by its cluster's centre.

    >>> x = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    >>> torch.equal(k_means_of_patches(x, x, 1, 2), x)
    True
    """
    from sklearn.cluster import KMeans

    known, asked = (unfold(x, side, stride=side).mT for x in (train[:PATCHED], test))  # (n, patches, pixels)
    found = KMeans(clusters, n_init=1, random_state=0).fit(known.flatten(0, 1).cpu().numpy())
    centres = torch.as_tensor(found.cluster_centers_).to(test)
    return fold(centres[torch.cdist(asked, centres).argmin(-1)].mT, test.shape[-2:], side, stride=side)


def gaussian_mixture(train: Tensor, test: Tensor, clusters: int, components: int) -> Tensor:
    """Cluster of every test row, (tests,), by a mixture of Gaussians on principal components, the best of ten starts.

    >>> x = torch.tensor([[0.0, 1.0], [1.0, 0.0], [10.0, 1.0], [11.0, 0.0]]).repeat(5, 1)
    >>> found = gaussian_mixture(x, x[:4], 2, 1)
    >>> bool(found[0] == found[1] != found[2] == found[3])
    True
    """
    from sklearn.decomposition import PCA  # only now: workers do without
    from sklearn.mixture import GaussianMixture

    known, asked = (x.cpu().double().numpy() for x in (train, test))
    pca = PCA(components, svd_solver="full").fit(known)
    mixture = GaussianMixture(clusters, n_init=10, random_state=0, reg_covar=1e-3).fit(pca.transform(known))
    return torch.from_numpy(mixture.predict(pca.transform(asked))).to(test.device)


def logistic(train: Tensor, labels: Tensor, test: Tensor, classes: int, rounds: int = 100) -> Tensor:
    """Classes of the test rows, (tests,), by logistic regression with the penalty |w|²/2 beside the summed loss.

    >>> x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
    >>> logistic(x, torch.tensor([0, 0, 1, 1]), torch.tensor([[-3.0], [3.0]]), 2)
    tensor([0, 1])
    """
    return partial_logistic(train, one_hot(labels, classes).bool(), test, rounds)


def partial_logistic(train: Tensor, told: Tensor, test: Tensor, rounds: int = 100) -> Tensor:
    """The same where each row tells the classes that it may be of, (rows, classes): of their probability, the log.

    >>> x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
    >>> told = torch.tensor([[1, 0], [1, 1], [0, 1], [1, 1]]).bool()
    >>> partial_logistic(x, told, torch.tensor([[-3.0], [3.0]]))
    tensor([0, 1])
    """
    weight, bias = (
        train.new_zeros(shape, requires_grad=True) for shape in ((told.shape[1], train.shape[1]), told.shape[1:])
    )
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=rounds, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = linear(train, weight, bias)
        surprise = logits.logsumexp(1) - logits.masked_fill(~told, -math.inf).logsumexp(1)
        value = surprise.sum() + weight.square().sum() / 2
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return linear(test, weight, bias).argmax(1)


def discriminant(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Tensor:
    """Classes of the test rows, (tests,), by linear discriminant analysis: Gaussians with one covariance.

    >>> x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
    >>> discriminant(x, torch.tensor([0, 0, 1, 1]), torch.tensor([[-3.0], [3.0]]), 2)
    tensor([0, 1])
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # only now: workers do without

    model = LinearDiscriminantAnalysis().fit(train.cpu().double().numpy(), labels.cpu().numpy())
    return torch.from_numpy(model.predict(test.cpu().double().numpy())).to(labels)


def trained(net: nn.Module, x: Tensor, labels: Tensor, steps: int, seed: int = 0) -> nn.Module:
    """A network, logits out, after so many steps of Adam on batches of 64 rows with their labels."""
    stream = torch.Generator(x.device).manual_seed(seed)
    net = net.to(x.device)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(steps):
        index = torch.randint(len(x), (64,), generator=stream, device=x.device)
        optimizer.zero_grad()
        with torch.enable_grad():
            cross_entropy(net(x[index]), labels[index]).backward()
        optimizer.step()
    return net


def bernoulli_regression_nll(
    net: nn.Module, known: tuple[Tensor, Tensor], asked: tuple[Tensor, Tensor], steps: int, seed: int = 0
) -> float:
    """-E log p(y|x) in nats of asked rows x, y = ±1, by a network of logits that learns from known ones by Adam.

    It is the least over the steps, every fiftieth, and so flatters a network that would learn its data by heart.
    """
    stream = torch.Generator(known[0].device).manual_seed(seed)
    optimizer, best = torch.optim.Adam(net.parameters(), 3e-3), math.inf

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return -logsigmoid(y * net(x)).sum(1).mean()

    for step in range(1, steps + 1):
        index = torch.randint(len(known[0]), (128,), generator=stream, device=known[0].device)
        optimizer.zero_grad()
        with torch.enable_grad():
            loss(*(each[index] for each in known)).backward()
        optimizer.step()
        if step % 50 == 0 or step == steps:
            with torch.no_grad():
                best = min(best, float(loss(*asked)))
    return best


def bernoulli_mixture_nll(train: Tensor, test: Tensor, components: int, rounds: int = 60) -> float:
    """-E log p(test) in nats of a mixture of products of Bernoullis, fitted by EM to `train`, rows of zeros and ones.

    >>> round(bernoulli_mixture_nll(torch.tensor([[0.0], [1.0]]).repeat(100, 1), torch.tensor([[1.0]]), 1), 4)
    0.6931
    """
    mean = 0.5 * train[_some(len(train), components)] + 0.25
    weight = mean.new_full((components,), 1 / components)
    for _ in range(rounds):
        share = _joint(train, mean, weight).softmax(dim=1)  # rows, components
        count = share.sum(0)
        # One pseudo-observation of each outcome keeps every probability off 0 and 1.
        mean = (share.T @ train + 1) / (count[:, None] + 2)
        weight = (count + 1) / (len(train) + components)
    return -float(_joint(test, mean, weight).logsumexp(1).mean())


class PPCA(NamedTuple):
    """The probabilistic principal components x ~ N(mean, axes axesᵀ + noise I) that explain rows best.

    Args:
        mean: of the rows, (d,).
        axes: √(λ_j - noise) times the j-th principal axis, (d, q).
        noise: the mean of the d - q least eigenvalues of the covariance, ().
    """

    mean: Tensor
    axes: Tensor
    noise: Tensor

    def covariance(self) -> Tensor:
        """Of the model, (d, d)."""
        return self.axes @ self.axes.T + self.noise * torch.eye(len(self.mean)).to(self.axes)

    def nll(self, rows: Tensor) -> float:
        """-E log p of rows (n, d), in nats."""
        rows = rows.to(self.mean)
        return gaussian_nll(rows.mean(0), torch.cov(rows.T, correction=0), self.mean, self.covariance())


def ppca(rows: Tensor, latent: int) -> PPCA:
    """The fit of most likelihood to rows (n, d), in double precision, its noise at least 1e-12.

    Raises:
        ValueError: there are no latents, or not fewer than numbers in a row.

    Source: Tipping & Bishop, Probabilistic Principal Component Analysis, 1999.
    """
    rows = rows.double()
    return ppca_of(rows.mean(0), torch.cov(rows.T, correction=0), latent)


def ppca_of(mean: Tensor, covariance: Tensor, latent: int) -> PPCA:
    """The same from the mean (d,) and the covariance (d, d) of the rows, which divides by their number."""
    if not 1 <= latent < len(mean):
        raise ValueError(f"latent = {latent}: data of {len(mean)} numbers take 1 to {len(mean) - 1} latents.")
    values, vectors = torch.linalg.eigh(covariance)
    noise = values[:-latent].mean().clamp(min=1e-12)
    axes = vectors[:, -latent:] * (values[-latent:] - noise).clamp(min=0).sqrt()
    return PPCA(mean, axes.flip(1), noise)


def gaussian_nll(mean: Tensor, covariance: Tensor, of: Tensor, scale: Tensor) -> float:
    """-E log N(of, scale) over data with this mean and covariance, in nats."""
    root = torch.linalg.cholesky(scale)
    second = covariance + torch.outer(mean - of, mean - of)
    size = len(mean) * math.log(2 * math.pi) + 2 * root.diagonal().log().sum()
    return float(size + torch.cholesky_solve(second, root).trace()) / 2


def _joint(x: Tensor, mean: Tensor, weight: Tensor) -> Tensor:
    return x @ mean.log().T + (1 - x) @ (1 - mean).log().T + weight.log()


def _some(total: int, count: int) -> Tensor:
    return torch.randperm(total, generator=torch.Generator().manual_seed(0))[:count]
