"""Takes one study through its trip with models that stay loaded: the inside of a trip process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bt_node import __version__
from bt_node.config import Config
from bt_node.domain.errors import FilesDamagedError, FilesLostError, Hold, LeaseLostError, Reject
from bt_node.domain.result import EncodedObject
from bt_node.domain.study import Role
from bt_node.encode.not_answered import Unanswered, encode_not_answered
from bt_node.encode.results import NodeIdentity
from bt_node.infer.brain import load_brain_finder
from bt_node.infer.classifier import load_classifier
from bt_node.infer.device import choose_device, use_precision, use_threads
from bt_node.infer.release import read_release
from bt_node.infer.segmenter import load_segmenter
from bt_node.jobs.values import RunRecord
from bt_node.pipeline.follow_up import Memory
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import Models, StudyFiles, TripOutcome, run_trip
from bt_node.pipeline.verdicts import next_step
from bt_node.receive.part10 import Kept, look_at
from bt_node.runtime.edges import log_error
from bt_node.runtime.journey import Arrival, Companion, Journey
from bt_node.runtime.lease import WorkerStoppingError
from bt_node.runtime.site_key import site_key

logger = logging.getLogger(__name__)

MANUFACTURER = "bt-node project"
MODEL_NAME = "bt-node"


def load_models(config: Config) -> Models:
    """Load the releases that the configuration names, weights verified.

    Raises:
        ReleaseError: a release is missing or damaged; a weights file is not the one its manifest names.
    """
    use_threads(config.device.threads)
    use_precision(config.device.precision)
    device = choose_device(config.device.name)
    segmenter = load_segmenter(read_release(config.models.folder / config.models.segmenter), device)
    classifier = None
    if config.models.classifier:
        classifier = load_classifier(read_release(config.models.folder / config.models.classifier), device)
    brain = None
    if config.models.brain:
        brain = load_brain_finder(device)
    logger.info("models loaded on %s", device)
    return Models(
        segmenter,
        classifier,
        require_all_roles=config.completeness.require_all_roles,
        site=config.roles,
        segment_on=tuple(Role(name) for name in config.results.segment_on),
        brain=brain,
    )


def node_identity(config: Config) -> NodeIdentity:
    """How result objects name this node. The AE title serves as serial number: a site knows its nodes by it."""
    return NodeIdentity(
        manufacturer=MANUFACTURER,
        model_name=MODEL_NAME,
        version=__version__,
        serial=config.listener.ae_title,
    )


def build_trips(config: Config) -> Trips:
    """Everything that the configuration says about trips, models loaded."""
    key = site_key(config.follow_up.key_file) if config.follow_up.enabled else None
    return Trips(load_models(config), node_identity(config), config.storage.spool, key)


@dataclass(frozen=True)
class Trips:
    """A traveller in this process; without a site `key` there are no follow-ups."""

    models: Models
    node: NodeIdentity
    spool: Path
    key: bytes | None = None

    def prepare(self, check: Callable[[], None]) -> None:
        """Nothing is left to do."""

    def stop(self) -> None:
        """There is nothing to end."""

    def travel(self, journey: Journey, companion: Companion) -> Arrival:
        """See `Traveller.travel`."""
        record = TripRecord(
            checkpoint=companion.check, stage_begins=companion.stage_begins, stage_done=companion.stage_done
        )
        try:
            outcome = self._trip(journey, companion, record)
        except (LeaseLostError, WorkerStoppingError):
            raise
        except Exception as error:  # noqa: BLE001 - edge: one study never stops the next
            return self._ended(journey, record, error)
        report = self._report(journey, " ".join(outcome.held_because)) if outcome.held_because else ()
        return Arrival(_facts(record), outcome.objects, outcome.held_because, report)

    def _trip(self, journey: Journey, companion: Companion, record: TripRecord) -> TripOutcome:
        with record.stage("gather"):
            _require_files(journey, companion)
            memory = Memory(self.key, companion.former, self.spool) if self.key is not None else None
            study = StudyFiles(
                journey.paths, journey.analysed_at, journey.earlier_reports, journey.assigned, journey.gaps, memory
            )
        return run_trip(study, self.models, self.node, record)

    def _ended(self, journey: Journey, record: TripRecord, error: Exception) -> Arrival:
        log_error(logger, f"job {journey.job_id}", error)
        step = next_step(
            error,
            attempt=journey.attempt,
            max_attempts=journey.max_attempts,
            pause_seconds=journey.pause_seconds,
        )
        if isinstance(error, FilesLostError | FilesDamagedError):  # the report would take the patient from the files
            return Arrival(_facts(record), step=step)
        report = self._report(journey, error.message) if isinstance(error, Hold | Reject) else ()
        return Arrival(_facts(record), unanswered=report, step=step)

    def _report(self, journey: Journey, why: str) -> tuple[EncodedObject, ...]:
        """The report that says so, where the site wants one; a study that it cannot be made of ends all the same.

        Of a HELD study it is made now as well, and waits with the rest: a person who rejects only has the job book.
        """
        if not journey.explain:
            return ()
        images = {uid: journey.paths[uid] for uid in journey.images}
        try:
            asked = Unanswered(images, why, journey.analysed_at, self.node, journey.earlier_reports)
            return (encode_not_answered(asked),)
        except Exception as error:  # noqa: BLE001 - edge: whatever made the study unfit may break this too
            log_error(logger, f"job {journey.job_id}, report that it is not answered", error)
            return ()


def _require_files(journey: Journey, companion: Companion) -> None:
    """Every file of the study is what was received.

    Raises:
        FilesLostError: some are gone.
        FilesDamagedError: some are something else now.
    """
    lost, damaged = [], []
    for uid, path in journey.paths.items():
        companion.check()
        match look_at(path, *journey.received[uid]):
            case Kept.GONE:
                lost.append(uid)
            case Kept.DAMAGED:
                damaged.append(uid)
    if lost:
        raise FilesLostError(lost, of=len(journey.paths))
    if damaged:
        raise FilesDamagedError(damaged, of=len(journey.paths))


def _facts(record: TripRecord) -> RunRecord:
    return RunRecord(
        roles=record.roles,
        set_aside=record.set_aside,
        findings=record.findings,
        timings_s=record.timings_s,
        remembered=record.remembered,
    )
