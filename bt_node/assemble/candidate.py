"""One series on its way to a role: its facts, its shape and its normalised texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bt_node.assemble.geometry import Shape, shape_of
from bt_node.assemble.words import normalise
from bt_node.domain.study import SeriesFacts, SetAside, StudyFacts


@dataclass(frozen=True, eq=False)
class Candidate:
    """A series with what the rules look at.

    Attributes:
        series: the header facts.
        shape: measured from slice positions.
        texts: normalised description, then protocol name where it belongs to this series alone.
    """

    series: SeriesFacts
    shape: Shape
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        """How messages call this series: by number, or by UID when it has none."""
        number = self.series.series_number
        return f"series {number}" if number is not None else f"series {self.series.series_instance_uid}"

    @property
    def order(self) -> tuple[int, str, int, float, str]:
        """Sort key that does not depend on the order of arrival."""
        first = self.series.slices[0]
        return (
            self.series.series_number if self.series.series_number is not None else -1,
            self.series.series_instance_uid,
            first.instance_number or 0,
            self.series.echo_time_ms or 0.0,
            f"{first.sop_instance_uid} {first.frame:06d}",
        )

    def set_aside(self, reason: str) -> SetAside:
        """This series with the reason why no role uses it."""
        instances = len({facts.sop_instance_uid for facts in self.series.slices})
        return SetAside(self.series.series_instance_uid, self.series.series_number, reason, instances)


def candidates_of(study: StudyFacts) -> list[Candidate]:
    """All series of a study, in an order that does not depend on the order of arrival."""
    with_slices = [series for series in study.series if series.slices]
    shared = _shared_protocols(with_slices)
    made = [Candidate(series, shape_of(series), _texts(series, shared)) for series in with_slices]
    return sorted(made, key=lambda candidate: candidate.order)


def _texts(series: SeriesFacts, shared: set[str]) -> tuple[str, ...]:
    description, protocol = normalise(series.description), normalise(series.protocol_name)
    own = () if protocol in shared else (protocol,)
    return tuple(text for text in (description, *own) if text)


def _shared_protocols(series: Sequence[SeriesFacts]) -> set[str]:
    """Protocol names that stand on series of different descriptions: they name the examination, not the series.

    GE writes the examination ("BRAIN W/WO CONTRAST") here, Siemens and Philips the sequence.
    """
    if any(facts.manufacturer.upper().startswith("GE") and facts.description for facts in series):
        return {normalise(facts.protocol_name) for facts in series}
    descriptions: dict[str, set[str]] = defaultdict(set)
    for facts in series:
        descriptions[normalise(facts.protocol_name)].add(normalise(facts.description))
    return {protocol for protocol, names in descriptions.items() if len(names) > 1}
