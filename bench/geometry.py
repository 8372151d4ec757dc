"""Which series of a folder are read, which are refused and why, and how far voxel corners lie from dcm2niix's.

    python -m bench.geometry FOLDER…            prints the table in Markdown
    python -m bench.geometry FOLDER… --write    puts it into docs/geometry.md

Each folder below the given ones that holds DICOM files is one row, named by its path and nothing of its headers. Zip
files are unpacked first. The distance is that of the outermost corners: two affine maps differ most there.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pydicom
import SimpleITK as sitk

from bt_node.assemble.study import read_study
from bt_node.convert.itk import grid_of
from bt_node.convert.stack import load_series
from bt_node.domain.errors import BtNodeError
from bt_node.domain.geometry import Grid

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "geometry.md"
START, END = "<!-- table: python -m bench.geometry -->\n", "<!-- end of table -->\n"
HEAD = ("series", "instances", "volume (z, y, x)", "read", "dcm2niix", "corners apart, mm", "seconds: node, dcm2niix")
# Debian's dcm2niix must not apply Philips' private scale (-p n) nor merge series (-m n).
DCM2NIIX = ("dcm2niix", "-p", "n", "-b", "n", "-z", "n", "-m", "n", "-f", "%s_%p")


@dataclass(frozen=True)
class Row:
    """One series folder; every field is ready to be shown."""

    name: str
    instances: int
    volumes: str
    read: str
    peer: str
    apart: str
    seconds: str

    def __str__(self) -> str:
        values = (self.name, self.instances, self.volumes, self.read, self.peer, self.apart, self.seconds)
        return f"| {' | '.join(str(value) for value in values)} |"


def corners(grid: Grid) -> np.ndarray:
    outermost = [(-0.5, n - 0.5) for n in grid.shape]
    return grid.index_to_world(np.array(np.meshgrid(*outermost, indexing="ij")).reshape(3, -1).T)


def apart_mm(ours: Grid, theirs: Grid) -> float:
    """Largest distance of a corner of ours to the nearest corner of the other: axes may be swapped and flipped."""
    distances = np.linalg.norm(corners(ours)[:, None] - corners(theirs)[None], axis=2)
    return float(max(distances.min(axis=0).max(), distances.min(axis=1).max()))


def read_ours(files: list[Path]) -> tuple[list[Grid], str]:
    """Grids of the volumes in one folder, and "yes" or why not."""
    paths = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in files}
    facts = read_study(paths)
    if not facts.series:
        return [], f"set aside: {facts.set_aside[0].reason}"
    try:
        return [load_series(series, paths).grid for series in facts.series], "yes"
    except BtNodeError as error:
        return [], f"refused: `{error.code}`"


def read_theirs(folder: Path) -> tuple[list[Grid], str]:
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run([*DCM2NIIX, "-o", out, str(folder)], capture_output=True, check=False, timeout=300)
        images = [sitk.ReadImage(str(path)) for path in sorted(Path(out).glob("*.nii"))]
    grids = [grid_of(image) for image in images if image.GetDimension() == 3]
    if not grids:
        return [], f"no (exit status {done.returncode})"
    return grids, "yes" if len(grids) == 1 else f"{len(grids)} volumes"


def row(name: str, folder: Path) -> Row:
    files = sorted(folder.glob("*.dcm"))
    started = time.perf_counter()
    ours, read = read_ours(files)
    middle = time.perf_counter()
    theirs, peer = read_theirs(folder)
    seconds = f"{middle - started:.2f}, {time.perf_counter() - middle:.2f}"
    both = len(ours) == len(theirs) == 1
    apart = f"{apart_mm(ours[0], theirs[0]):.5f}" if both else "–"
    return Row(
        name,
        len(files),
        ", ".join("×".join(map(str, grid.shape)) for grid in ours) or "–",
        read,
        peer,
        apart,
        seconds,
    )


def rows(given: list[Path], scratch: Path) -> Iterator[Row]:
    for path in given:
        root = path
        if path.suffix == ".zip":
            root = scratch / path.stem
            with ZipFile(path) as packed:
                packed.extractall(root)
        for folder in sorted({file.parent for file in root.rglob("*.dcm")}):
            yield row(f"{path.stem}/{folder.relative_to(root)}", folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="put the table, without seconds, into docs/geometry.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = list(rows(arguments.folders, Path(scratch)))
    print(table(HEAD, [str(each) for each in found]))
    if arguments.write:
        shown = [str(each).rsplit("|", 2)[0] + "|" for each in found]
        text = DOCUMENT.read_text()
        before, after = text.split(START)[0], text.split(END)[1]
        DOCUMENT.write_text(before + START + table(HEAD[:-1], shown) + END + after)


def table(head: tuple[str, ...], lines: list[str]) -> str:
    return "\n".join((f"| {' | '.join(head)} |", "|---" * len(head) + "|", *lines)) + "\n"


if __name__ == "__main__":
    main()
