"""Studies written out by hand, series by series, with the truth beside each: `role_studies/*.txt`.

A study starts with `= name` and `!key:value` for all its series; then one line for each series:
`ROLE description | physics options`, where ROLE is T1, T1C, T2, FLAIR or - (none of them), physics is a name of
`PHYSICS`, and options are

    cor, sag      plane (axial without)         =          acquired with the series before: a reconstruction of it
    n:15 d:3      slices, their distance in mm  t:90       minutes after the series before (4 without)
    fs            fat saturated                 type: seq: agent: part: b:   header values

`role_studies/words_*.txt` holds more words about contrast, one language and habit on a line.

The held-out files are there to be counted, not to be read while rules are mended: what was tuned on the other files
must show on them.

Every series with the same role is right for it: which of several is the best is tried elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from study_maker import (
    BRAVO,
    EPI,
    FFE_2D,
    FLAIR_3D,
    GRE_T2S,
    IR_FLAIR,
    MPRAGE,
    SE_T1,
    SPACE_T1,
    SPACE_T2,
    START_S,
    STIR,
    T1_FLAIR,
    TFE,
    TOF,
    TSE_PD,
    TSE_T2,
    mr_series,
)

from bench.role_protocols import HABITS, THIN, Protocol, StudyOfHabit
from bt_node.domain.study import Role, SeriesFacts, StudyFacts

FOLDER = Path(__file__).parent / "role_studies"
Facts = dict[str, Any]
PHYSICS: dict[str, Facts] = {
    "se-t1": SE_T1,
    "tse-t1": {**SE_T1, "echo_time_ms": 9.0, "repetition_time_ms": 620.0, "echo_train_length": 3},
    "t1flair": T1_FLAIR,
    "fl2d": {**FFE_2D, "echo_time_ms": 2.5, "repetition_time_ms": 250.0, "flip_angle_deg": 70.0},
    "ffe": FFE_2D,
    "mprage": MPRAGE,
    "vibe": {**TFE, "echo_time_ms": 2.4, "repetition_time_ms": 5.2, "flip_angle_deg": 12.0},
    "bravo": BRAVO,
    "tfe": TFE,
    "space-t1": SPACE_T1,
    "tse-t2": TSE_T2,
    "frfse": {**TSE_T2, "echo_time_ms": 102.0, "repetition_time_ms": 5200.0},
    "prop": {**TSE_T2, "echo_time_ms": 110.0, "repetition_time_ms": 6500.0},
    "space-t2": SPACE_T2,
    "cube-t2": {**SPACE_T2, "echo_time_ms": 92.0, "repetition_time_ms": 2500.0},
    "flair": IR_FLAIR,
    "space-flair": FLAIR_3D,
    "cube-flair": {**FLAIR_3D, "echo_time_ms": 117.0, "repetition_time_ms": 6500.0, "inversion_time_ms": 1950.0},
    "view-flair": {**FLAIR_3D, "echo_time_ms": 300.0, "repetition_time_ms": 4800.0, "inversion_time_ms": 1650.0},
    "stir": STIR,
    "pd": TSE_PD,
    "gre": GRE_T2S,
    "swi": {**GRE_T2S, "repetition_time_ms": 28.0, "flip_angle_deg": 15.0, "acquisition_type": "3D"},
    "tof": TOF,
    "ciss": {
        **TFE,
        "echo_time_ms": 2.5,
        "repetition_time_ms": 5.6,
        "flip_angle_deg": 50.0,
        "sequence_variant": ("SS",),
    },
    "dwi": EPI,
    "perf": {**EPI, "echo_time_ms": 30.0, "repetition_time_ms": 1500.0, "scanning_sequence": ("EP", "GR")},
    "none": {},
}
_KEYS = {
    "vendor": "manufacturer",
    "part": "body_part",
    "protocol": "protocol_name",
    "agent": "contrast_agent",
    "seq": "sequence_name",
    "study": "study_description",
    "mod": "modality",
}
_OPTION = re.compile(r"!?([\w-]+):(.*?)(?= !|$)")
_MINUTES_APART = 4.0


def cases(name: str) -> Iterator[Protocol]:
    """The studies of one file: "tuned" or "held_out"."""
    text = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    for block in re.split(r"^= ", text, flags=re.MULTILINE)[1:]:
        title, *lines = (line for line in block.splitlines() if line.strip() and not line.startswith("#"))
        yield _protocol(name, title.strip(), lines)


def wordings(name: str) -> Iterator[Protocol]:
    """The words about contrast of one file, each in two products, with times and without: words alone must tell."""
    lines = (FOLDER / f"words_{name}.txt").read_text(encoding="utf-8").splitlines()
    rows = [[part.strip() for part in line.split("|")] for line in lines if not line.startswith("#")]
    for row, (language, before, after) in enumerate(rows):
        for column, habit in enumerate((HABITS[row * 2 % len(HABITS)], HABITS[(row * 5 + 3) % len(HABITS)])):
            for header in ("whole", "no times"):
                made = StudyOfHabit(habit).t1(f" {before}" if before else "").t2().flair()
                done = made.t1(f" {after}", contrast=True).headers(header)
                yield done.done(f"{language} {column} {habit.t1} {header}", f"words, {name}")


def _protocol(kind: str, title: str, lines: list[str]) -> Protocol:
    shared = dict(_OPTION.findall(" ".join(line for line in lines if line.startswith("!"))))
    timed = "!no-times" not in " ".join(lines)
    truth: dict[Role, set[str]] = {role: set() for role in Role}
    made: list[SeriesFacts] = []
    minute = 0.0
    for line in lines:
        if line.startswith("!"):
            continue
        series, role, minute = _series(line, len(made) + 1, minute, shared)
        made.append(series if timed else replace(series, acquired_at_s=None))
        if role:
            truth[role].add(series.series_instance_uid)
    study = StudyFacts("1.2.3", tuple(made))
    return Protocol(title, f"written out, {kind}", study, {role: frozenset(uids) for role, uids in truth.items()})


def _series(line: str, number: int, minute: float, shared: dict[str, str]) -> tuple[SeriesFacts, Role | None, float]:
    head, _, tail = line.partition(" | ")
    word, description = head.split(maxsplit=1)
    physics, *options = tail.split()
    values = shared | dict(option.split(":", 1) for option in options if ":" in option)
    same = "=" in options
    minute += 0.0 if same else float(values.get("t", _MINUTES_APART))
    facts: Facts = dict(PHYSICS[physics])
    facts |= {_KEYS[key]: value for key, value in values.items() if key in _KEYS}
    if "type" in values:
        facts["image_type"] = tuple(values["type"].split("\\"))
    if "b" in values:
        facts["b_value"] = float(values["b"])
    if "fs" in options:
        facts["scan_options"] = ("FS",)
    thin = THIN if facts.get("acquisition_type") == "3D" else {}
    sizes: Facts = {
        **thin,
        **({"slices": int(values["n"])} if "n" in values else {}),
        **({"spacing_mm": float(values["d"])} if "d" in values else {"spacing_mm": 6.0} if "n" in values else {}),
    }
    plane = {"cor": "coronal", "sag": "sagittal"}.get(next((o for o in options if o in {"cor", "sag"}), ""), "axial")
    series = mr_series(number, description.strip(), plane=plane, minute=minute, **sizes, **facts)
    assert series.acquired_at_s == START_S + 60.0 * minute
    return series, None if word == "-" else Role(word), minute
