from __future__ import annotations

from typing import ClassVar

import torch

import minimax as mm
from benchmarks.problem import Recipe, View
from benchmarks.problems.games._closed_form import ClosedFormProblem
from minimax import games
from minimax.games import ClosedForm


class LinearQuadraticGAN(ClosedFormProblem):
    """A WGAN with x and z uniform on [-1, 1], G(z) = az + b, D(x) = w_2 x² + w_1 x: eigenvalues ±2i/3 and ±i.

    a = 1 and a = -1 are equally good, and the distance is that to the nearer.

    Source: Nagarajan & Kolter, Gradient descent GAN optimization is locally stable, 2017.
    """

    name = "linear-quadratic-gan"
    recipe: ClassVar[Recipe] = Recipe(mm.sgd(0.1))
    target = 0.1

    def form(self) -> ClosedForm:
        return games.linear_quadratic_gan()

    @torch.no_grad()
    def evaluate(self, view: View) -> dict[str, float]:
        (a, b), critic = view.players
        mirrored = (torch.stack([-a, b]), critic)
        return {**super().evaluate(view), "distance": float(min(map(self.closed.distance, (view.players, mirrored))))}
