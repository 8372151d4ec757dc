"""What stands before all built-in rules: a person's word about this study, and the rules of this site."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.values import modality_in_words
from bt_node.config import RoleRule, RuleMatch
from bt_node.domain.study import Assigned, Role, SliceFacts


def first_rule(candidate: Candidate, rules: Sequence[RoleRule]) -> RoleRule | None:
    """The first rule of the site that means this series."""
    return next((rule for rule in rules if _matches(rule.match, candidate)), None)


def _matches(match: RuleMatch, candidate: Candidate) -> bool:
    series = candidate.series
    texts = (
        (match.description, series.description),
        (match.protocol, series.protocol_name),
        (re.escape(match.manufacturer), series.manufacturer),
        (match.station and rf"\A{re.escape(match.station)}\Z", series.station),
    )
    times = (
        (match.te_ms, series.echo_time_ms),
        (match.tr_ms, series.repetition_time_ms),
        (match.ti_ms, series.inversion_time_ms),
    )
    return all(re.search(pattern, text.strip(), re.IGNORECASE) for pattern, text in texts if pattern) and all(
        value is not None and limits[0] <= value <= limits[1] for limits, value in times if limits
    )


def cannot_be_any(candidate: Candidate) -> str | None:
    """Why not even a rule can give this series a role: it is no volume of an MR scanner."""
    if candidate.series.modality.upper() != "MR":
        return f"{modality_in_words(candidate.series.modality)}, not MR"
    if candidate.shape.planes > 1:
        return f"slices in {candidate.shape.planes} different orientations"
    return None


def assigned_candidates(
    everything: Sequence[Candidate], assigned: Mapping[Role, Assigned]
) -> dict[Role, list[Candidate]]:
    """The volumes that a person named for each role: one, or a new question."""
    return {
        role: [candidate for candidate in everything if _is_meant(word, candidate)] for role, word in assigned.items()
    }


def _is_meant(word: Assigned, candidate: Candidate) -> bool:
    if candidate.series.series_instance_uid != word.series_instance_uid:
        return False
    return not word.image or word.image in map(image_of, candidate.series.slices)


def image_of(facts: SliceFacts) -> str:
    """The image that a slice is of, as `NamedVolume.image` has it."""
    return f"{facts.sop_instance_uid}/{facts.frame}" if facts.frame else facts.sop_instance_uid
