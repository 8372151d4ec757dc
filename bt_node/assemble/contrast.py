"""Before or after contrast: explicit evidence first, then order in time, never a guess.

The trap this exists for: pre- and post-contrast T1 of one study may have the same description, TE and TR, and no
contrast tag at all. What remains is that contrast agent cannot be taken back: of two equal acquisitions the later one
is after the injection, and whatever follows a series with contrast has contrast too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from bt_node.assemble.agent import examined_without, has_agent
from bt_node.assemble.candidate import Candidate
from bt_node.assemble.twins import (
    Clock,
    adds_words,
    are_twins,
    groups_of_twins,
    runs_in_order,
    same_settings,
)
from bt_node.assemble.vocabulary import BOLUS_WORDS, SPIN_LABEL_WORDS
from bt_node.assemble.words import contrast_word, first_key


class Basis(Enum):
    """What tells before from after contrast: its rank (higher is surer), and the doubt that it leaves, if any."""

    PERSON = (6, "")
    STATED = (5, "")
    AGENT = (5, "", "by ContrastBolusAgent alone")
    AFTER_STATED = (4, "")
    NAMED_TWIN = (3, "")
    AGENT_EARLY = (
        3.3,
        "only ContrastBolusAgent says that contrast was given, it may have been filled in before the injection",
    )
    AGENT_ALONE = (3.2, "only ContrastBolusAgent says that contrast was given, and no T1 is without it")
    BOLUS = (3.1, "only a bolus perfusion before it says that contrast was given")
    STARTED = (3.05, "only ContrastBolusStartTime tells before from after contrast")
    CONTRADICTED = (2.5, "another series claims to be without contrast, but was acquired later")
    ORDER = (2, "no header names contrast, only the times of equal acquisitions tell before from after")
    NUMBERS = (1, "no header names contrast, only SeriesNumber tells before from after")
    NAMED_MORE = (1.8, "no word that is known names contrast, only a later equal acquisition with a longer name")
    NAMED_NUMBERS = (0.9, "no word that is known names contrast, only SeriesNumber and a longer name")
    SILENT_BEFORE = (1.5, "it says nothing about contrast, and the series that do have other settings")
    SILENT = (0, "nothing says whether contrast was given")

    def __init__(self, rank: float, doubt: str, _apart: str = "") -> None:
        self.rank, self.doubt = rank, doubt  # `_apart` keeps members of equal rank from being one


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
_Source = tuple[float, str, Basis]  # when, what, how sure
_SAME_VISIT_S = 6 * 3600.0  # contrast agent is washed out by the next day


def stated(everything: Sequence[Candidate], t1s: Sequence[Candidate] = ()) -> dict[Candidate, Contrast]:
    """What headers state outright, by words or by contrast elements, for each series that states anything.

    An agent that stands on every series of the study, or on each of several T1, tells nothing: consoles copy it
    from the worklist. That an agent was not administered tells something only where another series has one.
    """
    t1_agents = [has_agent(candidate) for candidate in t1s]
    lone = t1s[0] if len(t1s) == 1 and all(t1_agents) else None
    everywhere = all(map(has_agent, everything)) or (len(t1s) > 1 and all(t1_agents))
    anywhere = any(map(has_agent, everything))
    found: dict[Candidate, Contrast] = {}
    for candidate in everything:
        agent = not everywhere and has_agent(candidate)
        refused = anywhere and candidate.series.contrast_given is False
        verdict = _stated_by(candidate, agent=agent, refused=refused)
        if verdict and verdict.basis is Basis.AGENT_ALONE and not all(t1_agents):
            frames_say = candidate.series.contrast_given is not None
            verdict = replace(verdict, basis=Basis.STATED if frames_say else Basis.AGENT)
        if verdict is None and candidate is lone:
            verdict = _lone(candidate, everything)
        if verdict:
            found[candidate] = verdict
    return found


def _lone(candidate: Candidate, everything: Sequence[Candidate]) -> Contrast:
    """The only T1, and an agent on it and on all others: after contrast if it came last, else nobody can tell."""
    clock = Clock(everything)
    here = clock.time(candidate)
    times = [clock.time(other) for other in everything if other is not candidate]
    if not times or (here is not None and all(time is not None and time < here for time in times)):
        return Contrast(True, "an agent is named, and it is the last series of the study", Basis.AGENT_ALONE)
    why = "an agent is named on it and on every other series: before or after contrast is not known"
    return Contrast(None, why, Basis.SILENT)


def _stated_by(candidate: Candidate, *, agent: bool, refused: bool) -> Contrast | None:
    said, key = next((word for text in candidate.texts if (word := contrast_word(text))[1]), (None, ""))
    element = (
        "ContrastBolusAgentAdministered" if candidate.series.contrast_given is not None else "ContrastBolusAgent"
    )
    filled = f"{element} says YES" if candidate.series.contrast_given else f"{element} is filled in"
    if said is False and agent:
        return Contrast(None, f"description says {key}, but {filled}", Basis.STATED)
    if said is True and refused:
        return Contrast(None, f"description says {key}, but {element} says NO", Basis.STATED)
    if said is True:
        also = f" and {filled}" if agent else ""
        return Contrast(True, f"description says {key}{also}", Basis.STATED)
    if agent:
        return Contrast(True, filled, Basis.AGENT_ALONE)
    if said is False:
        return Contrast(False, f"description says {key}", Basis.STATED)
    return Contrast(False, f"{element} says NO", Basis.STATED) if refused else None


def settle(t1s: Sequence[Candidate], everything: Sequence[Candidate], known: Verdicts) -> Verdicts:
    """Decide for each T1 whether contrast had been given.

    Args:
        t1s: the T1-weighted candidates.
        everything: all series of the study, as evidence.
        known: T1 that a person or a rule of the site decided about; they are evidence too.
    """
    clock = Clock(everything)
    plain = examined_without(everything)
    outside = injections(everything, clock)
    said = stated(everything, t1s)
    verdicts = {candidate: said[candidate] for candidate in t1s if candidate in said} | dict(known)
    _doubt_early_agents(verdicts, t1s, clock)
    _confront_with_time(verdicts, known, clock)
    _spread_in_time(t1s, verdicts, clock, outside)
    decided = [c for c in {*t1s, *known} if c not in verdicts or verdicts[c].given is not None]
    for twins in groups_of_twins(sorted(decided, key=lambda candidate: candidate.order)):
        _order_twins(twins, verdicts, clock, plain=plain)
    _compare_names(t1s, verdicts, clock, plain=plain)
    _spread_in_time(t1s, verdicts, clock, outside)
    for candidate in t1s:
        if candidate not in verdicts:
            verdicts[candidate] = _silent(candidate, verdicts, clock)
    return verdicts


def _doubt_early_agents(verdicts: dict[Candidate, Contrast], t1s: Sequence[Candidate], clock: Clock) -> None:
    """Consoles write the agent on every series from the moment on that somebody typed it in.

    It proves contrast on the last T1 that has it, and on one whose equal was acquired before without it; on others
    the injection may have come later.
    """
    doubted = [
        candidate
        for candidate, verdict in verdicts.items()
        if verdict.basis is Basis.AGENT
        and any(verdicts[other].given and _may_follow(other, candidate, clock) for other in verdicts)
        and not any(_is_plain_equal(other, candidate, verdicts) for other in t1s)
    ]
    for candidate in doubted:
        verdicts[candidate] = replace(verdicts[candidate], basis=Basis.AGENT_EARLY)


def _may_follow(other: Candidate, candidate: Candidate, clock: Clock) -> bool:
    """Whether the other may be of a later acquisition; where no times tell, it may."""
    here, there = clock.time(candidate), clock.time(other)
    if other is candidate or clock.one_acquisition([candidate, other]):
        return False
    return here is None or there is None or here < there


def _is_plain_equal(other: Candidate, candidate: Candidate, verdicts: Verdicts) -> bool:
    claims = other in verdicts and verdicts[other].given is not False
    return not claims and not has_agent(other) and same_settings(other, candidate)


def _confront_with_time(verdicts: dict[Candidate, Contrast], known: Verdicts, clock: Clock) -> None:
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


def _silent(candidate: Candidate, verdicts: Verdicts, clock: Clock) -> Contrast:
    """Nothing was found: what it means that others of the study say more."""
    after = [c for c, verdict in verdicts.items() if verdict.given is True and verdict.basis in _FIRM]
    twin = next((other for other in after if are_twins(other, candidate)), None)
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


def _bolus_time(everything: Sequence[Candidate], clock: Clock) -> float | None:
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


def _started(everything: Sequence[Candidate], clock: Clock) -> float | None:
    """ContrastBolusStartTime, where all series that have one agree and it lies inside the examination."""
    starts = {c.series.contrast_started_at_s for c in everything} - {None}
    times = [time for candidate in everything if (time := clock.time(candidate)) is not None]
    if len(starts) != 1 or not times:
        return None
    start = starts.pop()
    return start if start is not None and min(times) < start < max(times) else None


def injections(everything: Sequence[Candidate], clock: Clock) -> tuple[list[_Source], list[_Source]]:
    """From when on, and until when, there is contrast or none by evidence outside the T1 themselves."""
    bolus_s, start_s = _bolus_time(everything, clock), _started(everything, clock)
    after = [(bolus_s, "the bolus perfusion", Basis.BOLUS)] if bolus_s is not None else []
    before = []
    if start_s is not None:
        after.append((start_s, "the injection by ContrastBolusStartTime", Basis.STARTED))
        before.append((start_s, "the injection by ContrastBolusStartTime", Basis.STARTED))
    return after, before


def _spread_in_time(
    t1s: Sequence[Candidate],
    verdicts: dict[Candidate, Contrast],
    clock: Clock,
    injections: tuple[list[_Source], list[_Source]],
) -> None:
    """In one visit contrast cannot be taken back: after a series with it comes contrast, before one without none."""
    after = _sources(verdicts, clock, given=True) + injections[0]
    before = _sources(verdicts, clock, given=False) + injections[1]
    for candidate in t1s:
        time = clock.time(candidate)
        if candidate in verdicts or time is None:
            continue
        earlier = [source for source in after if 0 < time - source[0] < _SAME_VISIT_S]
        later = [source for source in before if 0 < source[0] - time < _SAME_VISIT_S]
        if earlier:
            _, name, basis = min(earlier, key=lambda source: (-source[2].rank, source[0]))
            has = "" if basis in _OUTSIDE else ", which has contrast"
            verdicts[candidate] = Contrast(True, f"acquired after {name}{has}", basis)
        elif later:
            _, name, basis = max(later, key=lambda source: (source[2].rank, source[0]))
            has = "" if basis in _OUTSIDE else ", which has no contrast"
            verdicts[candidate] = Contrast(False, f"acquired before {name}{has}", basis)


_OUTSIDE = frozenset({Basis.BOLUS, Basis.STARTED})
_FIRM = frozenset({Basis.PERSON, Basis.STATED, Basis.AGENT})


def _sources(verdicts: Verdicts, clock: Clock, *, given: bool) -> list[_Source]:
    """Time, name and strength of each series from which others can be placed in time."""
    return [
        (time, candidate.name, Basis.AFTER_STATED if verdict.basis in _FIRM else verdict.basis)
        for candidate, verdict in verdicts.items()
        if verdict.given is given and (time := clock.time(candidate)) is not None
    ]


def _order_twins(
    twins: Sequence[Candidate], verdicts: dict[Candidate, Contrast], clock: Clock, *, plain: bool
) -> None:
    if any(c in verdicts and verdicts[c].given is True for c in twins):
        return  # one of them says so itself; the silent ones are placed by time
    runs = runs_in_order(twins, clock)
    if len(runs) < 2:  # noqa: PLR2004 - one acquisition, reconstructed more than once
        return
    first, last = runs[0], runs[-1]
    begin, end = clock.time(first[0]), clock.time(last[0])
    if begin is not None and end is not None and end - begin >= _SAME_VISIT_S:
        return  # of two visits, each may be without contrast
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
        verdicts.setdefault(candidate, _by_order(f"{why}: the later one is after contrast", basis, plain=plain))
    for candidate in (c for run in runs[1:-1] for c in run):
        why = "lies between the earliest and the latest of equal acquisitions: before or after contrast is not known"
        verdicts.setdefault(candidate, Contrast(None, why, basis))


def _by_order(why: str, basis: Basis, *, plain: bool) -> Contrast:
    """After contrast by order alone: undecided where the examination is called one without contrast."""
    if plain:
        return Contrast(None, f"{why}; but StudyDescription says that this is an examination without contrast", basis)
    return Contrast(True, why, basis)


def _compare_names(
    t1s: Sequence[Candidate], verdicts: dict[Candidate, Contrast], clock: Clock, *, plain: bool
) -> None:
    """Where nothing else tells: an equal acquisition, later and with a longer name, is after contrast.

    What was added is a word that this vocabulary does not know; what else scans an equal T1 again is rare, and
    its words are known.
    """
    if any(verdict.given is True for verdict in verdicts.values()):
        return
    unknown = [candidate for candidate in t1s if candidate not in verdicts]
    for later in unknown:
        for earlier in (c for c in t1s if c in unknown or verdicts[c].given is False):
            if not _comes_later(later, earlier, clock) or not adds_words(later, earlier):
                continue
            basis = Basis.NAMED_MORE if clock.time(later) is not None else Basis.NAMED_NUMBERS
            since = _later(later, earlier, clock)
            why = f"a name longer than that of {earlier.name}, and {since} with the same settings"
            verdicts[later] = _by_order(why, basis, plain=plain)
            before = f"{later.name} with the same settings and a longer name came later"
            verdicts.setdefault(earlier, Contrast(False, before, basis))


def _comes_later(later: Candidate, earlier: Candidate, clock: Clock) -> bool:
    """Later in the same visit; by SeriesNumber only when the study has no times."""
    if not clock.usable:
        number, before = later.series.series_number, earlier.series.series_number
        return number is not None and before is not None and before < number
    here, there = clock.time(later), clock.time(earlier)
    return here is not None and there is not None and 0 < here - there < _SAME_VISIT_S


def _later(candidate: Candidate, first: Candidate, clock: Clock) -> str:
    now, then = clock.time(candidate), clock.time(first)
    if now is None or then is None:
        return f"is numbered after {first.name} (acquisition times are not usable)"
    minutes, seconds = divmod(round(now - then), 60)
    return f"was acquired {minutes} min {seconds} s after {first.name}"
