"""Before or after contrast: explicit evidence first, then order in time, never a guess.

The trap this exists for: pre- and post-contrast T1 of one study may have the same description, TE and TR, and no
contrast tag at all. What remains is that contrast agent cannot be taken back: of two equal acquisitions the later one
is after the injection, and whatever follows a series with contrast has contrast too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.vocabulary import BOLUS_WORDS, SPIN_LABEL_WORDS
from bt_node.assemble.words import contrast_word, first_key, without_contrast_words


class Basis(Enum):
    """What tells before from after contrast: its rank (higher is surer), and the doubt that it leaves, if any."""

    PERSON = (6, "")
    STATED = (5, "")
    AFTER_STATED = (4, "")
    NAMED_TWIN = (3, "")
    AGENT_ALONE = (3.2, "only ContrastBolusAgent says that contrast was given, and no T1 is without it")
    BOLUS = (3.1, "only a bolus perfusion before it says that contrast was given")
    CONTRADICTED = (2.5, "another series claims to be without contrast, but was acquired later")
    ORDER = (2, "no header names contrast, only the times of equal acquisitions tell before from after")
    NUMBERS = (1, "no header names contrast, only SeriesNumber tells before from after")
    SILENT_BEFORE = (1.5, "it says nothing about contrast, and the series that do have other settings")
    SILENT = (0, "nothing says whether contrast was given")

    def __init__(self, rank: float, doubt: str) -> None:
        self.rank, self.doubt = rank, doubt


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
        basis: what it rests on.
    """

    given: bool | None
    reason: str
    basis: Basis


Verdicts = Mapping[Candidate, Contrast]
_SAME_VISIT_S = 6 * 3600.0  # contrast agent is washed out by the next day


def stated(everything: Sequence[Candidate], t1s: Sequence[Candidate] = ()) -> dict[Candidate, Contrast]:
    """What headers state outright, by words or by ContrastBolusAgent, for each series that states anything.

    An agent that stands on every series of the study, or on each of several T1, tells nothing: consoles copy it
    from the worklist.
    """
    t1_agents = [has_agent(candidate) for candidate in t1s]
    everywhere = all(map(has_agent, everything)) or (len(t1s) > 1 and all(t1_agents))
    found: dict[Candidate, Contrast] = {}
    for candidate in everything:
        verdict = _stated_by(candidate, agent=not everywhere and has_agent(candidate))
        if verdict and verdict.basis is Basis.AGENT_ALONE and not all(t1_agents):
            verdict = replace(verdict, basis=Basis.STATED)
        if verdict:
            found[candidate] = verdict
    return found


def has_agent(candidate: Candidate) -> bool:
    """Whether ContrastBolusAgent names an agent, rather than saying in some language that there was none."""
    return candidate.series.contrast_agent.strip().upper() not in _NO_AGENT


def _stated_by(candidate: Candidate, *, agent: bool) -> Contrast | None:
    said, key = next((word for text in candidate.texts if (word := contrast_word(text))[1]), (None, ""))
    if said is False and agent:
        return Contrast(None, f"description says {key}, but ContrastBolusAgent is filled in", Basis.STATED)
    if said is True:
        also = " and ContrastBolusAgent is filled in" if agent else ""
        return Contrast(True, f"description says {key}{also}", Basis.STATED)
    if agent:
        return Contrast(True, "ContrastBolusAgent is filled in", Basis.AGENT_ALONE)
    return Contrast(False, f"description says {key}", Basis.STATED) if said is False else None


def settle(t1s: Sequence[Candidate], everything: Sequence[Candidate], known: Verdicts) -> Verdicts:
    """Decide for each T1 whether contrast had been given.

    Args:
        t1s: the T1-weighted candidates.
        everything: all series of the study, as evidence.
        known: T1 that a person or a rule of the site decided about; they are evidence too.
    """
    clock = _Clock(everything)
    bolus_s = _bolus_time(everything, clock)
    said = stated(everything, t1s)
    verdicts = {candidate: said[candidate] for candidate in t1s if candidate in said} | dict(known)
    _confront_with_time(verdicts, known, clock)
    _spread_in_time(t1s, verdicts, clock, bolus_s)
    decided = [c for c in {*t1s, *known} if c not in verdicts or verdicts[c].given is not None]
    for twins in _twins(sorted(decided, key=lambda candidate: candidate.order)):
        _order_twins(twins, verdicts, clock)
    _spread_in_time(t1s, verdicts, clock, bolus_s)
    for candidate in t1s:
        if candidate not in verdicts:
            verdicts[candidate] = _silent(candidate, verdicts, clock)
    return verdicts


def _confront_with_time(verdicts: dict[Candidate, Contrast], known: Verdicts, clock: _Clock) -> None:
    """A series that claims no contrast, acquired after one of the same visit that claims it: one of them errs."""
    times = {candidate: time for candidate in verdicts if (time := clock.time(candidate)) is not None}
    after = [(candidate, time) for candidate, time in times.items() if verdicts[candidate].given is True]
    without = [(candidate, time) for candidate, time in times.items() if verdicts[candidate].given is False]
    undisputed = [time for _, time in without if all(time < then for _, then in after)]
    for later, time in without:
        earlier = [other for other, then in after if 0 < time - then < _SAME_VISIT_S]
        if earlier and later not in known:
            said = f"{verdicts[later].reason}, but it was acquired after {earlier[0].name}, which has contrast"
            verdicts[later] = Contrast(None, said, Basis.STATED)
        for other in [other for other in earlier if other not in known]:
            if any(before < times[other] for before in undisputed):
                verdicts[other] = replace(verdicts[other], basis=Basis.CONTRADICTED)
            else:  # nothing else vouches for it: the two may be exchanged
                said = f"{verdicts[other].reason}, but {later.name}, which claims to be without, was acquired later"
                verdicts[other] = Contrast(None, said, Basis.STATED)


def _silent(candidate: Candidate, verdicts: Verdicts, clock: _Clock) -> Contrast:
    """Nothing was found: what it means that others of the study say more."""
    after = [c for c, verdict in verdicts.items() if verdict.given is True and verdict.basis in _FIRM]
    twin = next((other for other in after if _are_twins(other, candidate)), None)
    here, there = clock.time(candidate), [clock.time(other) for other in after]
    before = here is not None and bool(there) and all(time is not None and here < time for time in there)
    if twin:
        said = f"says nothing about contrast, while {twin.name} with the same settings does"
        if before:
            return Contrast(False, f"{said} and was acquired later", Basis.NAMED_TWIN)
        return Contrast(False, said, Basis.SILENT)
    if before:
        reason = f"says nothing about contrast, and was acquired before {after[0].name}, which has contrast"
        return Contrast(False, reason, Basis.SILENT_BEFORE)
    return Contrast(False, "nothing says that contrast was given", Basis.SILENT)


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
    t1s: Sequence[Candidate], verdicts: dict[Candidate, Contrast], clock: _Clock, bolus_s: float | None
) -> None:
    """Contrast cannot be taken back: after a series with it comes contrast, before a series without it came none."""
    after = _sources(verdicts, clock, given=True)
    if bolus_s is not None:
        after.append((bolus_s, "the bolus perfusion", Basis.BOLUS))
    before = _sources(verdicts, clock, given=False)
    for candidate in t1s:
        time = clock.time(candidate)
        if candidate in verdicts or time is None:
            continue
        earlier = [source for source in after if source[0] < time]
        later = [source for source in before if time < source[0]]
        if earlier:
            _, name, basis = min(earlier, key=lambda source: (-source[2].rank, source[0]))
            verdicts[candidate] = Contrast(True, f"acquired after {name}, which has contrast", basis)
        elif later:
            _, name, basis = max(later, key=lambda source: (source[2].rank, source[0]))
            verdicts[candidate] = Contrast(False, f"acquired before {name}, which has no contrast", basis)


_FIRM = frozenset({Basis.PERSON, Basis.STATED})


def _sources(verdicts: Verdicts, clock: _Clock, *, given: bool) -> list[tuple[float, str, Basis]]:
    """Time, name and strength of each series from which others can be placed in time."""
    return [
        (time, candidate.name, Basis.AFTER_STATED if verdict.basis in _FIRM else verdict.basis)
        for candidate, verdict in verdicts.items()
        if verdict.given is given and (time := clock.time(candidate)) is not None
    ]


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
    basis = Basis.ORDER if clock.time(first[0]) is not None else Basis.NUMBERS
    for candidate in first:
        verdicts.setdefault(
            candidate,
            Contrast(
                False, f"nothing names contrast, and it is the earliest of {len(runs)} equal acquisitions", basis
            ),
        )
    for candidate in last:
        why = f"nothing names contrast, but it {_later(candidate, first[0], clock)} with the same settings"
        verdicts.setdefault(candidate, Contrast(True, f"{why}: the later one is after contrast", basis))
    for candidate in (c for run in runs[1:-1] for c in run):
        why = "lies between the earliest and the latest of equal acquisitions: before or after contrast is not known"
        verdicts.setdefault(candidate, Contrast(None, why, basis))


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
