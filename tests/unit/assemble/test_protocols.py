"""A table of protocols as vendors and sites write them, with the truth known."""

from __future__ import annotations

from typing import Any

import pytest
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
    STIR,
    T1_FLAIR,
    TFE,
    THIN,
    TOF,
    TSE_PD,
    TSE_T2,
    mr_series,
    study,
)

from bt_node.assemble.roles import choose_roles
from bt_node.domain.study import Role

SPIN_ECHO = (SE_T1, SE_T1, TSE_T2, IR_FLAIR)
SIEMENS_3D = (MPRAGE, MPRAGE, SPACE_T2, FLAIR_3D)
GE_3D = (BRAVO, BRAVO, SPACE_T2, FLAIR_3D)
NO_TI = {**IR_FLAIR, "inversion_time_ms": None}
WITH_AGENT = {**SE_T1, "contrast_agent": "GADOVIST"}
# One row is one study: names of T1 | T1C | T2 | FLAIR, and their physics.
STUDIES: dict[str, tuple[str, tuple[dict[str, Any], ...]]] = {
    "siemens 2D german": ("t1_se_tra | t1_se_tra_km | t2_tse_tra | t2_tirm_tra_dark-fluid", SPIN_ECHO),
    "siemens 3D": (
        "t1_mprage_sag_p2_iso | t1_mprage_sag_p2_iso_KM | t2_space_sag_p2_iso | t2_spc_da-fl_sag_p2_iso",
        SIEMENS_3D,
    ),
    "siemens mpr": (
        "t1_mpr_ns_tra_iso | t1_mpr_ns_tra_iso_Gd | t2_blade_tra | t2_tirm_tra_darkfluid_320",
        (MPRAGE, MPRAGE, TSE_T2, IR_FLAIR),
    ),
    "siemens nativ": ("T1 tse tra nativ | T1 tse tra nach KM | T2 tse tra | FLAIR tra", SPIN_ECHO),
    "siemens space": (
        "t1_space_sag | t1_space_sag_post | t2_space | space_flair",
        (SPACE_T1, SPACE_T1, SPACE_T2, FLAIR_3D),
    ),
    "ge 2D": ("AX T1 | AX T1 +C | AX T2 FSE PROPELLER | AX T2 FLAIR", SPIN_ECHO),
    "ge t1 flair": (
        "Ax T1 FLAIR | Ax T1 FLAIR +C | Ax T2 frFSE | Ax T2 FLAIR FS",
        (T1_FLAIR, T1_FLAIR, TSE_T2, IR_FLAIR),
    ),
    "ge 3D": ("Sag 3D T1 BRAVO | Sag 3D T1 BRAVO C+ | Sag CUBE T2 | Sag CUBE T2 FLAIR", GE_3D),
    "ge fspgr": ("3D FSPGR | 3D FSPGR POST GAD | AXT2 | AXFLAIR", (BRAVO, BRAVO, TSE_T2, IR_FLAIR)),
    "ge squeezed": ("AXT1 | AXT1POST | AXT2FSE | AXT2FLAIR", SPIN_ECHO),
    "philips 2D": ("T1W_SE | T1W_SE +C | T2W_TSE | T2W_FLAIR", SPIN_ECHO),
    "philips 3D": ("sT1W_3D_TFE | sT1W_3D_TFE GD | T2W_TSE_tra | s3D_FLAIR_VISTA", (TFE, TFE, TSE_T2, FLAIR_3D)),
    "philips ffe": ("T1W_FFE tra | T1W_FFE tra | T2W_TSE | T2W_FLAIR**", (FFE_2D, FFE_2D, TSE_T2, IR_FLAIR)),
    "philips prefixes": ("eT1W_SE | eT1W_SE_Gd | dT2W_TSE | dT2W_FLAIR", SPIN_ECHO),
    "toshiba": ("T1 SE AX | T1 SE AX CE | T2 FSE AX | FLAIR AX FASE", SPIN_ECHO),
    "uih": ("t1_gre_fsp_3d_sag | t1_gre_fsp_3d_sag_c+ | t2_fse_tra | t2_fse_flair_tra", (TFE, TFE, TSE_T2, IR_FLAIR)),
    "hitachi": ("Ax T1 SE | Ax T1 SE Gd-DTPA | Ax T2 RADAR | Ax FLAIR RADAR", SPIN_ECHO),
    "british": ("T1 ax pre contrast | T1 ax post contrast | T2 ax | FLAIR ax", SPIN_ECHO),
    "american": ("AX T1 W/O CONTRAST | AX T1 W CONTRAST | AX T2 | AX FLAIR W/O", SPIN_ECHO),
    "american wo": ("T1 AX WO | T1 AX W/C | T2 AX | FLAIR AX", SPIN_ECHO),
    "french": ("Ax T1 SE sans injection | Ax T1 SE après injection | Ax T2 TSE | Ax FLAIR", SPIN_ECHO),
    "french gado": ("AX T1 SS GADO | AX T1 GADO | AX T2 | AX T2 FLAIR", SPIN_ECHO),
    "french inj": ("3D T1 EG | 3D T1 EG INJ | T2 AX | 3D FLAIR CUBE", (BRAVO, BRAVO, TSE_T2, FLAIR_3D)),
    "spanish": ("T1 axial sin contraste | T1 axial con contraste | T2 axial | FLAIR axial", SPIN_ECHO),
    "spanish short": ("T1 TRA S/C | T1 TRA C/C | T2 TRA | T2 FLAIR TRA", SPIN_ECHO),
    "portuguese": ("AX T1 SEM CONTRASTE | AX T1 PÓS CONTRASTE | AX T2 | AX FLAIR", SPIN_ECHO),
    "portuguese gd": ("T1 AX PRE | T1 AX POS | T2 AX TSE | FLAIR AX", SPIN_ECHO),
    "italian": ("T1 SE ass basale | T1 SE ass dopo mdc | T2 TSE ass | FLAIR ass", SPIN_ECHO),
    "italian mdc": (
        "T1 MPRAGE senza mdc | T1 MPRAGE con m.d.c. | T2 ass | FLAIR 3D",
        (MPRAGE, MPRAGE, TSE_T2, FLAIR_3D),
    ),
    "polish": ("T1 SE tra bez kontrastu | T1 SE tra po kontraście | T2 TSE tra | T2 FLAIR tra", SPIN_ECHO),
    "turkish": ("T1 SE AKS KONTRASTSIZ | T1 SE AKS KONTRASTLI | T2 TSE AKS | FLAIR AKS", SPIN_ECHO),
    "turkish dotless": ("T1 aksiyel | T1 aksiyel kontrastlı | T2 aksiyel | FLAIR aksiyel", SPIN_ECHO),
    "dutch": ("T1 SE tra blanco | T1 SE tra na Gd | T2 TSE tra | FLAIR tra", SPIN_ECHO),
    "swedish": ("T1 TSE tra utan kontrast | T1 TSE tra med kontrast | T2 TSE tra | T2 FLAIR tra", SPIN_ECHO),
    "czech": ("T1 SE tra nativ | T1 SE tra po k.l. | T2 TSE tra | FLAIR tra", SPIN_ECHO),
    "japanese": ("T1 AX 単純 | T1 AX 造影 | T2 AX | フレア AX", SPIN_ECHO),
    "japanese full width": ("Ｔ１ 造影前 | Ｔ１ 造影後 | Ｔ２ | ＦＬＡＩＲ", SPIN_ECHO),
    "chinese": ("T1 横断 平扫 | T1 横断 增强 | T2 横断 | T2 压水", SPIN_ECHO),
    "russian": ("Т1 tra без контраста | Т1 tra с контрастом | Т2 tra | ФЛАИР tra", SPIN_ECHO),
    "t1ce names": ("t1 | t1ce | t2 | flair", SPIN_ECHO),
    "t1c names": ("T1w | T1wC | T2w | FLAIR", SPIN_ECHO),
    "t1gd names": ("ax_t1 | ax_t1gd | ax_t2 | ax_flair", SPIN_ECHO),
    "minus and plus": ("T1 C- | T1 C+ | T2 | FLAIR", SPIN_ECHO),
    "bids": ("sub-01_T1w | sub-01_ce-gd_T1w | sub-01_T2w | sub-01_FLAIR", SPIN_ECHO),
    "short effective TE": ("T1 | T1 Gd | T2 | FLAIR 3D", (SE_T1, SE_T1, TSE_T2, {**FLAIR_3D, "echo_time_ms": 46.0})),
    "no physics": ("T1 ax | T1 ax post | T2 ax | FLAIR ax", ({},) * 4),
    "no TI": ("T1 ax | T1 ax gad | T2 ax | FLAIR ax", (SE_T1, SE_T1, TSE_T2, NO_TI)),
    "agent tag only": ("T1 ax | T1 axial | T2 ax | FLAIR ax", (SE_T1, WITH_AGENT, TSE_T2, IR_FLAIR)),
    "no words": (" |  |  | ", SPIN_ECHO),
    "no words 3D": (" |  |  | ", SIEMENS_3D),
}
ORDER = (Role.T1, Role.T1C, Role.T2, Role.FLAIR)


def _rows(name: str) -> list[tuple[str, dict[str, Any]]]:
    names, physics = STUDIES[name]
    return list(zip((text.strip() for text in names.split("|")), physics, strict=True))


def _series(name: str) -> list[Any]:
    rows, made = _rows(name), []
    # T2 and FLAIR come between the two T1, as they do in practice; the second T1 is the last.
    for number, index in enumerate((3, 0, 2, 1), start=2):
        description, physics = rows[index]
        thin = THIN if physics.get("acquisition_type") == "3D" else {}
        made.append(mr_series(number, description, uid=f"1.2.{ORDER[index]}", **thin, **physics))
    return made


@pytest.mark.parametrize("name", STUDIES)
def test_a_site_s_own_spelling_gives_the_four_roles(name: str) -> None:
    chosen = choose_roles(study(*_series(name)))
    found = {role: choice.series.series_instance_uid for role, choice in chosen.choices.items()}
    assert found == {role: f"1.2.{role}" for role in ORDER}, chosen.set_aside
    assert chosen.ambiguous == ()


SILENT = {"philips ffe", "no words", "no words 3D"}


@pytest.mark.parametrize("name", sorted(set(STUDIES) - SILENT))
def test_words_about_contrast_are_understood_without_any_help_from_order(name: str) -> None:
    rows = _rows(name)
    series = [
        mr_series(number, rows[index][0], uid=f"1.2.{ORDER[index]}", acquired_at_s=None, **rows[index][1])
        for number, index in enumerate((1, 0, 2, 3), start=2)  # the T1 after contrast has the lower number
    ]
    chosen = choose_roles(study(*series))
    found = {role: choice.series.series_instance_uid for role, choice in chosen.choices.items()}
    assert found == {role: f"1.2.{role}" for role in ORDER}, chosen.set_aside


# Series that travel with every study and are none of the four: description, facts, word that the reason must hold.
DISTRACTORS: list[tuple[str, dict[str, Any], str]] = [
    ("localizer", TFE, "localizer"),
    ("3-plane loc", TFE, "localizer"),
    ("Survey_MST", TFE, "localizer"),
    ("AAHead_Scout", TFE, "localizer"),
    ("Calibration Scan", TFE, "calibration"),
    ("gre_field_mapping", GRE_T2S, "field map"),
    ("ep2d_diff_3scan_trace_p2", EPI, "diffusion"),
    ("DWI b1000", EPI, "diffusion"),
    ("ep2d_diff_ADC", EPI, "diffusion"),
    ("dADC", EPI, "diffusion"),
    ("", {**EPI, "b_value": 1000.0}, "b = 1000"),
    ("", EPI, "echo-planar"),
    ("ep2d_perf", EPI, "perfusion"),
    ("3D ASL", TSE_T2, "arterial spin"),
    ("rCBV", TSE_T2, "perfusion"),
    ("ep2d_bold_rest", EPI, "functional"),
    ("SWI_Images", GRE_T2S, "susceptibility"),
    ("Ax SWAN", GRE_T2S, "susceptibility"),
    ("venBOLD", GRE_T2S, "functional"),
    ("t2_fl2d_tra_hemo", GRE_T2S, "T2*"),
    ("AX T2* GRE", GRE_T2S, "T2*"),
    ("T2 FFE", GRE_T2S, "T2*"),
    ("Ax MERGE", GRE_T2S, "T2*"),
    ("AX GRE", GRE_T2S, "T2*"),
    ("TOF_3D_multi-slab", TOF, "angiography"),
    ("MRA COW", TOF, "angiography"),
    ("", TOF, "does not prove"),
    ("T1 mip", MPRAGE, "maximum intensity"),
    ("T1 subtraction", SE_T1, "subtraction"),
    ("T1 axial neck", SE_T1, "neck"),
    ("SUB T1 post-pre", SE_T1, "subtraction"),
    ("T1 cor", {**MPRAGE, "image_type": ("DERIVED", "SECONDARY", "MPR")}, "reformat"),
    ("t1_mprage MPR cor", {**MPRAGE, "image_type": ("DERIVED", "SECONDARY")}, "reformat"),
    ("T1 REFORMAT", {**MPRAGE, "image_type": ("DERIVED", "PRIMARY")}, "reformat"),
    ("T2 tra", {**TSE_T2, "image_type": ("ORIGINAL", "PRIMARY", "P")}, "phase"),
    ("t2_ciss3d", TFE, "steady state"),
    ("FIESTA-C", TFE, "steady state"),
    ("PD tse", TSE_PD, "PD"),
    ("", TSE_PD, "proton density"),
    ("STIR cor", STIR, "STIR"),
    ("t2_tirm_cor", STIR, "STIR"),
    ("T2 map", TSE_T2, "map"),
    ("3D DIR", FLAIR_3D, "double inversion"),
    ("t1_mp2rage_INV1", MPRAGE, "MP2RAGE"),
    ("T2 sag C-spine", TSE_T2, "spine"),
    ("T2 LWS", TSE_T2, "spine"),
    ("T2 tra", {**TSE_T2, "body_part": "KNEE"}, "BodyPartExamined is joint"),
    ("Screen Save", {}, "screenshot"),
    ("T1 tra", {**SE_T1, "modality": "CT"}, "not MR"),
    ("T1 dynamic sella", SE_T1, "dynamic"),
    ("T2 tra", {**TSE_T2, "slices": 3}, "covers only"),
    ("T2 tra", SE_T1, "can only be T1"),
    ("T1 tra", TSE_T2, "can only be T2"),
    ("FLAIR tra", {**TSE_T2, "repetition_time_ms": 3000.0}, "can only be T2"),
    ("Doe Jane", {}, "does not name"),
]


@pytest.mark.parametrize("row", range(len(DISTRACTORS)), ids=lambda row: DISTRACTORS[row][0] or f"unnamed {row}")
def test_what_is_none_of_the_four_is_set_aside_with_its_reason(row: int) -> None:
    description, facts, word = DISTRACTORS[row]
    base = _series("siemens 2D german")
    odd = mr_series(99, description, minute=99, **facts)
    chosen = choose_roles(study(*base, odd))
    assert {choice.series.series_number for choice in chosen.choices.values()} == {2, 3, 4, 5}
    reasons = [entry.reason for entry in chosen.set_aside if entry.series_number == 99]
    assert len(reasons) == 1
    assert word in reasons[0]


@pytest.mark.parametrize("row", range(len(DISTRACTORS)), ids=lambda row: DISTRACTORS[row][0] or f"unnamed {row}")
def test_what_is_none_of_the_four_takes_no_role_when_alone(row: int) -> None:
    description, facts, word = DISTRACTORS[row]
    chosen = choose_roles(study(mr_series(99, description, **facts)))
    assert not chosen.choices
    disputed = "can only be" in word  # words against timing: a person is asked
    assert bool(chosen.ambiguous) == disputed
    assert disputed or chosen.missing == ORDER
