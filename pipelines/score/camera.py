"""Motion of what is filmed, without that of the camera: dense flow after a robust global fit.

The camera's motion between two pictures is fitted to their flow as an affine map (six parameters: pan, zoom,
roll and shear), by iteratively reweighted least squares with Geman and McClure's weights, (s² / (s² + r²))²
for a residual r and a scale s that follows the residuals' median (Odobez and Bouthemy 1995, "Robust
multiresolution estimation of parametric motion models"; Geman and McClure 1987). The second picture is then
moved back by that map, the flow of what remains is measured, and the fit is repeated on it.

Points that the camera has moved out of the picture do not count. The fit follows what fills most of the
picture's textured points: of a subject that covers more than about half of them, the background counts as
what moves. A subject before a ground without texture would be all that the fit follows: a camera that only
a part of the picture's points follows counts as still. Parallax of a camera that travels is not affine, and
remains.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pipelines.score.optical_flow import flow

_FITS = 2  # of the camera, each on what the one before left
_ROUNDS = 12  # of reweighting in one fit
_SHARPEST = 0.15  # pixels; smallest scale of residuals, about the error of the flow
_WIDEST = 4.0  # pixels; largest scale of residuals
_MAD = 1.4826  # a normal distribution's standard deviation / its median absolute deviation
_RIDGE = 1e-4  # keeps the fit of pictures without any texture finite
_AROUND = 3  # pixels around a point that its contrast is of
_TEXTURED = 2.0  # grey levels; contrast around a point from which the fit follows it
_EDGE = 1e-3  # share of half a side; rounding of positions at the edge
_FOLLOW = 0.4  # share of the points from which what follows the camera is the scene, not a subject


class MotionField(NamedTuple):
    """Motion between two pictures.

    Attributes:
        flow: (n 2 h w) of what is filmed, without the camera's; to the right and down, in pixels.
        inside: (n h w) bool, the points of the first picture that the second still shows.
        camera: (n 2 3) affine map of points (x, y, 1) of the first picture to the second, in pixels from the
            centre.
    """

    flow: Tensor
    inside: Tensor
    camera: Tensor


def motion_without_camera(first: Tensor, second: Tensor) -> MotionField:
    """Motion from ``first`` to ``second``, luma (n h w), 0 to 255, of at least 12 x 12 pixels."""
    first, second = first.float(), second.float()
    n, height, width = first.shape
    points = _points(height, width, first.device)
    textured = _textured(first)
    still = torch.eye(2, 3, device=first.device).repeat(n, 1, 1)
    seen, everywhere = flow(first, second), torch.ones_like(first, dtype=torch.bool)
    camera, remaining, inside = still, seen, everywhere
    for _ in range(_FITS):
        step = _fit(points, remaining.flatten(2), (textured & inside).flatten(1))
        camera = _chained(camera, step)
        steady, inside = _moved_back(second, camera, points)
        remaining = flow(first, torch.where(inside, steady, first))
    moves = _followed(seen, camera, points, textured & inside, inside)
    return MotionField(
        torch.where(moves[:, None, None, None], remaining, seen),
        torch.where(moves[:, None, None], inside, everywhere),
        torch.where(moves[:, None, None], camera, still),
    )


def mean_motion(first: Tensor, second: Tensor) -> Tensor:
    """Mean length of the motion without the camera's over the points that both show, (n), in pixels.

    0 where they share none.
    """
    found = motion_without_camera(first, second)
    lengths = found.flow.norm(dim=1) * found.inside
    return lengths.sum((1, 2)) / found.inside.sum((1, 2)).clamp(min=1)


def _points(height: int, width: int, device: torch.device) -> Tensor:
    """Homogeneous positions of the pixels from the centre, (3 h·w)."""
    down = torch.arange(height, device=device) - (height - 1) / 2
    right = torch.arange(width, device=device) - (width - 1) / 2
    y, x = torch.meshgrid(down, right, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)]).flatten(1)


def _textured(luma: Tensor) -> Tensor:
    """The points around which there is something whose motion can be seen, (n h w) bool."""
    around = F.pad(luma[:, None], (_AROUND,) * 4, mode="replicate")
    mean, square = (F.avg_pool2d(each, 2 * _AROUND + 1, 1)[:, 0] for each in (around, around**2))
    return (square - mean**2).clamp(min=0).sqrt() > _TEXTURED


def _fit(points: Tensor, found: Tensor, counts: Tensor) -> Tensor:
    """The affine map (n 2 3) from positions to flow that most of the points that count follow.

    Args:
        points: (3 p).
        found: flow (n 2 p).
        counts: (n p) bool.
    """
    size = points.abs().max()
    scaled = torch.cat([points[:2] / size, points[2:]])
    ridge = _RIDGE * points.shape[1] * torch.eye(3, device=points.device)
    weights = counts.float()
    for _ in range(_ROUNDS):
        squares = torch.einsum("np,ip,jp->nij", weights, scaled, scaled) + ridge
        products = torch.einsum("np,ncp,ip->nic", weights, found, scaled)
        fitted = torch.linalg.solve(squares, products).transpose(1, 2)
        lengths = (found - fitted @ scaled).norm(dim=1)
        middle = lengths.masked_fill(~counts, torch.nan).nanmedian(dim=1).values.nan_to_num()
        scale = (_MAD * middle).clamp(_SHARPEST, _WIDEST)[:, None] ** 2
        weights = counts * (scale / (scale + lengths**2)) ** 2
    return torch.cat([fitted[:, :, :2] / size, fitted[:, :, 2:]], dim=2)


def _followed(seen: Tensor, camera: Tensor, points: Tensor, counts: Tensor, inside: Tensor) -> Tensor:
    """Whether enough of the points inside follow the camera rather than stay where they are, (n) bool.

    Args:
        seen: flow (n 2 h w) between the pictures as they are.
        counts: (n h w) bool, points that can follow.
    """
    moved = (camera @ points - points[:2]).view_as(seen)
    follows = ((seen - moved).norm(dim=1) < seen.norm(dim=1)) & counts
    return follows.sum((1, 2)) >= _FOLLOW * inside.sum((1, 2))


def _chained(camera: Tensor, step: Tensor) -> Tensor:
    """``camera`` after the movement ``step`` of every point, (n 2 3)."""
    last = torch.tensor([0.0, 0.0, 1.0], device=camera.device).expand(len(camera), 1, 3)
    moved = step + torch.eye(2, 3, device=camera.device)
    return camera @ torch.cat([moved, last], dim=1)


def _moved_back(second: Tensor, camera: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """The second picture as a resting camera had seen it, and where it shows anything; (n h w) each."""
    height, width = second.shape[-2:]
    at = camera @ points
    grid = torch.stack([at[:, 0] * 2 / (width - 1), at[:, 1] * 2 / (height - 1)], dim=-1)
    grid = grid.view(-1, height, width, 2)
    steady = F.grid_sample(second[:, None], grid, padding_mode="border", align_corners=True)[:, 0]
    return steady, (grid.abs() <= 1 + _EDGE).all(dim=-1)
