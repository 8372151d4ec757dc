"""Distortions of framed grey pictures, a batch at a time, on the batch's device.

Besides turning and zooming, each one takes away a sign by which the collections, not the tumours, could be told
apart: tones (borrowed from another picture of the batch, whatever its class), gamma, bias field, sharpness,
compression, noise.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from training.classifier.recipe import AugmentationRecipe

_AIR = 8 / 255  # darker than this is background when tones are borrowed
_LEVELS = 256


def augment(grey: torch.Tensor, wanted: AugmentationRecipe, generator: torch.Generator) -> torch.Tensor:
    """Distort pictures (N, S, S) of 0 to 1; returns the same shape and range."""
    pictures = _move(grey, wanted, generator)
    pictures = _borrow_tones(pictures, wanted.borrowed_tones, generator)
    pictures = _gamma(pictures, wanted.gamma, generator)
    pictures = _bias_field(pictures, wanted.bias_field, generator)
    pictures = _fade_rim(pictures, wanted.darkened_rim, generator)
    pictures = _blur(pictures, wanted.blur, generator)
    pictures = _noise(pictures, wanted.noise, generator)
    return _compress(pictures.clamp(0.0, 1.0), wanted.jpeg, generator)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _chosen(count: int, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Numbers of the pictures that a distortion hits."""
    return torch.nonzero(torch.rand(count, generator=generator) < chance).flatten()


def _move(grey: torch.Tensor, wanted: AugmentationRecipe, generator: torch.Generator) -> torch.Tensor:
    """Flip, turn, zoom, stretch and shift in one interpolation; what comes from outside is air."""
    count = len(grey)
    angle = _uniform(count, -1, 1, generator) * math.radians(wanted.rotation_deg)
    scale = torch.exp(_uniform(count, -1, 1, generator) * math.log1p(wanted.zoom))
    stretch = torch.exp(_uniform(count, -1, 1, generator) * math.log1p(wanted.stretch))
    mirror = torch.where(torch.rand(count, generator=generator) < wanted.flip, -1.0, 1.0)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0], matrix[:, 0, 1] = cosine * scale * stretch * mirror, -sine * scale
    matrix[:, 1, 0], matrix[:, 1, 1] = sine * scale * stretch * mirror, cosine * scale
    matrix[:, :, 2] = (torch.rand(count, 2, generator=generator) * 2 - 1) * 2 * wanted.shift
    grid = functional.affine_grid(matrix.to(grey.device), [count, 1, *grey.shape[1:]], align_corners=False)
    return functional.grid_sample(grey[:, None], grid, mode="bilinear", align_corners=False)[:, 0]


def _borrow_tones(pictures: torch.Tensor, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Give a picture's tissue the histogram of another one's, partly; the order of its greys stays."""
    lenders = torch.randperm(len(pictures), generator=generator)
    result = pictures.clone()
    for number in _chosen(len(pictures), chance, generator).tolist():
        strength = float(_uniform(1, 0.3, 1.0, generator))
        picture, lender = pictures[number], pictures[lenders[number]]
        tissue, wanted = picture[picture > _AIR], lender[lender > _AIR]
        if tissue.numel() == 0 or wanted.numel() == 0:
            continue
        level = (picture * (_LEVELS - 1)).long().clamp(0, _LEVELS - 1)
        matched = _tone_curve(tissue, wanted)[level]
        mixed = torch.lerp(picture, matched, strength)
        result[number] = torch.where(picture > _AIR, mixed, picture)
    return result


def _tone_curve(tissue: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """For each of 256 greys the grey of the same rank in the lender's tissue."""
    share = torch.histc(tissue, _LEVELS, 0.0, 1.0).cumsum(0) / tissue.numel()
    lent = torch.histc(wanted, _LEVELS, 0.0, 1.0).cumsum(0) / wanted.numel()
    return torch.searchsorted(lent, share.clamp(max=float(lent[-1]))).clamp(max=_LEVELS - 1) / (_LEVELS - 1)


def _gamma(pictures: torch.Tensor, deviation: float, generator: torch.Generator) -> torch.Tensor:
    exponent = torch.exp(torch.randn(len(pictures), generator=generator) * deviation).view(-1, 1, 1)
    gain = _uniform(len(pictures), 0.8, 1.15, generator).view(-1, 1, 1)
    return pictures.clamp(0.0, 1.0) ** exponent.to(pictures.device) * gain.to(pictures.device)


def _bias_field(pictures: torch.Tensor, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Multiply by a smooth field, as a coil's sensitivity does."""
    hit = _chosen(len(pictures), chance, generator)
    if len(hit) == 0:
        return pictures
    coarse = torch.randn(len(hit), 1, 3, 3, generator=generator) * 0.25
    field = functional.interpolate(coarse, size=pictures.shape[1:], mode="bicubic", align_corners=True)[:, 0]
    result = pictures.clone()
    result[hit] = pictures[hit] * torch.exp(field).to(pictures.device)
    return result


def _fade_rim(pictures: torch.Tensor, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Darken tissue outside an ellipse, partly: near what a stripped skull or a small field of view leaves."""
    result = pictures.clone()
    side = pictures.shape[-1]
    axis = torch.linspace(-1, 1, side)
    for number in _chosen(len(pictures), chance, generator).tolist():
        width, height = _uniform(2, 0.7, 0.95, generator).tolist()
        radius = torch.sqrt((axis[None] / width) ** 2 + (axis[:, None] / height) ** 2)
        keep = float(_uniform(1, 0.0, 0.6, generator))
        soft = torch.sigmoid((1.0 - radius) * 30.0)
        result[number] = pictures[number] * (keep + (1 - keep) * soft).to(pictures.device)
    return result


def _blur(pictures: torch.Tensor, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Take a picture down to a coarser matrix and up again."""
    result = pictures.clone()
    side = pictures.shape[-1]
    for number in _chosen(len(pictures), chance, generator).tolist():
        coarse = max(16, int(side / float(_uniform(1, 1.2, 2.5, generator))))
        small = functional.interpolate(pictures[number][None, None], size=(coarse, coarse), mode="area")
        result[number] = functional.interpolate(small, size=(side, side), mode="bilinear", align_corners=False)[0, 0]
    return result


def _noise(pictures: torch.Tensor, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Add noise; its magnitude in air, as a magnitude image has it."""
    hit = _chosen(len(pictures), chance, generator)
    if len(hit) == 0:
        return pictures
    deviation = _uniform(len(hit), 0.005, 0.05, generator).view(-1, 1, 1)
    grain = torch.randn(len(hit), *pictures.shape[1:], generator=generator) * deviation
    result = pictures.clone()
    result[hit] = (pictures[hit] + grain.to(pictures.device)).abs()
    return result


def _compress(pictures: torch.Tensor, chance: float, generator: torch.Generator) -> torch.Tensor:
    """Save as JPEG of some quality and read again."""
    result = pictures.clone()
    for number in _chosen(len(pictures), chance, generator).tolist():
        quality = int(_uniform(1, 25, 90, generator))
        raw = np.asarray((pictures[number] * 255).round().cpu().numpy(), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(raw).save(file, format="JPEG", quality=quality)
        read = np.array(Image.open(file), dtype=np.float32) / 255
        result[number] = torch.from_numpy(read).to(pictures.device)
    return result
