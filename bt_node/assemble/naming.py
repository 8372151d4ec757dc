"""A person names series by SeriesNumber or SeriesInstanceUID; what cannot be meant is refused."""

from __future__ import annotations

from collections.abc import Mapping

from bt_node.assemble.candidate import Candidate, candidates_of
from bt_node.assemble.site import cannot_be_any
from bt_node.domain.errors import AssignmentRefusedError
from bt_node.domain.study import Role, StudyFacts


def named_series(study: StudyFacts, wanted: Mapping[Role, str]) -> dict[Role, str]:
    """SeriesInstanceUID of the series that a person gives to each role.

    Args:
        study: what the study holds now.
        wanted: SeriesNumber or SeriesInstanceUID for each role.

    Raises:
        AssignmentRefusedError: a series is not in the study, no MR volume, several volumes, or named twice; all such
            mistakes at once.
    """
    volumes = candidates_of(study)
    found: dict[Role, str] = {}
    problems: list[str] = []
    for role, word in wanted.items():
        uids = _meant(study, word)
        problem = _problem(study, word, uids, [c for c in volumes if c.series.series_instance_uid in uids])
        if problem:
            problems.append(f"{role.value}: {problem}")
        elif uids[0] in found.values():
            other = next(each for each, uid in found.items() if uid == uids[0])
            problems.append(f"{role.value}: series {word} is named for {other.value} already")
        else:
            found[role] = uids[0]
    if problems:
        raise AssignmentRefusedError(problems)
    return found


def _meant(study: StudyFacts, word: str) -> list[str]:
    known = [(series.series_instance_uid, series.series_number) for series in study.series]
    known += [(entry.series_instance_uid, entry.series_number) for entry in study.set_aside]
    return sorted({uid for uid, number in known if uid and word in (uid, str(number))})


def _problem(study: StudyFacts, word: str, uids: list[str], volumes: list[Candidate]) -> str:
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
    if len(volumes) > 1:
        kinds = "; ".join(str(volume.shape) for volume in volumes)
        return f"series {word} holds {len(volumes)} volumes ({kinds}), and nothing says which one"
    impossible = cannot_be_any(volumes[0])
    return f"series {word} cannot be used: {impossible}" if impossible else ""


def _unusable(word: str, why: list[str]) -> str:
    return f"series {word} cannot be used: {why[0] if why else 'it holds no slices'}"
