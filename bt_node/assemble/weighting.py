"""T1, T2 or FLAIR: words and timing judged together, with what was decided said aloud."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.physics import Timing, Weighting, timing_of, timing_words
from bt_node.assemble.pulse import kinds_of, weighted_pulse
from bt_node.assemble.vocabulary import FLAIR_WORDS, PD_WORDS, T1_SEQUENCES, T1_WORDS, T2_WORDS, TIRM_WORDS
from bt_node.assemble.words import first_key

USED = frozenset({Weighting.T1, Weighting.T2, Weighting.FLAIR})


class Basis(StrEnum):
    """What a weighting rests on."""

    BOTH = "words and timing"
    WORDS = "words alone"
    TIMING = "timing alone"
    NONE = "nothing"


@dataclass(frozen=True)
class Judgement:
    """The weighting of one series.

    Attributes:
        weighting: T1, T2 or FLAIR, or None when it is something else, unknown or contradictory.
        reason: why, without free text of the scanner.
        basis: what it rests on.
        disputed: where words and timing contradict each other, what each of them says: one of these it may be.
    """

    weighting: Weighting | None
    reason: str
    basis: Basis = Basis.NONE
    disputed: frozenset[Weighting] = frozenset()


@dataclass(frozen=True)
class _Said:
    weighting: Weighting | None
    key: str = ""
    by: str = "description"


# AcquisitionContrast of Enhanced MR (PS3.3 C.8.13.3.1.2).
_CONTRASTS = {
    "T1": Weighting.T1,
    "T2": Weighting.T2,
    "FLUID_ATTENUATED": Weighting.FLAIR,
    "PROTON_DENSITY": Weighting.PD,
    "STIR": Weighting.STIR,
    "T2_STAR": Weighting.T2_STAR,
}


def judge_weighting(candidate: Candidate) -> Judgement:
    """Decide the weighting from words and timing."""
    timing, shown = timing_of(candidate.series), timing_words(candidate.series) or "no timing in the header"
    if timing.weighting in {Weighting.STIR, Weighting.T2_STAR} and timing.strong:
        return Judgement(None, f"{timing.weighting} by its timing ({shown})")
    said = next((found for text in candidate.texts if (found := _said(text)).key), _said_by_header(candidate))
    if said.weighting not in {*USED, None}:
        return Judgement(None, f"{said.by} says {said.key}: {said.weighting} is none of the four")
    if said.weighting is None:
        return _without_words(timing, shown, undecided=said.key)
    return _with_words(said, timing, shown, candidate)


def _said_by_header(candidate: Candidate) -> _Said:
    """Where no text names the weighting: the sequence's own name, then AcquisitionContrast."""
    series = candidate.series
    pulse = weighted_pulse(series)
    if pulse:
        return _Said(Weighting(pulse.weighting), pulse.key, "SequenceName")
    weighting = _CONTRASTS.get(series.acquisition_contrast)
    return _Said(weighting, series.acquisition_contrast, "AcquisitionContrast") if weighting else _Said(None)


def _said(text: str) -> _Said:
    flair, pd = first_key(FLAIR_WORDS, text), first_key(PD_WORDS, text)
    t1, t2 = first_key(T1_WORDS, text), first_key(T2_WORDS, text)
    if flair:
        # "T1 FLAIR" is a T1; "T2 FLAIR" and "FLAIR" are what the role FLAIR means.
        return _Said(Weighting.T1, "T1 FLAIR") if t1 and not t2 else _Said(Weighting.FLAIR, flair)
    if t2 and first_key(TIRM_WORDS, text):
        return _Said(None, "T2 TIRM")  # Siemens' name of both STIR and FLAIR: timing tells
    found = [(Weighting.T1, t1)] * bool(t1) + [(Weighting.T2, t2)] * bool(t2) + [(Weighting.PD, pd)] * bool(pd)
    if len(found) > 1:
        return _Said(None, " and ".join(str(key) for _, key in found))
    if found:
        return _Said(found[0][0], str(found[0][1]))
    sequence = first_key(T1_SEQUENCES, text)
    return _Said(Weighting.T1, sequence) if sequence else _Said(None)


def _without_words(timing: Timing, shown: str, *, undecided: str) -> Judgement:
    silent = f"description says {undecided}" if undecided else "description does not name the weighting"
    if timing.weighting in USED and timing.strong:
        return Judgement(timing.weighting, f"{silent}, but {shown} can only be {timing.weighting}", Basis.TIMING)
    if timing.weighting in USED:
        return Judgement(None, f"{silent}, and {shown} may be {timing.weighting} but does not prove it")
    if timing.weighting:
        return Judgement(None, f"{silent}; {timing.weighting} by its timing ({shown})")
    return Judgement(None, f"{silent}, and neither does its timing ({shown})")


def _with_words(said: _Said, timing: Timing, shown: str, candidate: Candidate) -> Judgement:
    weighting = said.weighting
    if timing.weighting is weighting and not _may_be_inverted(timing, candidate):
        return Judgement(weighting, f"{said.by} says {said.key} and {shown} agree", Basis.BOTH)
    if timing.weighting is weighting:
        return Judgement(
            weighting, f"{said.by} says {said.key}; {shown} fit, but also a FLAIR without its TI", Basis.WORDS
        )
    if timing.weighting is None:
        return Judgement(weighting, f"{said.by} says {said.key}; {shown} neither agree nor contradict", Basis.WORDS)
    settled = _settled(said, timing, shown, candidate)
    if settled:
        return settled
    if not timing.strong:
        return Judgement(weighting, f"{said.by} says {said.key}; {shown} do not exclude it", Basis.WORDS)
    disputed = frozenset(kind for kind in (said.weighting, timing.weighting) if kind in USED and kind)
    return Judgement(
        None, f"{said.by} says {said.key}, but {shown} can only be {timing.weighting}", disputed=disputed
    )


def _may_be_inverted(timing: Timing, candidate: Candidate) -> bool:
    """A T2 of so long a TR may be a FLAIR whose TI was not recorded, unless the header says how it was pulsed."""
    kinds = kinds_of(candidate.series)
    return timing.weighting is Weighting.T2 and not timing.strong and not ("SE" in kinds and "IR" not in kinds)


_FLAIR_SHORTEST_TR_MS = 4000.0
_T1_LONGEST_TR_MS = 2600.0


def _settled(said: _Said, timing: Timing, shown: str, candidate: Candidate) -> Judgement | None:
    """Pairs of word and timing that differ in name only."""
    series, pair = candidate.series, (said.weighting, timing.weighting)
    repetition = series.repetition_time_ms or 0.0
    if pair == (Weighting.T2, Weighting.FLAIR) and timing.strong:
        return Judgement(Weighting.FLAIR, f"{said.by} says {said.key}, and {shown} null fluid: a FLAIR", Basis.WORDS)
    if pair == (Weighting.FLAIR, Weighting.T1) and series.inversion_time_ms:
        return Judgement(Weighting.T1, f"{said.by} says {said.key}, but {shown} make it a T1 FLAIR", Basis.WORDS)
    if (
        pair == (Weighting.FLAIR, Weighting.T2)
        and not series.inversion_time_ms
        and repetition >= _FLAIR_SHORTEST_TR_MS
    ):
        return Judgement(Weighting.FLAIR, f"{said.by} says {said.key}; {shown} fit, TI is not recorded", Basis.WORDS)
    if pair == (Weighting.T1, Weighting.PD) and repetition <= _T1_LONGEST_TR_MS:
        return Judgement(Weighting.T1, f"{said.by} says {said.key}; {shown} are long for it", Basis.WORDS)
    return None
