"""Series that differ in nothing but time: acquired again, or reconstructed again from one acquisition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.vocabulary import FAT_FREE_WORDS, REPEAT_WORDS
from bt_node.assemble.words import first_key, without_contrast_words

_SAME_ACQUISITION_S = 10.0  # no two acquisitions of a whole head start within this time
_CLOSE = 0.05


class Clock:
    """Acquisition times of one study; none at all when they were made equal by de-identification."""

    def __init__(self, everything: Sequence[Candidate]) -> None:
        times = {candidate.series.acquired_at_s for candidate in everything}
        self.usable = len(times - {None}) > 1

    def time(self, candidate: Candidate) -> float | None:
        """When it was acquired, in seconds since 1970; None where that cannot be told."""
        return candidate.series.acquired_at_s if self.usable else None

    def one_acquisition(self, candidates: Sequence[Candidate]) -> bool:
        """Whether all of them were reconstructed from one acquisition: same start, same settings."""
        first = candidates[0]
        times = [time for candidate in candidates if (time := self.time(candidate)) is not None]
        if len(times) < len(candidates) or max(times) - min(times) >= _SAME_ACQUISITION_S:
            return False
        return all(same_settings(first, other) for other in candidates[1:])


def time_of_day(seconds: float) -> str:
    """Seconds since 1970, the patient's local time, as "09:47:05"."""
    minutes, second = divmod(int(seconds) % 86400, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"


def same_settings(one: Candidate, other: Candidate) -> bool:
    """The same plane, sequence and timing."""
    a, b = one.series, other.series
    return (
        one.shape.plane == other.shape.plane
        and a.acquisition_type == b.acquisition_type
        and a.scanning_sequence == b.scanning_sequence
        and _close(a.echo_time_ms, b.echo_time_ms)
        and _close(a.repetition_time_ms, b.repetition_time_ms)
        and _close(a.inversion_time_ms, b.inversion_time_ms)
    )


def are_twins(one: Candidate, other: Candidate) -> bool:
    """The same settings, and the same description but for words about contrast."""
    return _name(one) == _name(other) and same_settings(one, other)


def groups_of_twins(candidates: Sequence[Candidate]) -> list[list[Candidate]]:
    """Groups of series that differ in nothing but time and words about contrast."""
    groups: list[list[Candidate]] = []
    for candidate in candidates:
        home = next((group for group in groups if are_twins(group[0], candidate)), None)
        if home is None:
            groups.append([candidate])
        else:
            home.append(candidate)
    return [group for group in groups if len(group) > 1]


def adds_words(later: Candidate, earlier: Candidate) -> bool:
    """Whether `later` has the name and the settings of `earlier`, and an unknown word more.

    Words that mean something else (fat saturation, a repetition) do not count.
    """
    before, after = _name(earlier).split(), _name(later).split()
    more = [word for word in after if word not in before]
    meant = (first_key(words, _name(later)) for words in (FAT_FREE_WORDS, REPEAT_WORDS))
    return bool(before and more) and set(before) < set(after) and not any(meant) and same_settings(later, earlier)


def _name(candidate: Candidate) -> str:
    return without_contrast_words(candidate.texts[0]) if candidate.texts else ""


def runs_in_order(twins: Sequence[Candidate], clock: Clock) -> list[list[Candidate]]:
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


def _close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return abs(a - b) <= _CLOSE * max(abs(a), abs(b))
