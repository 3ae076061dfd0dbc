r"""Learning a hyperparameter by gradients
======================================

How strong should weight decay be? The answer is a game of two levels: the *leader* picks :math:`\theta`, and pays on
validation data; the *follower* fits w on training data with penalty :math:`e^\theta |w|^2`. The leader does not appear
in its own loss at all, so its gradient is through the follower's answer.
"""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from sklearn.datasets import load_diabetes
from torch import Tensor

import minimax as mm

data = load_diabetes()
X = torch.from_numpy(data.data) * len(data.data) ** 0.5  # each column of variance 1
y = torch.from_numpy((data.target - data.target.mean()) / data.target.std())
X, y = X[:120], y[:120]
train, valid = slice(0, 40), slice(40, 120)


def fitted(w: Tensor, rows: slice) -> Tensor:
    """Half the mean squared error on some rows."""
    return (X[rows] @ w - y[rows]).square().mean() / 2


def inner(θ: Tensor, w: Tensor) -> Tensor:
    """The follower's loss."""
    return fitted(w, train) + θ.exp() * w.square().sum() / 2


# %%
# ``bilevel`` says who leads. ``StackelbergGradient`` differentiates the follower's answer by the implicit function
# theorem: a few products with its Hessian, no unrolled training.

game = mm.transforms.bilevel(lambda θ, w: fitted(w, valid), inner)
start = (torch.tensor(-6.0, dtype=torch.float64), torch.zeros(10, dtype=torch.float64))
optimizer = mm.StackelbergGradient((mm.adam(0.1), mm.sgd(0.2)), damping=0.0, iterations=10, steps=5)
path = []
for it in mm.iterate(game, start, optimizer):
    path.append((float(it.players[0]), float(fitted(it.players[1], valid))))
    if it.step == 100:
        break

# %%
# Ridge regression has a closed form, so that here the truth can be drawn.


def exact(θ: float) -> float:
    """The validation loss of the follower's exact answer."""
    A, B = X[train], y[train]
    w = torch.linalg.solve(A.T @ A / 40 + np.exp(θ) * torch.eye(10, dtype=torch.float64), A.T @ B / 40)
    return float(fitted(w, valid))


grid = np.linspace(-7, 4, 221)
curve = np.array([exact(θ) for θ in grid])
best = grid[curve.argmin()]

sns.set_theme(style="ticks", palette="colorblind")
figure, ax = plt.subplots(figsize=(8, 5), layout="constrained")
ax.plot(grid, curve, color="0.5", lw=2, label="exact, for every θ")
points = ax.scatter(*np.array(path).T, c=range(1, 101), cmap="viridis", s=20, zorder=3, label="learned, step by step")
figure.colorbar(points, label="step")
ax.plot(best, curve.min(), "*", color="black", ms=16, label="best on a grid of 221", zorder=4)
ax.set(xlabel="θ, the logarithm of the weight decay", ylabel="loss on validation data")
ax.legend(frameon=False)
sns.despine(figure)

print(
    f"learned θ = {path[-1][0]:.3f} with loss {path[-1][1]:.4f}; the grid's best is {best:.3f} with {curve.min():.4f}"
)
assert abs(path[-1][0] - best) < 0.2 and path[-1][1] < curve.min() + 1e-3
assert curve.min() < exact(-6.0) - 0.01  # it was worth while

plt.show()
