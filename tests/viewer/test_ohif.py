"""A radiologist's viewer draws our outline where it was found: in every octant of the head, voxel by voxel.

Not part of `make test`: it needs a browser and OHIF. `make viewer` fetches both and runs it.
"""

from __future__ import annotations

import itertools
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from encode_cases import make_request
from orthanc import OrthancServer
from scipy.spatial import cKDTree
from validators import outlines_by_dcmqi

from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series
from bt_node.deliver.folder import send_folder
from bt_node.deliver.peer import Peer
from bt_node.domain.geometry import Grid
from bt_node.domain.result import ResultKind
from bt_node.domain.states import ENDED_STATES
from bt_node.domain.tumour import LabelMap
from bt_node.encode.results import encode_results
from bt_node.jobs import open_book
from bt_node.simulate.node_process import NodePlan, NodeProcess
from bt_node.simulate.uids import repeatable_uid

MODELS = Path(__file__).resolve().parents[2] / "models"
pytestmark = [pytest.mark.viewer, pytest.mark.timeout(600)]
OCTANTS = list(itertools.product((-1, 1), repeat=3))
GRID = Grid((24, 64, 64), (2.0, 2.0, 5.0), (-63.0, -63.0, -57.5))


def tumour_at(signs: tuple[int, int, int]) -> LabelMap:
    """Oedema around enhancing tumour around a dead core, 30 mm from the middle along each axis; left is +x (LPS)."""
    points = GRID.index_to_world(np.indices(GRID.shape).reshape(3, -1).T)
    distance = np.linalg.norm((points - 30.0 * np.array(signs)) / (1.0, 0.8, 1.2), axis=1).reshape(GRID.shape)
    return LabelMap(np.select([distance < 6, distance < 11, distance < 17], [1, 3, 2], 0).astype(np.uint8), GRID)


def positions(paths: list[Path], frames: Any) -> dict[int, np.ndarray]:
    """Where each label lies, LPS mm, by the image headers alone (PS3.3 C.7.6.2.1.1): nothing of ours takes part."""
    headers = {str(h.SOPInstanceUID): h for h in (pydicom.dcmread(path, stop_before_pixels=True) for path in paths)}
    found: dict[int, list[np.ndarray]] = {}
    for frame in frames:
        header = headers[frame.sop_instance_uid]
        row, column = np.divmod(frame.places, header.Columns)
        cosines = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        down, right = (float(step) for step in header.PixelSpacing)
        points = np.array(header.ImagePositionPatient, float) + np.outer(column * right, cosines[0])
        points += np.outer(row * down, cosines[1])
        for label in np.unique(frame.labels):
            found.setdefault(int(label), []).append(points[frame.labels == label])
    return {label: np.concatenate(parts) for label, parts in found.items()}


def same_places(drawn: np.ndarray, truth: np.ndarray) -> bool:
    """Each drawn voxel lies on one of the truth's, within a tenth of the finest pixel, and none lacks."""
    if len(drawn) != len(truth) or len(drawn) == 0:
        return len(drawn) == len(truth)
    distance, partner = cKDTree(truth).query(drawn)
    return bool(distance.max() < 0.03 and len(set(partner.tolist())) == len(truth))


def side(signs: tuple[int, int, int]) -> str:
    """`left-anterior-superior` and so on."""
    words = (("right", "left"), ("anterior", "posterior"), ("inferior", "superior"))
    return "-".join(pair[sign > 0] for pair, sign in zip(words, signs, strict=True))


@pytest.mark.parametrize("signs", OCTANTS, ids=side)
def test_the_outline_is_drawn_in_the_octant_where_the_tumour_is(
    signs: tuple[int, int, int], ohif: Any, orthanc: OrthancServer, tmp_path: Path
) -> None:
    labels, study = tumour_at(signs), repeatable_uid("octant", signs)
    request = make_request(tmp_path, labels=labels, study_uid=study)
    [seg] = [item for item in encode_results(request) if item.kind is ResultKind.SEG]
    (tmp_path / "SEG.dcm").write_bytes(seg.content)
    images = sorted((tmp_path / "t1c").iterdir())
    for path in (*images, tmp_path / "SEG.dcm"):
        orthanc.upload(path)
    drawn = positions(images, ohif.outline(study, tmp_path / "shot.png"))
    for number, region in enumerate((1, 2, 3), start=1):
        truth = GRID.index_to_world(np.argwhere(labels.array == region))
        assert same_places(drawn[number], truth)
        assert (np.sign(drawn[number].mean(axis=0)) == signs).all()
    by_dcmqi = outlines_by_dcmqi(tmp_path / "SEG.dcm", GRID)
    for mask, region in zip(by_dcmqi, (1, 2, 3), strict=True):
        np.testing.assert_array_equal(mask, labels.array == region)


@pytest.mark.shared_data
def test_the_outline_of_a_real_patient_is_drawn_where_the_segmenter_found_it(
    ohif: Any, orthanc: OrthancServer, shared_data: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(shared_data / "dicom" / "patient_b.zip") as archive:
        archive.extractall(tmp_path / "patient")
    pacs = Peer(orthanc.ae_title, "127.0.0.1", orthanc.dicom_port)
    send_folder(pacs, "PACS", tmp_path / "patient")
    plan = NodePlan(models=MODELS, sources=("PACS",), destinations={"orthanc": pacs})
    with NodeProcess(tmp_path / "node", plan) as node:
        node.wait_until_listening("PACS")
        send_folder(node.peer, "PACS", tmp_path / "patient")
        view = when_done(node)
    [t1c] = [entry["series_instance_uid"] for entry in view["roles"] if entry["role"] == "T1C"]
    [seg] = [entry["sop_instance_uid"] for entry in view["results"] if entry["kind"] == "SEG"]
    (tmp_path / "SEG.dcm").write_bytes(orthanc.file(seg))
    images = [path for path in (tmp_path / "patient").rglob("*") if path.is_file() and series_of(path) == t1c]
    drawn = positions(images, ohif.outline(view["study_instance_uid"], tmp_path / "shot.png"))
    grid = grid_of(images)
    masks = outlines_by_dcmqi(tmp_path / "SEG.dcm", grid)
    for number, mask in enumerate(masks, start=1):
        truth = grid.index_to_world(np.argwhere(mask))
        assert same_places(drawn.get(number, np.empty((0, 3))), truth)


def when_done(node: NodeProcess) -> dict[str, Any]:
    book = open_book(node.config.database.url)
    try:
        deadline = time.monotonic() + 240
        while not (ended := [job for job in book.summaries() if job.state in ENDED_STATES]):
            assert time.monotonic() < deadline, node.log_path.read_text()[-3000:]
            time.sleep(0.5)
        return book.view(ended[0].id)
    finally:
        book.close()


def series_of(path: Path) -> str:
    return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"]).SeriesInstanceUID)


def grid_of(images: list[Path]) -> Grid:
    """Of one classic series, as the node reads it."""
    paths = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in images}
    return load_series(read_study(paths).series[0], paths).volume.grid
