"""What the name of the pulse sequence says, as the scanner writes it: SequenceName, PulseSequenceName, private names.

The name is set by the sequence itself, not typed by people, so it is a witness of its own beside the description:
for the kind of echo (Enhanced MR may leave that out, and Siemens calls balanced gradient echoes SE), for the
weighting where only one is possible, and for what is none of the four.

Sources: the vendors' conformance statements, and what dcm2niix and heudiconv document of real headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bt_node.domain.study import SeriesFacts


@dataclass(frozen=True)
class Pulse:
    """One family of sequences.

    Attributes:
        key: our own word for it.
        pattern: finds it in the name: lower case, without Siemens' star and GE's folder.
        kinds: ScanningSequence (PS3.3 C.8.3.1) that it means; empty where the name leaves it open.
        weighting: "T1" or "FLAIR" where nothing else is possible; empty otherwise.
        excluded: none of the four roles.
    """

    key: str
    pattern: re.Pattern[str]
    kinds: frozenset[str] = frozenset()
    weighting: str = ""
    excluded: bool = False


def _pulse(key: str, pattern: str, kinds: str = "", weighting: str = "", *, excluded: bool = False) -> Pulse:
    return Pulse(key, re.compile(pattern), frozenset(kinds.split()), weighting, excluded)


# fmt: off
# The first that fits counts. Beginnings are Siemens' (SequenceName, without the star); whole words GE's and Philips'.
PULSES: tuple[Pulse, ...] = (
    # none of the four
    _pulse("diffusion", r"^(?:e[pz]_?b|re_?b|ep2d_?(?:b\d|diff))|dwi", "EP", excluded=True),
    _pulse("functional MRI or perfusion", r"^ep(?:fid|i(?![a-z]*_?swi)|se|2d)|^(?:fe|se)[- ]?epi|epi$", "EP",
           excluded=True),
    _pulse("arterial spin labelling", r"(?<![a-z])(?:3d)?asl", excluded=True),
    _pulse("susceptibility weighting", r"^q?swi|(?:^|_)swi|swan", "GR", excluded=True),
    _pulse("balanced steady state", r"^(?:ci[23]d|tf[i2]|tf3d)|^b[- ]?(?:ffe|tfe)|fiesta|ssfp", "GR", excluded=True),
    _pulse("steady-state free precession", r"^(?:ps[23]d|de[23]d|t2[- ]?ffe)", "GR", excluded=True),
    _pulse("T2* gradient echo", r"^me[23]d|^merge|^cosmic", "GR", excluded=True),
    _pulse("angiography", r"^(?:f[li]3d1r|pc[23]d|[23]dpc|fl_pc|fl_tof|fastpc|pca|twist)|tof|tricks|inhance", "GR",
           excluded=True),
    _pulse("dynamic series", r"^fldyn|^disco", "GR", excluded=True),
    _pulse("field map", r"^fm2d|^b[01]_?map|field_?map", "GR", excluded=True),
    _pulse("spectroscopy", r"^(?:svs|csi|probe|press(?![a-z]))", excluded=True),
    _pulse("localizer", r"^3-?plane|^loc", excluded=True),
    # gradient echo
    _pulse("MPRAGE", r"^tfl3d|(?<![a-z])mprage|^bravo", "GR IR", "T1"),
    _pulse("turbo FLASH", r"^tfl", "GR"),
    _pulse("T1 TFE", r"^t1[- ]?(?:tfe|ffe)", "GR", "T1"),
    _pulse("gradient echo", r"^f[li][23]d|^(?:ffe|tfe|fe[23]?d?|gre|ge)(?![a-z])|spgr|^e?f?gre|grass|^2dfast", "GR"),
    # spin echo
    _pulse("T1 FLAIR", r"t1_?flair", "SE IR", "T1"),
    _pulse("FLAIR", r"flair", "SE IR", "FLAIR"),
    _pulse("inversion recovery", r"^(?:spc_?ir|tir|ir[- ]?tse|fir|fse-?ir|tseir)", "SE IR"),
    _pulse("spin echo", r"^(?:spc|tse|tgse|h[23]d|se[23]?d?(?![a-z])|fse|fase|frfse|fc?memp|memp|ssfse|cube|3dfse"
           r"|prop|frfseopt|turbo ?spin)", "SE"),
)
# fmt: on


def pulses_of(series: SeriesFacts) -> Iterator[Pulse]:
    """The family of each name that the header gives this sequence, in their order; unknown names are passed over."""
    for name in (series.sequence_name, *series.pulse_names):
        plain = name.strip().lower().rpartition("/")[2].lstrip("*")
        found = next((pulse for pulse in PULSES if plain and pulse.pattern.search(plain)), None)
        if found:
            yield found


def kinds_of(series: SeriesFacts) -> frozenset[str]:
    """ScanningSequence, filled in and put right by the sequence's name."""
    stated = frozenset(series.scanning_sequence)
    named = next((pulse.kinds for pulse in pulses_of(series) if pulse.kinds), frozenset())
    if not named:
        return stated
    if not stated & {"SE", "GR", "IR", "EP"}:
        return named
    if "GR" in named and "SE" in stated and "EP" not in named | stated:  # Siemens writes SE for *ci3d1 and *tfi2d1
        return stated - {"SE"} | named
    return stated | (named & {"IR", "EP"})


def excluded_pulse(series: SeriesFacts) -> str | None:
    """Our word for a sequence that is none of the four, or None."""
    return next((pulse.key for pulse in pulses_of(series) if pulse.excluded), None)


def weighted_pulse(series: SeriesFacts) -> Pulse | None:
    """The first name that leaves no doubt about the weighting."""
    return next((pulse for pulse in pulses_of(series) if pulse.weighting), None)
