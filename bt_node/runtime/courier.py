"""Brings results to one destination and has it prove that it keeps them; each destination has its own courier."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from bt_node.deliver.outlet import Outlet
from bt_node.deliver.pause import pause_before_attempt
from bt_node.deliver.peer import OutgoingFile
from bt_node.deliver.prove import CommitmentDesk
from bt_node.domain.errors import BookUnavailableError, BtNodeError
from bt_node.domain.proof import Answer, CommitmentReport, Proof, ProofOutcome, ProofWanted, Reference
from bt_node.domain.result import SendOutcome
from bt_node.jobs import DueDelivery, JobBook
from bt_node.receive.spool import Spool
from bt_node.runtime.courier_hold import DestinationHold
from bt_node.runtime.edges import log_error
from bt_node.runtime.reconciler import sha256_of

logger = logging.getLogger(__name__)

_OBJECTS_PER_ROUND = 100
_MOST_PATIENCE = 10.0
_ASKED_OFTEN_ENOUGH = 3  # an archive may index what it got only after a while


@dataclass(frozen=True)
class CourierSettings:
    """How one destination is served; times in seconds.

    Attributes:
        first_pause_seconds: before a second attempt; pauses double up to `longest_pause_seconds`.
        give_up_seconds: since an object was queued; then it is FAILED.
        proof: what is asked of the destination after it acknowledged an object.
        proof_timeout_seconds: how long the report on a storage commitment is waited for.
    """

    first_pause_seconds: float
    longest_pause_seconds: float
    give_up_seconds: float
    proof: ProofWanted = ProofWanted.AUTO
    proof_timeout_seconds: float = 600.0

    def pause(self, attempt: int) -> float:
        """Seconds before this attempt (1 is the first repeat)."""
        return pause_before_attempt(attempt, self.first_pause_seconds, self.longest_pause_seconds)


class Courier:
    """Sends what is due for one destination, asks about what it acknowledged, and writes down each answer."""

    def __init__(self, name: str, outlet: Outlet, book: JobBook, spool: Spool, settings: CourierSettings) -> None:
        self.name, self._outlet = name, outlet
        self._book, self._spool, self._settings = book, spool, settings

    def deliver_due(self) -> int:
        """One round. Returns the number of objects that the destination acknowledged.

        Nothing happens while another courier, of another worker perhaps, is at this destination.
        """
        book = self._book
        if not (book.due_deliveries(self.name, 1) or book.due_proofs(self.name, 1)):
            return 0
        with DestinationHold(book, self.name) as taken:
            if not taken:
                return 0
            acknowledged = self._send_due()
            if self._settings.proof is not ProofWanted.NONE:
                self._prove_due()
            for job_id in book.give_up_on(self.name, self._settings.give_up_seconds):
                logger.warning("job %d: given up on %s", job_id, self.name)
        return acknowledged

    # ------------------------------------------------------------ sending

    def _send_due(self) -> int:
        """Everything due now, one association a job, until the destination is out of reach."""
        acknowledged = 0
        due = self._book.due_deliveries(self.name, _OBJECTS_PER_ROUND)
        for job_id, group in groupby(due, key=lambda item: item.job_id):
            items = tuple(group)
            if self._made_again(job_id, items):
                continue
            outcomes = self._send(items)
            acknowledged += sum(outcome.delivered for outcome in outcomes)
            for item, outcome in zip(items, outcomes, strict=True):
                if not (outcome.unreachable or outcome.withdrawn):
                    self._write_down(item, outcome)
            out_of_reach = next((outcome.detail for outcome in outcomes if outcome.unreachable), "")
            self._note_reach(out_of_reach)
            state = self._book.settle_deliveries(job_id)
            logger.info(
                "job %d: %d of %d objects taken by %s, job is %s",
                job_id,
                sum(outcome.delivered for outcome in outcomes),
                len(items),
                self.name,
                state.value,
            )
            if out_of_reach:
                break
        return acknowledged

    def _made_again(self, job_id: int, items: Sequence[DueDelivery]) -> bool:
        """What is gone or is not what was made is never sent: the job runs again, and makes the same objects."""
        files = {item: self._spool.absolute(item.path) for item in items}
        damaged = [item.sop_instance_uid for item, path in files.items() if sha256_of(path) != item.sha256]
        if damaged:
            self._spool.require()  # a lost mount damaged nothing: nothing is sent until it is back
        if damaged and self._book.make_again(job_id, damaged):
            logger.error("job %d: %d stored results are gone or changed; it runs again", job_id, len(damaged))
        return bool(damaged)

    def _send(self, items: Sequence[DueDelivery]) -> tuple[SendOutcome, ...]:
        """Send with more patience at each attempt: a slow destination's answer must come in time once."""
        files = [
            OutgoingFile(self._spool.root / item.path, item.sop_class_uid, item.sop_instance_uid) for item in items
        ]
        try:
            patience = min(1.0 + max(item.attempts for item in items), _MOST_PATIENCE)
            return self._outlet.send(files, patience, self._may_go)
        except BtNodeError:
            raise
        except Exception as error:  # noqa: BLE001 - edge: whatever a destination provokes counts as an attempt
            detail = self._not_foreseen(error)
            return tuple(SendOutcome(item.sop_instance_uid, None, delivered=False, detail=detail) for item in items)

    def _may_go(self, file: OutgoingFile) -> bool:
        """Whether an object is still to be sent: a person may have cancelled its job a moment ago."""
        try:
            return self._book.is_pending(self.name, file.sop_instance_uid)
        except BookUnavailableError as away:  # what nobody could note does not leave either
            log_error(logger, f"{file.sop_instance_uid} for {self.name}", away)
            return False

    def _write_down(self, item: DueDelivery, outcome: SendOutcome) -> None:
        pause = self._settings.pause(item.attempts + 1)
        give_up = not outcome.delivered and item.age_seconds + pause > self._settings.give_up_seconds
        if not outcome.delivered:
            logger.warning("job %d: %s at %s: %s", item.job_id, item.sop_instance_uid, self.name, outcome.detail)
        self._book.record_delivery(
            item.job_id,
            self.name,
            outcome,
            next_attempt_in=None if outcome.delivered or give_up else pause,
            give_up=give_up,
            prove=self._settings.proof is not ProofWanted.NONE,
        )

    def _note_reach(self, trouble: str) -> None:
        """A destination that is out of reach waits as a whole; what waits for it keeps its order."""
        failures = self._book.destination_failures(self.name)
        if trouble:
            pause = self._settings.pause(failures + 1)
            logger.warning("destination %s: %s; tried again in %.0f s", self.name, trouble, pause)
            self._book.destination_down(self.name, trouble, pause)
        elif failures:
            logger.info("destination %s answers again", self.name)
            self._book.destination_up(self.name)

    # ------------------------------------------------------------ proof

    def _prove_due(self) -> None:
        """Ask about everything acknowledged that is due, in as few associations as the ways of asking allow."""
        due = self._book.due_proofs(self.name, _OBJECTS_PER_ROUND)
        asked_enough = [item for item in due if self._enough(item.proof_attempts)]
        for item in asked_enough:
            self._book.record_kept(item, Proof.UNPROVEN, "stored; unproven: no report of storage commitment came")
        left = [item for item in due if item not in asked_enough]
        first = [item for item in left if not item.proof_attempts]
        again = [item for item in left if item.proof_attempts]
        for items, ways in ((first, self._ways(again=False)), (again, self._ways(again=True))):
            if items and not self._prove(items, ways):
                break
        for job_id in dict.fromkeys(item.job_id for item in due):
            state = self._book.settle_deliveries(job_id)
            logger.info("job %d: %s was asked for proof, job is %s", job_id, self.name, state.value)

    def _enough(self, attempts: int) -> bool:
        return self._settings.proof is ProofWanted.AUTO and attempts >= _ASKED_OFTEN_ENOUGH

    def _ways(self, *, again: bool) -> tuple[Proof, ...]:
        """What may be tried, in order. Where a commitment was not reported in time, "auto" looks for itself."""
        match self._settings.proof:
            case ProofWanted.COMMITMENT:
                return (Proof.COMMITMENT,)
            case ProofWanted.QUERY:
                return (Proof.QUERY,)
            case _:
                return tuple(reversed(self._outlet.ways)) if again else self._outlet.ways

    def _prove(self, items: Sequence[DueDelivery], ways: Sequence[Proof]) -> bool:
        """Ask about these. False: the destination is out of reach."""
        references = [
            Reference(item.sop_class_uid, item.sop_instance_uid, item.study_instance_uid, item.series_instance_uid)
            for item in items
        ]
        # With each object goes the pause before it is sent again, should the report say that it is lost.
        with_pauses = [(item, self._settings.pause(item.attempts)) for item in items]
        desk = CommitmentDesk(
            asked=lambda uid: self._book.commitment_asked(uid, with_pauses),
            withdrawn=self._book.commitment_withdrawn,
            reported=self._reported,
        )
        outcomes, transaction_uid = self._asked(references, ways, desk)
        for item, outcome in zip(items, outcomes, strict=True):
            self._write_proof(item, outcome, transaction_uid)
        out_of_reach = next((each.detail for each in outcomes if each.answer is Answer.UNREACHABLE), "")
        self._note_reach(out_of_reach)
        return not out_of_reach

    def _asked(
        self, references: Sequence[Reference], ways: Sequence[Proof], desk: CommitmentDesk
    ) -> tuple[tuple[ProofOutcome, ...], str]:
        try:
            return self._outlet.prove(references, ways, desk)
        except BtNodeError:
            raise
        except Exception as error:  # noqa: BLE001 - edge: as in `_send`
            detail = self._not_foreseen(error)
            unclear = (ProofOutcome(each.sop_instance_uid, Answer.UNCLEAR, None, detail) for each in references)
            return tuple(unclear), ""

    def _not_foreseen(self, error: Exception) -> str:
        """In the log with its place in the code; the job book gets the class alone."""
        log_error(logger, f"destination {self.name}", error)
        return f"the destination answered with something unforeseen ({type(error).__name__})"

    def _reported(self, report: CommitmentReport) -> None:
        self._book.commitment_reported(report.transaction_uid, self.name, report.stored, report.failed)

    def _write_proof(self, item: DueDelivery, outcome: ProofOutcome, transaction_uid: str) -> None:
        if self._ends_unproven(item, outcome):
            outcome = replace(
                outcome, answer=Answer.KEPT, proof=Proof.UNPROVEN, detail=f"stored; unproven: {outcome.detail}"
            )
        match outcome.answer:
            case Answer.KEPT:
                self._book.record_kept(item, outcome.proof or Proof.UNPROVEN, _kept(outcome))
            case Answer.PROMISED:
                wait = self._settings.proof_timeout_seconds
                self._book.commitment_promised(transaction_uid, item, f"acknowledged; {outcome.detail}", wait)
            case Answer.MISSING if item.proof_attempts + 1 >= _ASKED_OFTEN_ENOUGH:
                logger.warning(
                    "job %d: %s acknowledged %s and does not have it: %s",
                    item.job_id,
                    self.name,
                    item.sop_instance_uid,
                    outcome.detail,
                )
                self._book.record_lost(item, outcome.detail, self._settings.pause(item.attempts))
            case Answer.UNREACHABLE:
                pass  # says nothing about the object; the destination waits as a whole
            case _:
                pause = self._settings.pause(item.proof_attempts + 1)
                self._book.record_still_open(item, f"acknowledged; {outcome.detail}", pause)

    def _ends_unproven(self, item: DueDelivery, outcome: ProofOutcome) -> bool:
        """Whether "auto" lets the destination's word do: it offers no way to ask, or none that works."""
        if self._settings.proof is not ProofWanted.AUTO:
            return False
        in_vain = outcome.answer is Answer.UNCLEAR and self._enough(item.proof_attempts + 1)
        return outcome.answer is Answer.NOT_OFFERED or in_vain


def _kept(outcome: ProofOutcome) -> str:
    return outcome.detail if outcome.proof is Proof.UNPROVEN else f"kept: {outcome.detail}"
