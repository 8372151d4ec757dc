"""Independent validators over result objects, and the place of outlines as another library sees it.

No validator catches all faults: each test of a result set should run them all (`validate`), and compare geometry
(`outlines_by_dcmqi`), which none of them does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk  # noqa: N813 - its usual name

from bt_node.domain.geometry import Grid

Find = Callable[[str], str]
PIXELMED_JAR = Path("/usr/share/java/pixelmed.jar")

# A line that only names the IOD, and DeviceUID, which is Type 3 here in the current standard.
_DCIODVFY_ALLOWED = re.compile(r"^\w+$|ContributingEquipmentSequence.*DeviceUID")
# The tool compares attributes of different IODs as though they were of one.
_DCENTVFY_ALLOWED = re.compile(r"Different information entities for attribute")
_DSRDUMP_ALLOWED = re.compile(r"VR checker does not support")
# pixelmed's templates need more XPath than Java grants; without these it fails, with exit code 0.
_JAVA_LIMITS = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprGrp", "ExprOp", "TotalOp")]
_JAVA_QUICK = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
_SECONDS = 240


def find_program(name: str) -> str:
    """Path of a program beside this Python or on PATH; the test fixture `peer` skips instead of raising."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if found is None:
        raise FileNotFoundError(f"{name} is not installed: run `make peers`")
    return found


def validate(objects_dir: Path, source_dirs: Sequence[Path], find: Find = find_program) -> tuple[str, ...]:
    """Run every validator over the objects in a folder (searched in depth).

    Args:
        objects_dir: result objects, `*.dcm`.
        source_dirs: the images they refer to.
        find: how programs are found; give the fixture `peer` in tests that may skip.

    Returns:
        All complaints, one line each with the validator's name; empty means clean.
    """
    files = sorted(objects_dir.rglob("*.dcm"))
    if not files:
        return (f"no objects in {objects_dir}",)
    programs = ("dciodvfy", "dcentvfy", "segimage2itkimage", "tid1500reader", "dsrdump", "java")
    paths = {name: find(name) for name in programs}

    def known(name: str) -> str:
        return paths[name]

    with ThreadPoolExecutor(2) as pool:
        per_file = [
            complaint for found in pool.map(lambda path: _validate_file(path, known), files) for complaint in found
        ]
    return (*per_file, *dcentvfy(files, source_dirs, known))


def _validate_file(path: Path, find: Find) -> list[str]:
    complaints = dciodvfy(path, find)
    modality = pydicom.dcmread(path, specific_tags=["Modality"]).Modality
    if modality == "SEG":
        complaints += segimage2itkimage(path, find)
    if modality == "SR":
        complaints += [*pixelmed(path, find), *dsrdump(path, find), *tid1500reader(path, find)]
    return complaints


def dciodvfy(path: Path, find: Find = find_program) -> list[str]:
    """IOD modules, types, value representations, references (dicom3tools of 2026)."""
    _, text = _run([find("dciodvfy"), "-new", str(path)])
    return [f"dciodvfy {path.name}: {line}" for line in _lines(text) if not _DCIODVFY_ALLOWED.search(line)]


def dcentvfy(files: Iterable[Path], source_dirs: Sequence[Path], find: Find = find_program) -> list[str]:
    """One patient, one study, and no reference into the void, over objects and sources together."""
    results = [str(path) for path in files]
    sources = [str(path) for folder in source_dirs for path in sorted(folder.rglob("*")) if path.is_file()]
    _, text = _run([find("dcentvfy"), *sources, *results])
    return [f"dcentvfy: {line}" for line in _lines(text) if _counts(line, results)]


def _counts(line: str, results: Sequence[str]) -> bool:
    """References that the sources themselves leave open are not ours to judge."""
    if _DCENTVFY_ALLOWED.search(line):
        return False
    return "Missing SOPInstanceUID that was referenced" not in line or any(path in line for path in results)


def pixelmed(path: Path, find: Find = find_program) -> list[str]:
    """Conformance of an SR to its template, TID 1500 with all it contains."""
    if not PIXELMED_JAR.is_file():
        find(PIXELMED_JAR.name)  # skips or fails, as for a program
    program = [find("java"), *_JAVA_QUICK, *_JAVA_LIMITS, "-cp", str(PIXELMED_JAR)]
    _, text = _run([*program, "com.pixelmed.validate.DicomSRValidator", str(path)])
    complaints = [line for line in _lines(text) if re.search(r"^(Error|Warning)|Exception", line)]
    wanted = ("Root Template Validation Complete", "IOD validation complete")
    complaints += [f"it did not say {sentence!r}" for sentence in wanted if sentence not in text]
    return [f"pixelmed {path.name}: {line}" for line in complaints]


def dsrdump(path: Path, find: Find = find_program) -> list[str]:
    """Consistency of the SR tree and its attribute types, by DCMTK."""
    done = subprocess.run([find("dsrdump"), "-Ec", str(path)], capture_output=True, timeout=_SECONDS, check=False)
    lines = _lines(done.stderr.decode(errors="replace"))
    complaints = [line for line in lines if not _DSRDUMP_ALLOWED.search(line)]
    if done.returncode and not complaints:
        complaints = [f"exit code {done.returncode}"]
    return [f"dsrdump {path.name}: {line}" for line in complaints]


def tid1500reader(path: Path, find: Find = find_program) -> list[str]:
    """The SR reads as measurements (dcmqi)."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "measurements.json"
        code, _ = _run([find("tid1500reader"), "--inputDICOM", str(path), "--outputMetadata", str(target)])
        read = json.loads(target.read_text()) if target.is_file() and target.stat().st_size else {}
    if code == 0 and read.get("Measurements"):
        return []
    return [f"tid1500reader {path.name}: exit code {code}, {len(read.get('Measurements', []))} measurement groups"]


def segimage2itkimage(path: Path, find: Find = find_program) -> list[str]:
    """The SEG decodes in DCMTK and ITK (dcmqi)."""
    with tempfile.TemporaryDirectory() as folder:
        return _decode_with_dcmqi(path, Path(folder), find)


def _decode_with_dcmqi(path: Path, folder: Path, find: Find) -> list[str]:
    arguments = ["--inputDICOM", str(path), "--outputDirectory", str(folder), "--outputType", "nii"]
    code, text = _run([find("segimage2itkimage"), *arguments])
    faults = [line for line in _lines(text) if re.search(r"error|fatal", line, re.IGNORECASE)]
    if code or faults or not list(folder.glob("*.nii.gz")):
        return [f"segimage2itkimage {path.name}: exit code {code} {' '.join(faults[:2])}".strip()]
    return []


def outlines_by_dcmqi(path: Path, grid: Grid, find: Find = find_program) -> list[np.ndarray]:
    """Segments as dcmqi and SimpleITK place them in the patient, brought onto `grid`.

    Returns:
        One bool array (Z, Y, X) for each segment, in the order of segment numbers.
    """
    with tempfile.TemporaryDirectory() as folder:
        complaints = _decode_with_dcmqi(path, Path(folder), find)
        assert complaints == [], complaints
        files = sorted(Path(folder).glob("*.nii.gz"), key=lambda file: int(file.name.split(".")[0]))
        return [_on_grid(sitk.ReadImage(str(file)), grid) for file in files]


def _on_grid(image: sitk.Image, grid: Grid) -> np.ndarray:
    # dcmqi writes only the slices that hold something, and may turn axes: compare by place, never by index.
    target = sitk.Image(*reversed(grid.shape), sitk.sitkUInt8)
    target.SetSpacing(grid.spacing)
    target.SetOrigin(grid.origin)
    target.SetDirection(grid.direction)
    on_grid = sitk.Resample(image, target, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return np.asarray(sitk.GetArrayFromImage(on_grid) > 0)


def _run(command: list[str]) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
