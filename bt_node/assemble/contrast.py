"""Before or after contrast: explicit evidence first, then order in time, never a guess.

The trap this exists for: pre- and post-contrast T1 of one study may have the same description, TE and TR, and no
contrast tag at all. What remains is that contrast agent cannot be taken back: of two equal acquisitions the later one
is after the injection, and whatever follows a series with contrast has contrast too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.vocabulary import BOLUS_WORDS, SPIN_LABEL_WORDS
from bt_node.assemble.words import contrast_word, first_key, without_contrast_words

EXPLICIT, BY_TIME, BY_ORDER, NOTHING = 3, 2, 1, 0

_NO_AGENT = frozenset(
    {"", "NO", "NONE", "N", "NIL", "0", "-", "--", ".", "OHNE", "SANS", "NEIN", "NON", "NO CONTRAST", "N/A", "NA"}
)
_SAME_ACQUISITION_S = 10.0  # no two acquisitions of a whole head start within this time
_CLOSE = 0.05


@dataclass(frozen=True)
class Contrast:
    """Whether a T1 was taken after contrast.

    Attributes:
        given: True, False, or None when the evidence is contradictory or lacking.
        reason: why, without free text of the scanner.
        certainty: 3 stated, 2 follows from a stated one in time, 1 by order of equal acquisitions, 0 nothing said.
    """

    given: bool | None
    reason: str
    certainty: int


Verdicts = Mapping[Candidate, Contrast]


def stated(candidates: Sequence[Candidate]) -> dict[Candidate, Contrast]:
    """What headers state outright, by words or by ContrastBolusAgent, for each of `candidates` that states anything.

    An agent that stands on every series of the study tells nothing: consoles copy it from the worklist.
    """
    agents = {candidate: _has_agent(candidate) for candidate in candidates}
    telling = not all(agents.values())
    found: dict[Candidate, Contrast] = {}
    for candidate in candidates:
        verdict = _stated_by(candidate, agent=telling and agents[candidate])
        if verdict:
            found[candidate] = verdict
    return found


def _has_agent(candidate: Candidate) -> bool:
    return candidate.series.contrast_agent.strip().upper() not in _NO_AGENT


def _stated_by(candidate: Candidate, *, agent: bool) -> Contrast | None:
    said, key = next((word for text in candidate.texts if (word := contrast_word(text))[1]), (None, ""))
    if said is False and agent:
        return Contrast(None, f"description says {key}, but ContrastBolusAgent is filled in", EXPLICIT)
    if said is True:
        also = " and ContrastBolusAgent is filled in" if agent else ""
        return Contrast(True, f"description says {key}{also}", EXPLICIT)
    if agent:
        return Contrast(True, "ContrastBolusAgent is filled in", EXPLICIT)
    return Contrast(False, f"description says {key}", EXPLICIT) if said is False else None


def settle(t1s: Sequence[Candidate], everything: Sequence[Candidate]) -> Verdicts:
    """Decide for each T1 whether contrast had been given.

    Args:
        t1s: the T1-weighted candidates.
        everything: all series of the study, as evidence.
    """
    clock = _Clock(everything)
    injected_before_s = _bolus_time(everything, clock)
    said = stated(everything)
    verdicts = {candidate: said[candidate] for candidate in t1s if candidate in said}
    _spread_in_time(t1s, verdicts, clock, injected_before_s)
    for twins in _twins([c for c in t1s if c not in verdicts or verdicts[c].given is not None]):
        _order_twins(twins, verdicts, clock)
    _spread_in_time(t1s, verdicts, clock, injected_before_s)
    for candidate in t1s:
        verdicts.setdefault(candidate, Contrast(False, "nothing says that contrast was given", NOTHING))
    return verdicts


def _bolus_time(everything: Sequence[Candidate], clock: _Clock) -> float | None:
    """When a series began that only an injection explains; None without one, or where spin labelling confuses it."""
    texts = [(candidate, text) for candidate in everything for text in candidate.texts]
    if any(first_key(SPIN_LABEL_WORDS, text) for _, text in texts):
        return None
    times = [
        clock.time(candidate)
        for candidate, text in texts
        if "EP" in candidate.series.scanning_sequence and first_key(BOLUS_WORDS, text)
    ]
    return min((time for time in times if time is not None), default=None)


class _Clock:
    """Acquisition times of one study; none at all when they were made equal by de-identification."""

    def __init__(self, everything: Sequence[Candidate]) -> None:
        times = {candidate.series.acquired_at_s for candidate in everything}
        self._usable = len(times - {None}) > 1

    def time(self, candidate: Candidate) -> float | None:
        return candidate.series.acquired_at_s if self._usable else None


def _spread_in_time(
    t1s: Sequence[Candidate], verdicts: dict[Candidate, Contrast], clock: _Clock, injected_before_s: float | None
) -> None:
    """Contrast cannot be taken back: after a series with it comes contrast, before a series without it came none."""
    after = [(clock.time(c), c.name) for c in t1s if c in verdicts and verdicts[c].given is True]
    before = [(clock.time(c), c.name) for c in t1s if c in verdicts and verdicts[c].given is False]
    if injected_before_s is not None:
        after.append((injected_before_s, "the bolus perfusion"))
    first_with = min(((t, name) for t, name in after if t is not None), default=None)
    last_without = max(((t, name) for t, name in before if t is not None), default=None)
    for candidate in t1s:
        time = clock.time(candidate)
        if candidate in verdicts or time is None:
            continue
        if first_with and time > first_with[0]:
            verdicts[candidate] = Contrast(True, f"acquired after {first_with[1]}, which has contrast", BY_TIME)
        elif last_without and time < last_without[0]:
            verdicts[candidate] = Contrast(
                False, f"acquired before {last_without[1]}, which has no contrast", BY_TIME
            )


def _twins(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Groups of series that differ in nothing but time and words about contrast."""
    groups: list[list[Candidate]] = []
    for candidate in candidates:
        home = next((group for group in groups if _are_twins(group[0], candidate)), None)
        if home is None:
            groups.append([candidate])
        else:
            home.append(candidate)
    return [group for group in groups if len(group) > 1]


def _are_twins(one: Candidate, other: Candidate) -> bool:
    a, b = one.series, other.series
    return (
        [without_contrast_words(text) for text in one.texts[:1]]
        == [without_contrast_words(t) for t in other.texts[:1]]
        and one.shape.plane == other.shape.plane
        and a.acquisition_type == b.acquisition_type
        and a.scanning_sequence == b.scanning_sequence
        and _close(a.echo_time_ms, b.echo_time_ms)
        and _close(a.repetition_time_ms, b.repetition_time_ms)
        and _close(a.inversion_time_ms, b.inversion_time_ms)
    )


def _close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= _CLOSE * max(abs(a), abs(b))


def _order_twins(twins: Sequence[Candidate], verdicts: dict[Candidate, Contrast], clock: _Clock) -> None:
    if any(c in verdicts and verdicts[c].given is True for c in twins):
        return  # one of them says so itself; the silent ones are placed by time
    runs = _in_order(twins, clock)
    if len(runs) < 2:  # noqa: PLR2004 - one acquisition, reconstructed more than once
        return
    first, last = runs[0], runs[-1]
    for candidate in first:
        verdicts.setdefault(
            candidate,
            Contrast(
                False, f"nothing names contrast, and it is the earliest of {len(runs)} equal acquisitions", BY_ORDER
            ),
        )
    for candidate in last:
        why = f"nothing names contrast, but it {_later(candidate, first[0], clock)} with the same settings"
        verdicts.setdefault(candidate, Contrast(True, f"{why}: the later one is after contrast", BY_ORDER))
    for candidate in (c for run in runs[1:-1] for c in run):
        why = "lies between the earliest and the latest of equal acquisitions: before or after contrast is not known"
        verdicts.setdefault(candidate, Contrast(None, why, BY_ORDER))


def _in_order(twins: Sequence[Candidate], clock: _Clock) -> list[list[Candidate]]:
    """Twins by acquisition, earliest first; by SeriesNumber only when the study has no times."""
    times = {candidate: clock.time(candidate) for candidate in twins}
    timed = {candidate: time for candidate, time in times.items() if time is not None}
    if len(timed) == len(twins):
        return _runs(sorted(twins, key=lambda c: (timed[c], c.order)), timed)
    if timed or any(candidate.series.series_number is None for candidate in twins):
        return []
    numbers = {candidate: float(candidate.series.series_number or 0) for candidate in twins}
    distinct = sorted(set(numbers.values()))
    return [[candidate for candidate in twins if numbers[candidate] == number] for number in distinct]


def _runs(ordered: Sequence[Candidate], times: Mapping[Candidate, float]) -> list[list[Candidate]]:
    runs: list[list[Candidate]] = []
    for candidate in ordered:
        if runs and times[candidate] - times[runs[-1][0]] < _SAME_ACQUISITION_S:
            runs[-1].append(candidate)
        else:
            runs.append([candidate])
    return runs


def _later(candidate: Candidate, first: Candidate, clock: _Clock) -> str:
    now, then = clock.time(candidate), clock.time(first)
    if now is None or then is None:
        return f"is numbered after {first.name} (acquisition times are not usable)"
    minutes, seconds = divmod(round(now - then), 60)
    return f"was acquired {minutes} min {seconds} s after {first.name}"
