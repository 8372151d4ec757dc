"""Names of pulse sequences as scanners write them: kind of echo, weighting, and what is none of the four."""

from __future__ import annotations

from dataclasses import replace

import pytest
from study_maker import FLAIR_3D, IR_FLAIR, MPRAGE, SE_T1, THIN, TSE_T2, mr_series, study

from bt_node.assemble.pulse import excluded_pulse, kinds_of, weighted_pulse
from bt_node.assemble.roles import choose_roles
from bt_node.domain.study import Certainty, Role, SeriesFacts


def named(*names: str, stated: tuple[str, ...] = ()) -> SeriesFacts:
    return replace(mr_series(1), sequence_name="", pulse_names=names, scanning_sequence=stated)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("*tfl3d1_16ns", {"GR", "IR"}), ("*tse2d1_15", {"SE"}), ("*tir2d1_16", {"SE", "IR"}), ("*se2d1", {"SE"}),
        ("*spcir_278ns", {"SE", "IR"}), ("*spc_200ns", {"SE"}), ("*spcR_282ns", {"SE"}), ("*fl2d1", {"GR"}),
        ("*fl3d1_ns", {"GR"}), ("*h2d1_256", {"SE"}), ("/usr/g/bin/fse-xl", {"SE"}), ("FSE-XL", {"SE"}),
        ("EFGRE3D", {"GR"}), ("BRAVO", {"GR", "IR"}), ("memp", {"SE"}), ("frfseopt", {"SE"}), ("Cube", {"SE"}),
        ("T1TFE", {"GR"}), ("T1FFE", {"GR"}), ("TSE", {"SE"}), ("SE", {"SE"}), ("FSE2D", {"SE"}), ("FE3D", {"GR"}),
        ("gre_fsp", {"GR"}), ("SEEPI", {"EP"}), ("FEEPI", {"EP"}), ("epi", {"EP"}), ("unheard-of", set()),
    ],
)  # fmt: skip
def test_the_name_tells_the_kind_of_echo(name: str, kinds: set[str]) -> None:
    assert kinds_of(named(name)) == kinds


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("*ep_b1000t", "diffusion"), ("*ez_b0", "diffusion"), ("*re_b1000", "diffusion"), ("DwiSE", "diffusion"),
        ("*epfid2d1_64", "functional"), ("*epse2d1_78", "functional"), ("FEEPI", "functional"),
        ("*swi3d1r", "susceptibility"), ("SWAN", "susceptibility"), ("gre_swi", "susceptibility"),
        ("*ci3d1", "balanced"), ("*tfi2d1_120", "balanced"), ("B-TFE", "balanced"), ("FIESTA", "balanced"),
        ("*ps2d1", "free precession"), ("*de3d1", "free precession"), ("T2FFE", "free precession"),
        ("*me2d1r4", "T2*"), ("*fi3d1r_ts", "angiography"), ("TOF3D", "angiography"), ("*fldyn3d1", "dynamic"),
        ("*fm2d2r", "field map"), ("3dasl", "spin labelling"), ("*svs_se", "spectroscopy"),
        ("PROBE-P", "spectroscopy"),
    ],
)  # fmt: skip
def test_the_name_excludes_what_is_none_of_the_four(name: str, key: str) -> None:
    assert key in (excluded_pulse(named(name)) or "")


@pytest.mark.parametrize(
    "name",
    ["*tfl3d1_16ns", "*tse2d1_15", "*tir2d1_16", "*fl3d1_ns", "*spcir_278ns", "fse-xl", "BRAVO", "T1TFE", "SE"],
)
def test_the_name_of_an_ordinary_sequence_excludes_nothing(name: str) -> None:
    assert excluded_pulse(named(name)) is None


def test_siemens_calls_a_balanced_gradient_echo_a_spin_echo_and_the_name_puts_it_right() -> None:
    assert kinds_of(named("*tfi2d1", stated=("SE",))) == {"GR"}
    assert kinds_of(named("*tir2d1_16", stated=("SE",))) == {"SE", "IR"}
    assert kinds_of(named("unheard-of", stated=("SE",))) == {"SE"}


def test_only_names_that_leave_no_doubt_give_a_weighting() -> None:
    weighted = {
        name: weighted_pulse(named(name)) for name in ("*tfl3d1", "BRAVO", "T1TFE", "t2flair", "*tse2d1", "efgre3d")
    }
    assert {name: pulse and pulse.weighting for name, pulse in weighted.items()} == {
        "*tfl3d1": "T1", "BRAVO": "T1", "T1TFE": "T1", "t2flair": "FLAIR", "*tse2d1": None, "efgre3d": None,
    }  # fmt: skip


def test_without_words_the_name_of_the_sequence_and_the_timing_are_two_witnesses() -> None:
    mprage = mr_series(3, "Jane", sequence_name="*tfl3d1_16ns", **MPRAGE, **THIN)
    named_so = choose_roles(study(mprage)).choices[Role.T1]
    assert "SequenceName says MPRAGE" in named_so.reason
    assert not any("only timing" in doubt for doubt in named_so.doubts)
    silent = choose_roles(study(replace(mprage, sequence_name=""))).choices[Role.T1]
    assert any("only timing" in doubt for doubt in silent.doubts)


@pytest.mark.parametrize(
    ("said", "physics", "role"),
    [("T1", SE_T1, Role.T1), ("T2", TSE_T2, Role.T2), ("FLUID_ATTENUATED", IR_FLAIR, Role.FLAIR)],
)
def test_acquisition_contrast_names_the_weighting_where_no_text_does(said: str, physics: object, role: Role) -> None:
    assert isinstance(physics, dict)
    choice = choose_roles(study(mr_series(3, "Jane", acquisition_contrast=said, **physics))).choices[role]
    assert f"AcquisitionContrast says {said}" in choice.reason


@pytest.mark.parametrize(
    "said", ["DIFFUSION", "PERFUSION", "TOF", "FLOW_ENCODED", "TAGGING", "STIR", "PROTON_DENSITY"]
)
def test_acquisition_contrast_excludes_what_is_none_of_the_four(said: str) -> None:
    assert not choose_roles(study(mr_series(3, "Jane", acquisition_contrast=said, **TSE_T2))).choices


def test_a_description_is_heard_before_acquisition_contrast() -> None:
    flair = mr_series(3, "FLAIR sag", acquisition_contrast="T2", **FLAIR_3D, **THIN)
    assert choose_roles(study(flair)).certainty(Role.FLAIR) is Certainty.SURE


def test_a_stray_b_value_of_ge_is_no_diffusion_unless_the_sequence_is_echo_planar() -> None:
    stray = mr_series(3, "Ax T2", manufacturer="GE MEDICAL SYSTEMS", b_value=1000.0, **TSE_T2)
    assert Role.T2 in choose_roles(study(stray)).choices
    assert not choose_roles(study(replace(stray, scanning_sequence=("EP", "SE")))).choices
    assert not choose_roles(study(replace(stray, manufacturer="SIEMENS"))).choices
