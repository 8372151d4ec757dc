"""What the timing of a sequence says about its weighting.

Limits are for 0.5 to 3 T clinical brain protocols, from the physics of relaxation: T1 of white and grey matter
0.6-1.4 s, T2 80-100 ms, T1 of CSF about 4 s, so that an inversion nulls CSF at 1.5-2.8 s and fat at 100-250 ms
(Bernstein, King, Zhou: Handbook of MRI Pulse Sequences, 2004, chapters 14 and 17). Between the limits nothing is
said: words must then decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from bt_node.assemble.pulse import kinds_of
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


_Limits = tuple[float, float]
_ANY: _Limits = (0.0, math.inf)
_ABSENT: _Limits = (0.0, 0.0)


@dataclass(frozen=True)
class _Window:
    """Limits in ms (flip angle in degrees), both ends included; a missing TI is 0. The first that fits wins."""

    weighting: Weighting | None
    strong: bool
    te: _Limits = _ANY
    tr: _Limits = _ANY
    ti: _Limits = _ANY
    flip: _Limits = _ANY
    flip_may_be_missing: bool = True
    gradient: bool | None = None
    inversion: bool | None = None
    volumetric: bool | None = None
    balanced: bool | None = None


_WINDOWS: tuple[_Window, ...] = (
    _Window(Weighting.FLAIR, strong=True, te=(60, math.inf), tr=(3500, math.inf), ti=(1400, 3300)),
    # The effective TE of a long echo train (CUBE, VISTA) may be short; TI tells, but fat and PD may look so: weak.
    _Window(Weighting.FLAIR, strong=False, te=(15, 60), tr=(3500, math.inf), ti=(1400, 3300), gradient=False),
    _Window(Weighting.STIR, strong=True, tr=(1500, math.inf), ti=(80, 300), gradient=False),
    # MPRAGE, IR-SPGR and T1 FLAIR. GE writes the TR of one echo (8 ms) beside the TI, others that of one inversion.
    _Window(Weighting.T1, strong=True, te=(0, 40), tr=(0, 4000), ti=(301, 1400)),
    _Window(Weighting.T2_STAR, strong=True, te=(12, math.inf), gradient=True),
    _Window(None, strong=False, flip=(25, 180), flip_may_be_missing=False, gradient=True, balanced=True),
    _Window(Weighting.T1, strong=True, te=(0, 10), tr=(60, 900), flip=(40, 180), gradient=True),
    _Window(
        Weighting.T1,
        strong=True,
        te=(0, 6),
        tr=(1, 15),
        flip=(1, 20),
        flip_may_be_missing=False,
        gradient=True,
        volumetric=True,
    ),
    _Window(Weighting.T1, strong=False, te=(0, 6), tr=(1, 15), gradient=True, volumetric=True),
    _Window(Weighting.T1, strong=False, te=(0, 10), tr=(15, 60), gradient=True),  # so does angiography
    _Window(None, strong=False, gradient=True),
    _Window(Weighting.T1, strong=True, te=(0, 35), tr=(200, 1300)),
    _Window(Weighting.PD, strong=True, te=(0, 60), tr=(2000, math.inf), ti=_ABSENT),
    _Window(Weighting.FLAIR, strong=False, te=(65, math.inf), tr=(4000, math.inf), ti=_ABSENT, inversion=True),
    # A FLAIR whose TI is not recorded looks like a T2 of very long TR.
    _Window(Weighting.T2, strong=True, te=(65, math.inf), tr=(1000, 7500), ti=(0, 1000)),
    _Window(Weighting.T2, strong=False, te=(65, math.inf), tr=(7500, math.inf), ti=(0, 1000)),
)
_SHORTEST_SPIN_ECHO_TR_MS = 100.0
_WHOLE_MS_FROM = 100.0


def timing_of(series: SeriesFacts) -> Timing:
    """Judge by TE, TR, TI, flip angle and sequence type."""
    if "EP" in kinds_of(series) or series.echo_time_ms is None:
        return Timing(None)
    found = next((window for window in _WINDOWS if _fits(window, series)), None)
    return Timing(found.weighting, found.strong) if found else Timing(None)


def _fits(window: _Window, series: SeriesFacts) -> bool:
    measured = (
        (window.te, series.echo_time_ms),
        (window.tr, series.repetition_time_ms),
        (window.ti, series.inversion_time_ms),
    )
    if not all(low <= (value or 0.0) <= high for (low, high), value in measured):
        return False
    flip = series.flip_angle_deg
    flip_fits = window.flip_may_be_missing if flip is None else window.flip[0] <= flip <= window.flip[1]
    kinds, variant = kinds_of(series), set(series.sequence_variant)
    traits = (
        (window.gradient, _is_gradient(series)),
        (window.inversion, "IR" in kinds),
        (window.volumetric, series.acquisition_type == "3D"),
        (window.balanced, "SS" in variant and not variant & {"SP", "MP"}),
    )
    return flip_fits and all(wanted is None or wanted == given for wanted, given in traits)


def _is_gradient(series: SeriesFacts) -> bool:
    kinds = kinds_of(series)
    if not kinds & {"SE", "GR", "IR"}:  # not recorded: no spin echo repeats that fast
        return 0 < (series.repetition_time_ms or 0.0) < _SHORTEST_SPIN_ECHO_TR_MS
    return "GR" in kinds and "SE" not in kinds


def timing_words(series: SeriesFacts) -> str:
    """TE, TR and TI as they are shown: "TE 110 ms, TR 3120 ms"; empty when none is known."""
    shown = (
        ("TE", series.echo_time_ms),
        ("TR", series.repetition_time_ms),
        ("TI", series.inversion_time_ms),
    )
    return ", ".join(f"{name} {_milliseconds(value)} ms" for name, value in shown if value)


def _milliseconds(value: float) -> str:
    return f"{value:.0f}" if value >= _WHOLE_MS_FROM else f"{value:.3g}"
