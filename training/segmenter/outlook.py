"""What a training run will need, said before the long work starts: from its plan, then from its first steps."""

from __future__ import annotations

import resource
import shutil
import sys
from pathlib import Path

import torch

from training.progress import Pace, duration
from training.segmenter.recipe import SegmenterRecipe
from training.segmenter.split import Split

TIMED_STEPS = 5
_CACHE_MB_PER_SEQUENCE = 7  # BraTS: 27 MB for four sequences and labels


def plan_in_words(recipe: SegmenterRecipe, split: Split, parameters: int, device: torch.device, run: Path) -> str:
    """Network, cases, patch and disk, as known before anything was computed."""
    cases = len(split.training) + len(split.validation)
    need = cases * len(recipe.data.roles) * _CACHE_MB_PER_SEQUENCE / 1000
    free = shutil.disk_usage(run).free / 1e9
    tight = " THE DISK MAY FILL." if free < need else ""
    fold = f", fold {recipe.data.fold} of {recipe.data.folds}" if recipe.data.folds else ""
    size = " × ".join(map(str, recipe.sampling.patch))
    return "\n".join(
        [
            f"{recipe.network.architecture}: {parameters:,} parameters on {device}",
            (
                f"{len(split.training)} cases train, {len(split.validation)} validate, split by patient{fold}; "
                f"split {split.sha256[:12]}"
            ),
            f"patches {size}, {recipe.sampling.batch} a step, {recipe.optimiser.steps} steps",
            f"cache of prepared cases: about {need:.1f} GB in all, {free:.1f} GB free.{tight}",
        ]
    )


def memory_in_words(device: torch.device) -> str:
    """The highest memory so far, measured."""
    said = f"{peak_memory() / 2**30:.1f} GiB of memory"
    if device.type == "cuda":
        said += f", {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of GPU memory"
    return f"measured peak after one step: {said}"


def time_in_words(pace: Pace) -> str:
    """How long the rest takes at the pace of the first steps."""
    return (
        f"measured over the first steps: {pace.step_seconds:.2f} s a step, so {duration(pace.left_seconds())} "
        "to the end, validations not counted"
    )


def peak_memory() -> int:
    """Highest resident memory of this process in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
