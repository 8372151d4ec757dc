"""Headers and geometry of real scanners, classic and multi-frame (only where the shared data lies)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import encode_cases
import numpy as np
import pydicom
import pytest
import validators

from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series
from bt_node.domain.result import ResultKind
from bt_node.domain.tumour import Findings
from bt_node.encode.report import segments_of
from bt_node.encode.results import EncodeRequest, encode_results

pytestmark = [pytest.mark.integration, pytest.mark.shared_data]


@pytest.mark.parametrize(
    "folder",
    [
        "ge/t1_4slices/",
        "philips/enhanced_mr/",
        "siemens/t1_4slices/",
        "siemens_xa30/enhanced_t1/",
        "siemens_positions/HFDR/",
    ],
)
def test_an_outline_on_a_real_series_is_found_by_dcmqi_where_it_was_put(
    tmp_path: Path, shared_data: Path, peer: Callable[[str], str], folder: str
) -> None:
    with zipfile.ZipFile(shared_data / "dicom" / "vendors.zip") as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if name.startswith(folder)])
    files = [path for path in sorted((tmp_path / folder).rglob("*")) if path.is_file()]
    paths = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in files}
    series = load_series(read_study(paths).series[0], paths)
    labels = encode_cases.nested_labels(series.grid)
    findings = Findings(encode_cases.measurements(labels), encode_cases.SEGMENTER)
    request = EncodeRequest(series, paths, labels, findings, encode_cases.ANALYSED_AT, encode_cases.NODE)
    main, *_ = encode_cases.save(encode_results(request), tmp_path / "out")
    outlines = validators.outlines_by_dcmqi(main, series.grid, peer)
    for region, outline in zip(segments_of(ResultKind.SEG, request.outlined), outlines, strict=True):
        assert np.array_equal(outline, labels.mask(region)), region
