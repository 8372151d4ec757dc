"""A desk for tests of the job book: brings jobs into any state by the public methods only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bt_node.domain.receipt import ReceivedInstance
from bt_node.domain.result import ResultKind, SendOutcome
from bt_node.domain.states import JobState
from bt_node.jobs import ClaimedJob, HeldLease, JobBook, RunRecord, StoredResult

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
QUIET, STALE = 30.0, 300.0
LEASE = 120.0


@dataclass
class Clock:
    """A time that stands still until a test moves it."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += seconds


def received(study: str, number: int, *, is_image: bool = True) -> ReceivedInstance:
    """Instance `number` of a study."""
    return ReceivedInstance(
        sop_instance_uid=f"{study}.1.{number}",
        sop_class_uid=MR_IMAGE_STORAGE if is_image else SEGMENTATION_STORAGE,
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"instances/{study}.1.{number}.dcm",
        size_bytes=1000,
        digest=f"{number:064x}",
        calling_ae_title="SCANNER",
        is_image=is_image,
    )


def stored(uid: str, kind: ResultKind = ResultKind.SEG) -> StoredResult:
    """A result object with this SOPInstanceUID."""
    return StoredResult(kind, SEGMENTATION_STORAGE, uid, f"{uid}.0", 900, f"results/{uid}.dcm", "ab" * 32)


def accepted(uid: str) -> SendOutcome:
    """What a healthy archive answers."""
    return SendOutcome(uid, 0x0000, delivered=True, detail="stored")


def refused(uid: str) -> SendOutcome:
    """What an archive without room answers (PS3.4 Table B.2-1)."""
    return SendOutcome(uid, 0xA700, delivered=False, detail="out of resources")


@dataclass
class Desk:
    """A job book, its clock, and shortcuts along the trip."""

    book: JobBook
    clock: Clock
    _received: dict[str, int] = field(default_factory=dict)

    def receive(self, study: str = "1.2.3", images: int = 2, *, is_image: bool = True) -> int:
        """More instances of a study by one association that closes; returns the job's number."""
        for _ in range(images):
            number = self._received[study] = self._received.get(study, 0) + 1
            self.book.record_instance(received(study, number, is_image=is_image), "listener/1")
        self.book.association_closed("listener/1")
        return int(self.book.view(study)["id"])

    def purge(self, job_id: int) -> list[str]:
        """Retention's part; what would be deleted."""
        gone: list[str] = []
        self.book.purge(job_id, gone.extend)
        return gone

    def make_ready(self, study: str = "1.2.3", images: int = 2) -> int:
        job_id = self.receive(study, images)
        self.clock.forward(QUIET)
        assert job_id in self.book.sweep_complete(QUIET, STALE)
        return job_id

    def claim(self, worker: str = "worker-1") -> ClaimedJob:
        job = self.book.claim(worker, LEASE)
        assert job is not None
        return job

    def run(self, study: str = "1.2.3") -> ClaimedJob:
        self.make_ready(study)
        return self.claim()

    def publish(
        self,
        uids: Sequence[str] = ("1.9.1", "1.9.2"),
        destinations: Sequence[str] = ("archive",),
        study: str = "1.2.3",
    ) -> int:
        job = self.run(study)
        self.book.publish(job.id, job.token, RunRecord(), [stored(uid) for uid in uids], destinations)
        return job.id

    def deliver(self, job_id: int, destination: str = "archive") -> JobState:
        """Everything due is taken."""
        for due in self.book.due_deliveries(destination, 100):
            self.book.record_delivery(due.job_id, destination, accepted(due.sop_instance_uid), None, give_up=False)
        return self.book.settle_deliveries(job_id)

    def bring_to(self, state: JobState) -> int:
        """A job in this state, along legal moves."""
        match state:
            case JobState.RECEIVING:
                return self.receive()
            case JobState.READY:
                return self.make_ready()
            case JobState.RUNNING:
                return self.run().id
            case JobState.DELIVERING:
                return self.publish()
            case JobState.DONE:
                job_id = self.publish()
                self.deliver(job_id)
                return job_id
            case JobState.CANCELLED:
                job_id = self.receive()
                self.book.cancel(job_id, "test")
                return job_id
            case _:
                job = self.run()
                self.book.finish(job.id, job.token, state, "test-code", "a reason", RunRecord())
                return job.id

    def lease(self, job_id: int) -> HeldLease:
        """The lease of a job that runs."""
        return next(lease for lease in self.book.held_leases() if lease.job_id == job_id)

    def state(self, job_id: int) -> JobState:
        return JobState(self.book.view(job_id)["state"])

    def moves(self, job_id: int) -> list[tuple[str | None, str]]:
        return [(row["from"], row["to"]) for row in self.book.view(job_id)["history"]]
