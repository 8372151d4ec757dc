"""What the timing of a sequence says about its weighting.

Limits are for 0.5 to 3 T clinical brain protocols, from the physics of relaxation: T1 of white and grey matter
0.6-1.4 s, T2 80-100 ms, T1 of CSF about 4 s, so that an inversion nulls CSF at 1.5-2.8 s and fat at 100-250 ms
(Bernstein, King, Zhou: Handbook of MRI Pulse Sequences, 2004, chapters 14 and 17). Between the limits nothing is
said: words must then decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bt_node.domain.study import SeriesFacts


class Weighting(StrEnum):
    """What makes the contrast of an image."""

    T1 = "T1"
    T2 = "T2"
    FLAIR = "FLAIR"
    PD = "proton density"
    STIR = "STIR"
    T2_STAR = "T2*"


@dataclass(frozen=True)
class Timing:
    """The weighting that the timing suggests, and whether it can stand without a word that says the same."""

    weighting: Weighting | None
    strong: bool = False


@dataclass(frozen=True)
class _Values:
    te: float
    tr: float
    ti: float
    flip: float | None
    gradient: bool
    inversion: bool
    volumetric: bool
    balanced: bool


_UNSURE = Timing(None)


def timing_of(series: SeriesFacts) -> Timing:
    """Judge by TE, TR, TI, flip angle and sequence type."""
    if "EP" in series.scanning_sequence or series.echo_time_ms is None:
        return _UNSURE
    values = _values(series)
    for judge in (_inversion, _gradient_echo, _spin_echo):
        found = judge(values)
        if found is not None:
            return found
    return _UNSURE


def _values(series: SeriesFacts) -> _Values:
    kinds, variant = set(series.scanning_sequence), set(series.sequence_variant)
    repetition = series.repetition_time_ms or 0.0
    short = not kinds & {"SE", "GR", "IR"} and 0 < repetition < 100  # noqa: PLR2004 - no spin echo repeats in 100 ms
    return _Values(
        te=series.echo_time_ms or 0.0,
        tr=repetition,
        ti=series.inversion_time_ms or 0.0,
        flip=series.flip_angle_deg,
        gradient=("GR" in kinds and "SE" not in kinds) or short,
        inversion="IR" in kinds,
        volumetric=series.acquisition_type == "3D",
        balanced="SS" in variant and not variant & {"SP", "MP"},
    )


def _inversion(v: _Values) -> Timing | None:
    if 1400 <= v.ti <= 3300 and v.tr >= 3500 and v.te >= 60:
        return Timing(Weighting.FLAIR, strong=True)
    if 80 <= v.ti <= 300 and v.tr >= 1500 and not v.gradient:
        return Timing(Weighting.STIR, strong=True)
    # MPRAGE, IR-SPGR and T1 FLAIR. GE writes the TR of one echo (8 ms) beside the TI, others that of one inversion.
    if 300 < v.ti <= 1400 and v.te <= 40 and v.tr <= 4000:
        return Timing(Weighting.T1, strong=True)
    return None


def _gradient_echo(v: _Values) -> Timing | None:
    if not v.gradient:
        return None
    if v.te >= 12:
        return Timing(Weighting.T2_STAR, strong=True)
    if v.balanced and (v.flip or 0) >= 25:
        return _UNSURE
    if 60 <= v.tr <= 900 and v.te <= 10 and (v.flip or 90) >= 40:
        return Timing(Weighting.T1, strong=True)
    if 0 < v.tr <= 15 and v.te <= 6 and v.volumetric:
        return Timing(Weighting.T1, strong=v.flip is not None and v.flip <= 20)
    if 15 < v.tr <= 60 and v.te <= 10:
        return Timing(Weighting.T1)  # time-of-flight angiography looks the same
    return _UNSURE


def _spin_echo(v: _Values) -> Timing | None:
    if v.gradient or not v.tr:
        return None
    if v.te <= 35 and 200 <= v.tr <= 1300:
        return Timing(Weighting.T1, strong=True)
    if v.te <= 60 and v.tr >= 2000:
        return Timing(Weighting.PD, strong=True)
    if v.te >= 65 and v.inversion and v.tr >= 4000 and not v.ti:
        return Timing(Weighting.FLAIR)
    if v.te >= 65 and v.tr >= 1000:
        return Timing(Weighting.T2, strong=v.tr < 7500)  # a FLAIR without its TI looks like a T2 of very long TR
    return None


def timing_words(series: SeriesFacts) -> str:
    """TE, TR and TI as they are shown: "TE 110 ms, TR 3120 ms"."""
    shown = (
        ("TE", series.echo_time_ms),
        ("TR", series.repetition_time_ms),
        ("TI", series.inversion_time_ms),
    )
    return ", ".join(
        f"{name} {value:.3g} ms" if value < 100 else f"{name} {value:.0f} ms" for name, value in shown if value
    )
