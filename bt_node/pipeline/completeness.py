"""Is a quiet study complete? Reads its headers, asks its source, and gives the decision with all its evidence.

The evidence is plain JSON: UIDs, numbers, AE titles and our own words, never free text of the scanner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bt_node.assemble.completeness import Known, Rules, decide
from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import read_study
from bt_node.assemble.urgency import requested_priority
from bt_node.config import Roles
from bt_node.convert.stack import stack_geometry
from bt_node.deliver.inquire import ask_source
from bt_node.deliver.peer import Peer
from bt_node.domain.completeness import SourceAnswer, SourceSeries
from bt_node.domain.errors import BtNodeError, GeometryError, SliceGapError
from bt_node.domain.study import Role, RoleAssignment, RoleChoice
from bt_node.jobs import Completeness, QuietStudy

logger = logging.getLogger(__name__)

Json = dict[str, Any]
Paths = Callable[[int], Mapping[str, Path]]


@dataclass(frozen=True)
class Asking:
    """How sources are asked; times in seconds.

    Attributes:
        sources: where to ask, by the AE title that sends (calling AE title).
        calling_ae_title: our own.
        attempts: failures in a row after which a source is not asked any more about a study.
        pause_s: between two questions about one study.
        timeout_s: for one whole answer.
    """

    sources: Mapping[str, Peer] = field(default_factory=dict)
    calling_ae_title: str = "BT_NODE"
    attempts: int = 3
    pause_s: float = 30.0
    timeout_s: float = 20.0


class Examiner:
    """Decides about quiet studies; see docs/completeness.md. One round after the other, from one thread."""

    def __init__(
        self, paths: Paths, rules: Rules, asking: Asking, site: Roles, needed: Sequence[Role] = tuple(Role)
    ) -> None:
        """Set it up.

        Args:
            paths: files of a job's instances by SOPInstanceUID.
            rules: how long what lacks is waited for.
            asking: which sources are asked, and how.
            site: the site's own rules for choosing series.
            needed: the sequences that the segmenter reads.
        """
        self._paths, self._rules, self._asking = paths, rules, asking
        self._site, self._needed = site, tuple(needed)
        self._silent: dict[str, tuple[float, str]] = {}

    def __call__(self, study: QuietStudy) -> Completeness:
        """Decide about one study; an error of our own lets it go on, and the evidence says so."""
        looked = study.earlier.get("looked") or self._look(study)
        asked = [self._ask(study, peer, _entry(study.earlier, peer)) for peer in self._peers(study)]
        verdict = decide(_known(study, looked, asked, self._asking.attempts), self._rules)
        evidence = {
            "quiet_s": round(study.quiet_s, 1),
            "arrived": _arrived(study, looked),
            "looked": looked,
            "asked": asked,
            "waits_for": list(verdict.waits_for),
            "gaps": verdict.gaps.as_json(),
        }
        if not verdict.complete:
            evidence["goes_on_at"] = self._goes_on_at(study, asked)
        return Completeness(verdict.complete, verdict.reason, evidence)

    # ------------------------------------------------------------ headers

    def _look(self, study: QuietStudy) -> Json:
        """Which sequences are there, and where slices lack. Read once for each number of images."""
        try:
            paths = self._paths(study.id)
            assignment = choose_roles(read_study(paths), self._site, study.assigned)
            return _looked(assignment, self._needed) | {"priority": requested_priority(paths.values()).value}
        except BtNodeError as error:
            trouble = error.code
        except Exception as error:  # noqa: BLE001 - edge: the trip will meet the same and say what it is
            trouble = type(error).__name__
        logger.warning("job %d: its headers cannot be judged yet: %s", study.id, trouble)
        return {"trouble": trouble}

    # ------------------------------------------------------------ sources

    def _peers(self, study: QuietStudy) -> list[tuple[str, Peer]]:
        return [
            (title, self._asking.sources[title]) for title in study.calling_ae_titles if title in self._asking.sources
        ]

    def _ask(self, study: QuietStudy, source: tuple[str, Peer], entry: Json | None) -> Json:
        """The entry of one source in the evidence, asked anew where that is due."""
        title, peer = source
        if entry is not None and not self._is_due(study.now, entry):
            return entry
        before = entry or {"source": title, "failures": 0, "series": None}
        answer = self._answer(study, title, peer)
        if answer.trouble:
            logger.warning("job %d: source %s: %s", study.id, title, answer.trouble)
            return {**before, "at": study.now, "trouble": answer.trouble, "failures": before["failures"] + 1}
        series = [vars(each) for each in answer.series]
        return {**before, "at": study.now, "trouble": "", "failures": 0, "series": series}

    def _is_due(self, now: float, entry: Json) -> bool:
        given_up = entry["failures"] >= self._asking.attempts
        return not given_up and now - entry["at"] >= self._asking.pause_s

    def _answer(self, study: QuietStudy, title: str, peer: Peer) -> SourceAnswer:
        """Ask, unless the source was silent a moment ago: one that is down must not hold up every study in turn."""
        failed_at, trouble = self._silent.get(title, (0.0, ""))
        if trouble and study.now - failed_at < self._asking.pause_s:
            return SourceAnswer(peer.ae_title, trouble=trouble)
        answer = ask_source(peer, self._asking.calling_ae_title, study.study_instance_uid, self._asking.timeout_s)
        self._silent[title] = (study.now, answer.trouble)
        return answer

    def _goes_on_at(self, study: QuietStudy, asked: Sequence[Json]) -> float:
        """When the study goes on at the latest, in seconds since 1970 by the database's clock."""
        last_ask: list[float] = [
            entry["at"] + (self._asking.attempts - entry["failures"]) * self._asking.pause_s
            for entry in asked
            if entry["trouble"] and entry["failures"] < self._asking.attempts
        ]
        return max([study.last_received_at + self._rules.wait_s, *last_ask])


def _entry(earlier: Json, source: tuple[str, Peer]) -> Json | None:
    return next((entry for entry in earlier.get("asked", ()) if entry["source"] == source[0]), None)


def _looked(assignment: RoleAssignment, needed: Sequence[Role]) -> Json:
    missing = [role for role in needed if role in assignment.missing]
    return {
        "found": [role.value for role in needed if role not in missing],
        "missing": [role.value for role in missing],
        "slice_gaps": [
            sentence for role, choice in assignment.choices.items() for sentence in _slice_gap(role, choice)
        ],
        "numbers": _numbers(assignment),
    }


def _numbers(assignment: RoleAssignment) -> dict[str, int | None]:
    used = {choice.series.series_instance_uid: choice.series.series_number for choice in assignment.choices.values()}
    return {aside.series_instance_uid: aside.series_number for aside in assignment.set_aside} | used


def _slice_gap(role: Role, choice: RoleChoice) -> Iterator[str]:
    try:
        stack_geometry(choice.series)
    except SliceGapError as gap:
        number = choice.series.series_number
        name = choice.series.series_instance_uid if number is None else number
        place = f"{gap.gap_mm:.1f} mm apart where {gap.expected_mm:.1f} mm is expected"
        yield f"slices of series {name} ({role.value}): two are {place}"
    except GeometryError:
        return  # no images that still come would mend it; the trip says what it is


def _known(study: QuietStudy, looked: Json, asked: Sequence[Json], attempts: int) -> Known:
    silent = [entry for entry in asked if entry["trouble"]]
    answered = [entry for entry in asked if entry["series"] is not None]
    return Known(
        images=study.images,
        quiet_s=study.quiet_s,
        arrived={uid: arrived.instances for uid, arrived in study.series.items()},
        source=" and ".join(entry["source"] for entry in asked),
        at_source=_merged(answered) if answered else None,
        silent="; ".join(dict.fromkeys(entry["trouble"] for entry in silent)),
        ask_again=any(entry["failures"] < attempts for entry in silent),
        found=tuple(Role(name) for name in looked.get("found", ())),
        missing=tuple(Role(name) for name in looked.get("missing", ())),
        slice_gaps=tuple(looked.get("slice_gaps", ())),
    )


def _merged(answered: Sequence[Json]) -> tuple[SourceSeries, ...]:
    """Of several sources of one study, the one that has most of a series counts for it."""
    best: dict[str, SourceSeries] = {}
    for told in (SourceSeries(**facts) for entry in answered for facts in entry["series"]):
        known = best.get(told.series_instance_uid)
        if known is None or (told.instances or 0) > (known.instances or 0):
            best[told.series_instance_uid] = told
    return tuple(sorted(best.values(), key=lambda each: each.order))


def _arrived(study: QuietStudy, looked: Json) -> list[Json]:
    numbers = looked.get("numbers", {})
    told = [
        {
            "series_instance_uid": uid,
            "series_number": numbers.get(uid),
            "instances": arrived.instances,
            "last_received_at": arrived.last_received_at,
        }
        for uid, arrived in sorted(study.series.items())
    ]
    return sorted(told, key=lambda each: (each["series_number"] is None, each["series_number"] or 0))
