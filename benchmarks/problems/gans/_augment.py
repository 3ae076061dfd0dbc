"""Small changes of images that a critic sees in place of the images, differentiable as often as one likes."""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = 3  # shifted, zoomed, made brighter or darker
SHIFT, ZOOM, LIGHT = 0.125, 0.2, 0.2
"""Standard deviations: of a shift, in sides of the image; of log2 of a zoom; of what is added to all pixels."""


def draw(stream: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
    """The chances of `size` images to be changed, uniform (size, 3), and by how much, normal (size, 4)."""
    device = stream.device
    chances = torch.rand(size, KINDS, generator=stream, device=device)
    return chances, torch.randn(size, KINDS + 1, generator=stream, device=device)


def chosen(drawn: tuple[Tensor, Tensor], p: Tensor) -> Tensor:
    """What is done to images of which each kind of change befalls a share p, (size, 4): down, across, zoom, light.

    An image that is left alone has zeros.
    """
    chances, normal = drawn
    deviations = normal.new_tensor([SHIFT, SHIFT, ZOOM, LIGHT])
    return torch.where((chances < p)[:, [0, 0, 1, 2]], deviations * normal, 0.0)


def augmented(images: Tensor, change: Tensor) -> Tensor:
    """The images (size, channels, side, side) in [-1, 1], each changed as its row says; no row of zeros changes a bit.

    An image is read where the shift and the zoom about its middle say, linear between pixels, and is black around. That
    is a matrix from the left and one from the right, which second derivatives pass, unlike `grid_sample`'s.
    """
    down, across, zoom, light = change.unbind(1)
    rows, columns = (interpolation(images.shape[-1], shift, zoom)[:, None] for shift in (down, across))
    moved = rows @ (images + 1) @ columns.mT - 1
    shifted = torch.where((change[:, :3] != 0).any(1)[:, None, None, None], moved, images)
    return torch.where((light != 0)[:, None, None, None], shifted + light[:, None, None, None], shifted)


def interpolation(side: int, shift: Tensor, zoom: Tensor) -> Tensor:
    """Matrices (size, side, side) that shift lines of pixels by so many sides and make them 2^zoom times as long.

    >>> interpolation(3, torch.tensor([1 / 3]), torch.tensor([0.0]))[0]
    tensor([[0., 0., 0.],
            [1., 0., 0.],
            [0., 1., 0.]])
    """
    place = torch.arange(side, dtype=shift.dtype, device=shift.device)
    middle = (side - 1) / 2
    read = middle + (place - middle - side * shift[:, None]) * torch.exp2(-zoom)[:, None]
    return (1 - (read[:, :, None] - place).abs()).clamp(min=0)
