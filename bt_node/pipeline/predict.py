"""The models on files of the researcher's own, without DICOM results: NIfTI in, labels out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bt_node.convert.nifti import read_nifti
from bt_node.convert.prepare import prepare, prepare_preprocessed, reference_role
from bt_node.convert.regrid import to_source_grid
from bt_node.domain.errors import FilesMissingError
from bt_node.domain.study import Role
from bt_node.domain.tumour import LabelMap
from bt_node.infer.brain import BrainFinder
from bt_node.infer.segmenter import Segmenter
from bt_node.judge.stray_parts import left_out
from bt_node.pipeline.outline import tumour_probabilities


def segment_nifti(
    files: Mapping[Role, Path], segmenter: Segmenter, brain: BrainFinder | None = None, *, preprocessed: bool
) -> tuple[LabelMap, tuple[str, ...]]:
    """Outline the tumour on NIfTI files.

    Args:
        files: one file for each role; any orientation, the header decides. A release with `needs_one_of` takes fewer
            than four.
        segmenter: the loaded release.
        brain: finds the brain in heads with skull; None: brightness and shape decide.
        preprocessed: the files are BraTS-like: co-registered, skull-stripped. Otherwise they are treated as a
            clinical study: registered to the T1c (without one: FLAIR, T2, T1), masked, resampled.

    Returns:
        Labels 0-3 on the grid of the T1c file, or of what stands in for it, and cautions. Labels are what the network
        draws: without T1c the parts of the tumour are guessed by it (`bt_node.judge.missing`). Of heads, what it drew
        outside the brain, apart from the lesion, is left out, and a caution says so.

    Raises:
        FilesMissingError: the release cannot answer on so few sequences.
    """
    lacking = segmenter.input.lacking(files)
    if lacking:
        one_of = bool(segmenter.needs_one_of)
        raise FilesMissingError(segmenter.identity.name, [role.value for role in lacking], one_of=one_of)
    volumes = {role: read_nifti(path) for role, path in files.items()}
    prepared = prepare_preprocessed(volumes) if preprocessed else prepare(volumes, brain.predict if brain else None)
    found = tumour_probabilities(prepared, segmenter)
    target = volumes[reference_role(volumes)].grid
    on_target = to_source_grid(found.probabilities, prepared.grid, target)
    labels = segmenter.decide(on_target, voxel_mm3=target.voxel_volume_mm3)
    return LabelMap(labels, target), left_out(found.left_out_ml)
