"""What a synthetic head lacks of real ones, drawn anew at each step.

Position, coil shading, contrast and noise of every sequence; tissue around the brain of any brightness; eye sockets
with fat, muscles and globes (without them a network takes a real socket for a frontal lobe); veins and mucosa that
enhance at the brain's surface; balls of air, fluid or metal outside; series that stop early, and sequences that are
missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bt_node.infer.brain import scaled
from training.brain.heads import FULL_SCALE, SPACING_MM, Head

Shape = tuple[int, int, int]

_HALF, _NO_BRAIN = 0.5, 0.02
_FEWEST_BRAIN = 1000  # voxels; with less in view there is no face to paint


@dataclass(frozen=True)
class Frame:
    """The grid that the network sees: (Z, Y, X) voxels of `spacing_mm` around the middle of the head."""

    shape: Shape
    spacing_mm: float


def as_it_is(head: Head, frame: Frame) -> tuple[Tensor, Tensor]:
    """The head unchanged on the frame: (1, 4, Z, Y, X) as the network reads it, and share of brain."""
    images, brain = _read(head, frame, torch.eye(3), torch.zeros(3))
    return _as_network_reads(images), brain[None, None]


def drawn(head: Head, frame: Frame, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The same, changed as the module's first lines say."""
    shift = torch.from_numpy(random.normal(0, 5, 3).astype(np.float32))
    images, brain = _read(head, frame, _placing(random), shift)
    if random.random() < 0.75:
        _paint_eye_sockets(images, brain, frame, random)
    if random.random() < 0.4:
        _paint_veins(images, brain, random)
    for channel in images:
        channel.copy_(_relit(channel, 1 - brain, random))
    if random.random() < 0.6:
        _paint_balls(images, brain, random)
    if random.random() < 0.2:
        images[:, : int(random.integers(1, 24))] = 0  # the scan ends below
    if random.random() < 0.4:
        kept = random.permutation(len(images))[: int(random.integers(1, len(images)))]
        for number in set(range(len(images))) - set(kept.tolist()):
            images[number] = 0
    return _as_network_reads(images), brain[None, None].contiguous()


def _as_network_reads(images: Tensor) -> Tensor:
    return torch.stack([scaled(channel) for channel in images])[None].contiguous()


def _read(head: Head, frame: Frame, matrix: Tensor, shift_mm: Tensor) -> tuple[Tensor, Tensor]:
    """Images (4, Z, Y, X) and brain (Z, Y, X) on the frame; its point p (x, y, z) shows matrix · p + shift."""
    source = torch.cat([torch.from_numpy(head.images).float(), torch.from_numpy(head.brain).float()[None]])[None]
    half_source = torch.tensor(source.shape[:1:-1], dtype=torch.float32) * SPACING_MM / 2
    half_frame = torch.tensor(frame.shape[::-1], dtype=torch.float32) * frame.spacing_mm / 2
    way = torch.zeros(1, 3, 4)
    way[0, :, :3] = matrix * half_frame[None, :] / half_source[:, None]
    way[0, :, 3] = shift_mm / half_source
    points = functional.affine_grid(way, [1, 1, *frame.shape], align_corners=False)
    read = functional.grid_sample(source, points, align_corners=False)[0]
    return read[:-1] / FULL_SCALE, read[-1] / 255.0


def _placing(random: np.random.Generator) -> Tensor:
    """A turn of some degrees, a stretch of some per cent, and a mirror half of the time."""
    angles = np.radians(random.normal(0, 6, 3))
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        turn = np.eye(3)
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    matrix = matrix @ np.diag(np.exp(random.normal(0, 0.06, 3))) * np.exp(random.normal(0, 0.04))
    if random.random() < _HALF:
        matrix = matrix @ np.diag([-1.0, 1.0, 1.0])
    return torch.from_numpy(matrix.astype(np.float32))


def _field(shape: Shape, length: float, deviation: float, random: np.random.Generator) -> Tensor:
    """A random field (Z, Y, X), smooth over `length` voxels."""
    coarse = random.standard_normal([1, 1, *(int(size / length) + 2 for size in shape)], dtype=np.float32)
    fine = functional.interpolate(torch.from_numpy(coarse), shape, mode="trilinear", align_corners=True)
    return fine[0, 0] * deviation


def _relit(channel: Tensor, outside: Tensor, random: np.random.Generator) -> Tensor:
    """One sequence with other tissue brightnesses around the brain, shading, contrast, noise, maybe ending early."""
    shape: Shape = (channel.shape[0], channel.shape[1], channel.shape[2])
    if random.random() < 0.8:
        channel = channel * torch.exp(_field(shape, 14, random.uniform(0, 0.5), random) * outside)
    if random.random() < 0.8:
        channel = channel * torch.exp(_field(shape, 40, random.uniform(0, 0.3), random))
    if random.random() < _HALF:
        channel = channel * torch.exp(_field(shape, 6, random.uniform(0, 0.2), random) * (0.3 + 0.7 * outside))
    if random.random() < _HALF:
        most = channel.max().clamp(min=1e-3)
        channel = most * (channel / most).clamp(min=0) ** float(np.exp(random.normal(0, 0.25)))
    if random.random() < 0.6:
        noise = torch.from_numpy(random.standard_normal(shape, dtype=np.float32))
        channel = channel + noise * float(random.uniform(0, 0.06)) * channel.mean()
    if random.random() < 0.15:
        axis = int(random.integers(0, 3))
        lost = int(shape[axis] * random.uniform(0.05, 0.3))
        start = 0 if random.random() < _HALF else shape[axis] - lost
        channel = channel.clone()
        channel.narrow(axis, start, lost).zero_()
    return channel.clamp(min=0)


def _coordinates(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    z, y, x = (torch.arange(size, dtype=torch.float32) for size in shape)
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _paint_balls(images: Tensor, brain: Tensor, random: np.random.Generator) -> None:
    z, y, x = _coordinates(brain.shape)
    for _ in range(int(random.integers(1, 6))):
        a, b, c = (float(random.uniform(0, size)) for size in brain.shape)
        inside = (z - a) ** 2 + (y - b) ** 2 + (x - c) ** 2 < random.uniform(3, 12) ** 2
        ball = inside & (brain < _NO_BRAIN) & (images.amax(0) > 0.05)
        for channel in images:
            channel[ball] = float(random.uniform(0, 1))


def _paint_veins(images: Tensor, brain: Tensor, random: np.random.Generator) -> None:
    """Spots right at the brain's surface: sinuses and mucosa, bright after contrast."""
    shape: Shape = (brain.shape[0], brain.shape[1], brain.shape[2])
    rim = (functional.max_pool3d(brain[None, None], 5, 1, 2)[0, 0] > _HALF) & (brain < _HALF)
    spots = (_field(shape, 5, 1.0, random) > 1.2) & rim
    levels = (random.uniform(0.2, 0.7), random.uniform(0.7, 1.6), random.uniform(0.05, 0.9), random.uniform(0.1, 0.7))
    for channel, level in zip(images, levels, strict=True):
        channel[spots] = float(level)


def _paint_eye_sockets(images: Tensor, brain: Tensor, frame: Frame, random: np.random.Generator) -> None:
    """A cone of fat with muscles and nerve behind each globe, in front of and below the frontal lobes."""
    found = (brain > _HALF).nonzero().float()
    if len(found) < _FEWEST_BRAIN:
        return
    mm = frame.spacing_mm
    level = float(found[:, 0].max()) - random.uniform(80, 115) / mm
    front, middle = float(found[:, 1].min()), float(found[:, 2].mean())
    fat = [random.uniform(0.5, 1.1), 0.0, random.uniform(0.4, 1.1), random.uniform(0.3, 1.1)]
    suppressed = random.random() > 0.8  # often after contrast
    fat[1] = random.uniform(0.2, 0.6) if suppressed else fat[0] * random.uniform(0.8, 1.2)
    globe = [random.uniform(0.1, 0.3), random.uniform(0.1, 0.3), random.uniform(0.7, 1.3), random.uniform(0.05, 0.3)]
    size, tilt = random.uniform(0.8, 1.25), random.uniform(-0.25, 0.35)
    for side in (-1, 1):
        apex = np.array(
            [level + tilt * 45 / mm, front + random.uniform(35, 48) / mm, middle + side * random.uniform(8, 14) / mm]
        )
        eye = np.array(
            [
                level + random.normal(0, 1),
                front + random.uniform(-8, 6) / mm,
                middle + side * random.uniform(28, 35) / mm,
            ]
        )
        free = brain < random.choice([_NO_BRAIN, 0.3, 0.6])
        _paint_one(images, (apex, eye), (fat, globe), size / mm, free, random)
    if random.random() < 0.7:
        _blur_slices(images, brain, int(level), int(front), mm, random)


def _paint_one(
    images: Tensor,
    ends: tuple[np.ndarray, np.ndarray],
    levels: tuple[list[float], list[float]],
    voxels_per_mm: float,
    free: Tensor,
    random: np.random.Generator,
) -> None:
    apex, eye = ends
    length = float(np.linalg.norm(eye - apex))
    along_z, along_y, along_x = ((eye - apex) / length).tolist()
    z, y, x = _coordinates(free.shape)
    dz, dy, dx = z - apex[0], y - apex[1], x - apex[2]
    along = dz * along_z + dy * along_y + dx * along_x
    aside = (dz**2 + dy**2 + dx**2 - along**2).clamp(min=0).sqrt()
    radius = (5 + (along / length).clamp(0, 1.25) * 15) * voxels_per_mm
    cone = (along > 0) & (along < 1.25 * length) & (aside < radius) & free
    quarter = (2 * torch.atan2((dx + 0 * along), (dz + 0 * along))).cos().abs() > 0.75  # four muscles
    muscle = cone & ((aside - 0.55 * radius).abs() < 2.2 * voxels_per_mm) & quarter
    nerve = cone & (aside < 2 * voxels_per_mm)
    ball = ((z - eye[0]) ** 2 + (y - eye[1]) ** 2 + (x - eye[2]) ** 2 < (12 * voxels_per_mm) ** 2) & free
    grain = 1 + 0.1 * torch.from_numpy(random.standard_normal(tuple(free.shape), dtype=np.float32))
    for channel, fat, globe in zip(images, *levels, strict=True):
        channel.copy_(torch.where(cone, fat * grain, channel))
        channel[muscle | nerve] = float(random.uniform(0.3, 0.6))
        channel[ball] = float(globe)


def _blur_slices(
    images: Tensor, brain: Tensor, level: int, front: int, mm: float, random: np.random.Generator
) -> None:
    """Thick slices blur what was painted, as they blurred the rest."""
    width = int(random.choice([3, 3, 5]))
    kernel = torch.full((1, 1, width, 1, 1), 1 / width)
    blurred = functional.conv3d(images[:, None], kernel, padding=(width // 2, 0, 0))[:, 0]
    z, y, x = _coordinates(brain.shape)
    near = (z > level - 30 / mm) & (z < level + 30 / mm) & (y < front + 60 / mm) & (x > -1) & (brain < _HALF)
    images.copy_(torch.where(near, blurred, images))
