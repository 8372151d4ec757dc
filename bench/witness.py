"""How often the images tell right roles from exchanged ones: `python -m bench.witness --data DIR [--heads]`.

DIR holds `segmentation/` (BraTS 2018's layout), and where there are any `native/` and `dicom/patient_b.zip`, as
scanned. Without --data: phantoms by formula. Each study is asked once as it is, and once for each of the six
exchanges of two roles; the prepared images are exchanged, and for studies as scanned also, with --heads, the series
before registration and brain mask, which then run on the wrong names too.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TypeVar

from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import read_study
from bt_node.convert.nifti import read_nifti
from bt_node.convert.prepare import PreparedStudy, prepare, prepare_preprocessed
from bt_node.convert.stack import load_series
from bt_node.deliver.folder import find_files
from bt_node.domain.errors import BtNodeError
from bt_node.domain.geometry import BoolArray, ImageArray, Volume
from bt_node.domain.study import Role
from bt_node.judge.witness import Opinion, Statement, look_at
from bt_node.simulate.phantom import brats_like
from bt_node.simulate.tumour import TumourShape

_BRATS = {Role.T1: "t1", Role.T1C: "t1ce", Role.T2: "t2", Role.FLAIR: "flair"}
_NATIVE = {Role.T1: "t1", Role.T1C: "t1c", Role.T2: "t2", Role.FLAIR: "flair"}
_PHANTOMS = 4
_T = TypeVar("_T")
_PAIRS = list(combinations(Role, 2))


@dataclass
class Tally:
    """Counts of one kind of study: roles by opinion where all are right, exchanges by outcome, extremes."""

    studies: int = 0
    right: Counter[Opinion] = field(default_factory=Counter)
    exchanges: dict[tuple[Role, Role], Counter[str]] = field(default_factory=lambda: {p: Counter() for p in _PAIRS})
    numbers: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def hear_right(self, statements: Mapping[Role, Statement]) -> None:
        self.studies += 1
        self.right.update(said.opinion for said in statements.values())
        found = {"fluid ml": statements[Role.T2].numbers["fluid_ml"]}
        found["fluid ratio"] = statements[Role.T2].numbers["fluid_ratio"]
        found |= {
            f"like T2: {role.value}": said.numbers["like_t2"]
            for role, said in statements.items()
            if "like_t2" in said.numbers
        }
        found["tail of T1C"] = statements[Role.T1C].numbers.get("tail", float("nan"))
        for name, value in found.items():
            self.numbers.setdefault(name, []).append(value)

    def hear_exchanged(self, pair: tuple[Role, Role], statements: Mapping[Role, Statement]) -> None:
        against = {role for role, said in statements.items() if said.opinion is Opinion.CONTRADICTS}
        found = "named" if against == set(pair) else "seen" if against else "missed"
        self.exchanges[pair][found] += 1


def ask(tally: Tally, inputs: Mapping[Role, ImageArray], brain: BoolArray) -> None:
    """Right names, then each exchange of two."""
    started = time.process_time()
    statements = look_at(inputs, brain)
    tally.seconds.append(time.process_time() - started)
    tally.hear_right(statements)
    for pair in _PAIRS:
        tally.hear_exchanged(pair, look_at(_exchanged(inputs, pair), brain))


def _exchanged(of: Mapping[Role, _T], pair: tuple[Role, Role]) -> dict[Role, _T]:
    one, other = pair
    return {**of, one: of[other], other: of[one]}


def phantoms() -> Iterator[PreparedStudy]:
    """Stripped heads of 2 mm, each with and without a tumour."""
    for seed in range(1, _PHANTOMS + 1):
        for tumour in (TumourShape(), None):
            case = brats_like(seed=seed, tumour=tumour, shape=(78, 120, 120), spacing_mm=2.0)
            yield prepare_preprocessed(case.volumes)


def stripped(folder: Path) -> Iterator[PreparedStudy]:
    """Cases as BraTS has them."""
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        yield prepare_preprocessed({role: read_nifti(_only(case, f"*_{name}.nii*")) for role, name in _BRATS.items()})


def as_scanned(folder: Path) -> Iterator[Mapping[Role, Volume]]:
    """Heads on the scanner's grids."""
    if (folder / "native").is_dir():
        yield {role: read_nifti(folder / "native" / f"{name}.nii.gz") for role, name in _NATIVE.items()}
    archive = folder / "dicom" / "patient_b.zip"
    if archive.is_file():
        with tempfile.TemporaryDirectory() as extracted:
            zipfile.ZipFile(archive).extractall(extracted)
            files = {file.sop_instance_uid: file.path for file in find_files(Path(extracted)).files}
            choices = choose_roles(read_study(files)).choices
            yield {role: load_series(choice.series, files).volume for role, choice in choices.items()}


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def _ask_all(tally: Tally, studies: Iterator[PreparedStudy]) -> Tally:
    for study in studies:
        ask(tally, {role: volume.array for role, volume in study.inputs.items()}, study.brain.array)
    return tally


def _misnamed(volumes: Mapping[Role, Volume], tally: Tally) -> None:
    for pair in _PAIRS:
        try:
            study = prepare(_exchanged(volumes, pair))
        except BtNodeError as refused:
            tally.exchanges[pair][f"refused ({refused.code})"] += 1
            continue
        inputs = {role: volume.array for role, volume in study.inputs.items()}
        tally.hear_exchanged(pair, look_at(inputs, study.brain.array))


def table(tallies: Mapping[str, Tally]) -> str:
    """Markdown: what was said of right roles, and how many exchanges were found, for each kind of study."""
    head = ["studies", *(f"right roles: {opinion.value}" for opinion in Opinion)]
    head += ["exchanges named", "exchanges seen, not both named", "missed"]
    lines = ["| | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for name, tally in tallies.items():
        all_exchanges = sum(tally.exchanges.values(), Counter())
        cells = [tally.studies, *(tally.right[opinion] for opinion in Opinion)]
        cells += [f"{all_exchanges[found]} of {all_exchanges.total()}" for found in ("named",)]
        cells += [all_exchanges["seen"], all_exchanges["missed"]]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
        refused = {word: count for word, count in all_exchanges.items() if word.startswith("refused")}
        if refused:
            lines.append(f"| {name}: {refused} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="real cases; without it, phantoms by formula")
    parser.add_argument("--heads", action="store_true", help="exchange series as scanned too: half a minute for each")
    options = parser.parse_args()
    tallies = {}
    if options.data is None:
        tallies["phantoms"] = _ask_all(Tally(), phantoms())
    else:
        tallies["stripped brains"] = _ask_all(Tally(), stripped(options.data / "segmentation"))
        heads = list(as_scanned(options.data))
        tallies["as scanned"] = _ask_all(Tally(), (prepare(volumes) for volumes in heads))
        if options.heads:
            tallies["as scanned, misnamed from the start"] = Tally()
            for volumes in heads:
                _misnamed(volumes, tallies["as scanned, misnamed from the start"])
    print(table(tallies))
    for name, tally in tallies.items():
        for number, values in tally.numbers.items():
            print(f"{name}: {number} {min(values):.2f} to {max(values):.2f}")
        if tally.seconds:
            print(f"{name}: CPU seconds {statistics.median(tally.seconds):.2f}, at most {max(tally.seconds):.2f}")


if __name__ == "__main__":
    main()
