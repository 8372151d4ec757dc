"""From labels to SEG and back for every right-handed order of axes, on a matrix that fills no whole bytes."""

from __future__ import annotations

import itertools
from io import BytesIO
from pathlib import Path

import encode_cases
import numpy as np
import pytest

from bt_node.domain.geometry import Grid
from bt_node.domain.tumour import LabelMap, Region
from bt_node.encode.readback import decode_segmentation
from bt_node.encode.report import segments_of
from bt_node.encode.results import encode_results

pytestmark = pytest.mark.integration

RIGHT_HANDED = [
    direction
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
    if np.linalg.det(direction := np.eye(3)[:, list(order)] * np.array(signs)) > 0
]


def awkward_labels(grid: Grid) -> LabelMap:
    """One voxel in a corner, a lesion on one slice at the edge, one on the last slice: no flip can hide in them."""
    array = np.zeros(grid.shape, dtype=np.uint8)
    array[0, 0, 0] = 3
    array[1, 2:6, -4:] = 2
    array[1, 3, -2] = 1
    array[-1, -3:, 1:4] = 2
    return LabelMap(array, grid)


@pytest.mark.parametrize("direction", RIGHT_HANDED, ids=lambda d: "".join(f"{int(v):+d}" for v in d.sum(axis=0)))
def test_every_voxel_is_found_in_patient_coordinates(tmp_path: Path, direction: np.ndarray) -> None:
    grid = Grid((4, 11, 13), (0.9, 1.2, 4.5), (-31.0, 12.5, 70.25), tuple(float(v) for v in direction.ravel()))
    request = encode_cases.make_request(tmp_path, labels=awkward_labels(grid))
    main, *_ = encode_results(request)
    outlines = decode_segmentation(BytesIO(main.content), grid)
    for region, outline in zip(segments_of(main.kind, request.outlined), outlines, strict=True):
        assert np.array_equal(outline, request.labels.mask(region)), region
    (corner,) = grid.index_to_world(np.argwhere(outlines[segments_of(main.kind, request.outlined).index(Region.ET)]))
    assert np.allclose(corner, grid.origin)


def test_all_24_are_there() -> None:
    assert len({tuple(direction.ravel()) for direction in RIGHT_HANDED}) == 24
