"""What one image file shows, told from its own header: for files that are given alone, without their study."""

from __future__ import annotations

from dataclasses import dataclass

from bt_node.assemble.agent import has_agent
from bt_node.assemble.candidate import candidates_of
from bt_node.assemble.contrast import stated
from bt_node.assemble.geometry import shape_of
from bt_node.assemble.physics import Weighting
from bt_node.assemble.weighting import judge_weighting
from bt_node.domain.study import Plane, Role, SeriesFacts, StudyFacts

_ROLE_OF = {Weighting.T2: Role.T2, Weighting.FLAIR: Role.FLAIR}


@dataclass(frozen=True)
class Shown:
    """Plane and sequence of one series, as far as its own header tells.

    Attributes:
        plane: nearest to its slices.
        spacing_mm: distance of its slices; 0 for a single one without SliceThickness.
        role: None when the header does not tell. A T1 is T1C or T1 only where contrast is stated.
        reason: why, without free text of the scanner.
    """

    plane: Plane
    spacing_mm: float
    role: Role | None
    reason: str


def what_is_shown(study: StudyFacts, series: SeriesFacts) -> Shown:
    """Judge one series by itself: no other series is asked, so order in time tells nothing about contrast.

    Args:
        study: holds `series`.
        series: must have slices.
    """
    candidate = next(one for one in candidates_of(study) if one.series is series)
    shape, judged = shape_of(series), judge_weighting(candidate)
    if judged.weighting is not Weighting.T1:
        role = _ROLE_OF.get(judged.weighting) if judged.weighting else None
        return Shown(shape.plane, shape.spacing_mm, role, judged.reason)
    # `stated` ignores a contrast agent that stands on every series of a study; of a lone series it is all there is.
    contrast = stated([candidate]).get(candidate)
    given = contrast.given if contrast else (True if has_agent(candidate) else None)
    why = contrast.reason if contrast else ("ContrastBolusAgent is filled in" if given else "contrast is not stated")
    role = None if given is None else (Role.T1C if given else Role.T1)
    return Shown(shape.plane, shape.spacing_mm, role, f"{judged.reason}; {why}")
