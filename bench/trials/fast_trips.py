"""A trip process without models: two small objects for each study, the same for the same images, in milliseconds.

Given to `run_worker` as `trip_command` by tests and trials of everything around the models. A file
`behaviour/<job number>` beside the spool makes the trip of that job misbehave: `hang`, `crash` (segmentation fault),
`eat` (memory), `exit`, `refuse`, or `sleep SECONDS` in each stage; `behaviour/default` is for all others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, SegmentationStorage

from bt_node.config import Config
from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.domain.states import JobState
from bt_node.jobs.values import RunRecord
from bt_node.pipeline.verdicts import NextStep
from bt_node.runtime.journey import Arrival, Companion, Journey
from bt_node.runtime.trip_child import main

COMMAND = (sys.executable, str(Path(__file__).resolve()))
STAGES = ("gather", "convert", "segment", "encode")
OBJECTS = 2  # a study

_MISCHIEF_AT = "segment"


class FastTrips:
    """A traveller that looks at nothing but the headers."""

    def __init__(self, spool: Path) -> None:
        self._behaviour = spool.parent / "behaviour"

    def prepare(self, check: Callable[[], None]) -> None:
        """Nothing to load."""

    def stop(self) -> None:
        """Nothing to end."""

    def travel(self, journey: Journey, companion: Companion) -> Arrival:
        word = self._word(journey.job_id)
        timings = {}
        for stage in STAGES:
            companion.check()
            companion.stage_begins(stage)
            started = time.monotonic()
            if stage == _MISCHIEF_AT:
                misbehave(word)
            if word.startswith("sleep "):
                time.sleep(float(word.split()[1]))
            timings[stage] = time.monotonic() - started
            companion.stage_done(stage, timings[stage])
        if word == "refuse":
            step = NextStep(JobState.REJECTED, "refused", "refused by the fake")
            return Arrival(RunRecord(timings_s=timings), step=step)
        return Arrival(RunRecord(timings_s=timings), results_of(journey))

    def _word(self, job_id: int) -> str:
        for name in (str(job_id), "default"):
            with contextlib.suppress(FileNotFoundError):
                return (self._behaviour / name).read_text().strip()
        return ""


def misbehave(word: str) -> None:
    match word:
        case "hang":  # as a library may: for ever, and holding Python's lock
            re.match(r"(a+)+$", "a" * 60 + "b")
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "exit":
            os._exit(3)
        case "eat":
            eaten = []
            while True:
                eaten.append(os.urandom(1 << 20) * 16)
                time.sleep(0.01)


def results_of(journey: Journey) -> tuple[EncodedObject, ...]:
    """A SEG and an SR in name, with repeatable UIDs and bytes."""
    source = pydicom.dcmread(next(iter(journey.paths.values())), stop_before_pixels=True)
    kinds = ((ResultKind.SEG, SegmentationStorage), (ResultKind.SR, ComprehensiveSRStorage))
    return tuple(_result(kind, uid, source, journey) for kind, uid in kinds)


def _result(kind: ResultKind, sop_class: str, source: Dataset, journey: Journey) -> EncodedObject:
    digest = hashlib.sha256("\n".join((kind.value, *sorted(journey.paths))).encode()).hexdigest()
    uid = f"2.25.{int(digest[:30], 16)}"
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = source.StudyInstanceUID, f"{uid}.1"
    ds.PatientID, ds.Modality = str(source.get("PatientID", "")), "SEG" if kind is ResultKind.SEG else "SR"
    ds.SeriesNumber = 9000
    ds.ContentDate = journey.analysed_at.strftime("%Y%m%d")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = sop_class, uid
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return EncodedObject(kind, sop_class, uid, f"{uid}.1", 9000, buffer.getvalue())


def build(config: Config) -> FastTrips:
    return FastTrips(config.storage.spool)


if __name__ == "__main__":
    main(sys.argv[1:], build)
