"""A person names series by SeriesNumber or SeriesInstanceUID, of several volumes in one by their order as well."""

from __future__ import annotations

from collections.abc import Mapping

from bt_node.assemble.candidate import Candidate, candidates_of
from bt_node.assemble.site import cannot_be_any, image_of
from bt_node.assemble.twins import time_of_day
from bt_node.domain.errors import AssignmentRefusedError
from bt_node.domain.study import NamedVolume, Role, StudyFacts


def named_series(study: StudyFacts, wanted: Mapping[Role, str]) -> dict[Role, NamedVolume]:
    """The volume that a person gives to each role.

    Args:
        study: what the study holds now.
        wanted: SeriesNumber or SeriesInstanceUID for each role; `7:2` is the second volume of series 7, in the order
            of its images.

    Raises:
        AssignmentRefusedError: a series is not in the study, no MR volume, several volumes of which none is named, or
            named twice; all such mistakes at once.
    """
    everything = candidates_of(study)
    found: dict[Role, NamedVolume] = {}
    problems: list[str] = []
    for role, word in wanted.items():
        name, _, number = word.partition(":")
        uids = _meant(study, name)
        volumes = [volume for volume in everything if volume.series.series_instance_uid in uids]
        problem = _problem(study, name, uids, volumes, number)
        if problem:
            problems.append(f"{role.value}: {problem}")
            continue
        image = image_of(volumes[int(number) - 1].series.slices[0]) if len(volumes) > 1 else ""
        meant = NamedVolume(uids[0], image)
        if meant in found.values():
            other = next(each for each, volume in found.items() if volume == meant)
            problems.append(f"{role.value}: series {word} is named for {other.value} already")
        found[role] = meant
    if problems:
        raise AssignmentRefusedError(problems)
    return found


def _meant(study: StudyFacts, word: str) -> list[str]:
    known = [(series.series_instance_uid, series.series_number) for series in study.series]
    known += [(entry.series_instance_uid, entry.series_number) for entry in study.set_aside]
    return sorted({uid for uid, number in known if uid and word in (uid, str(number))})


def _problem(study: StudyFacts, word: str, uids: list[str], volumes: list[Candidate], number: str) -> str:
    if not uids:
        numbers = sorted({each.series_number for each in study.series if each.series_number is not None})
        return (
            f"no series {word} in this study; its MR series are {', '.join(map(str, numbers)) or 'without numbers'}"
        )
    if len(uids) > 1:
        return f"{len(uids)} series have the number {word}; name one by its SeriesInstanceUID: {', '.join(uids)}"
    if not volumes:
        why = [each.reason for each in study.set_aside if each.series_instance_uid == uids[0]]
        return f"series {word} is {why[0]}" if why and why[0].startswith("not ") else _unusable(word, why)
    places = [str(place) for place in range(1, len(volumes) + 1)]
    if (number or "1") not in places or (len(volumes) > 1 and not number):
        kinds = "; ".join(f"{word}:{place} {_told(volume)}" for place, volume in zip(places, volumes, strict=True))
        return f"series {word} holds {len(volumes)} volume{'s' * (len(volumes) > 1)}; name one: {kinds}"
    impossible = cannot_be_any(volumes[int(number or "1") - 1])
    return f"series {word} cannot be used: {impossible}" if impossible else ""


def _told(volume: Candidate) -> str:
    """What tells a volume of a series from the others: images, echo time, when, contrast agent."""
    series = volume.series
    numbers = sorted(facts.instance_number for facts in series.slices if facts.instance_number is not None)
    facts = [str(volume.shape)]
    facts += [f"images {numbers[0]} to {numbers[-1]}"] if numbers else []
    facts += [f"TE {series.echo_time_ms:g} ms"] if series.echo_time_ms is not None else []
    facts += [f"b {series.b_value:g}"] if series.b_value is not None else []
    facts += [f"at {time_of_day(series.acquired_at_s)}"] if series.acquired_at_s is not None else []
    facts += ["contrast agent named"] if series.contrast_agent else []
    return f"({', '.join(facts)})"


def _unusable(word: str, why: list[str]) -> str:
    return f"series {word} cannot be used: {why[0] if why else 'it holds no slices'}"
