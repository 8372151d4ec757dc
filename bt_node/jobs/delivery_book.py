"""The delivering side of the job book: what couriers do, each method one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from bt_node.domain.proof import CommitmentReport, Proof
from bt_node.domain.result import SendOutcome
from bt_node.domain.states import DeliveryState, JobState
from bt_node.jobs import audit, destinations, outbox, proofs
from bt_node.jobs.database import Database
from bt_node.jobs.values import DueDelivery


class DeliveryBook:
    """A part of JobBook, which see."""

    _database: Database

    # ------------------------------------------------------------ destinations

    def take_destination(self, name: str, courier: str, seconds: float) -> bool:
        """Be the one courier of a destination for so long (again to go on); False while another one is."""
        with self._database.write() as tx:
            return destinations.take(tx, name, courier, seconds)

    def leave_destination(self, name: str, courier: str) -> None:
        """Let the next courier have it."""
        with self._database.write() as tx:
            destinations.leave(tx, name, courier)

    def destination_failures(self, name: str) -> int:
        """How often in a row the destination could not be reached."""
        with self._database.read() as tx:
            return destinations.failures(tx, name)

    def destination_down(self, name: str, detail: str, pause_s: float) -> None:
        """It cannot be reached: nothing is due for it until the pause is over, then the oldest object first."""
        with self._database.write() as tx:
            destinations.note_down(tx, name, detail, pause_s)

    def destination_up(self, name: str) -> None:
        """It answers."""
        with self._database.write() as tx:
            destinations.note_up(tx, name)

    def give_up_on(self, name: str, after_s: float) -> list[int]:
        """FAILED for what has waited in vain longer than that: for a destination that is down, or for proof.

        Returns the jobs concerned; they are settled.
        """
        with self._database.write() as tx:
            destinations.forget_commitments(tx, name, 2 * after_s)
            return destinations.give_up(tx, name, after_s)

    # ------------------------------------------------------------ sending

    def due_deliveries(self, destination: str, limit: int) -> list[DueDelivery]:
        """Objects that this destination should get now: most urgent study first, then the oldest."""
        with self._database.read() as tx:
            return outbox.due_deliveries(tx, destination, limit)

    def is_pending(self, destination: str, sop_instance_uid: str) -> bool:
        """Whether an object may (still) be sent to a destination: its job was not cancelled, nor opened again."""
        with self._database.read() as tx:
            return outbox.is_pending(tx, destination, sop_instance_uid)

    def record_delivery(
        self,
        job_id: int,
        destination: str,
        outcome: SendOutcome,
        next_attempt_in: float | None,
        give_up: bool,
        prove: bool = False,
    ) -> None:
        """Note what a destination answered about one object, and when to try again where it did not take it.

        With `prove` an object that it took is SENT, and proof is asked for next; else it is DELIVERED on its word.
        """
        with self._database.write() as tx:
            outbox.record_delivery(tx, job_id, destination, outcome, next_attempt_in, give_up=give_up, prove=prove)
            audit.note_sent(tx, job_id, destination, outcome)

    def settle_deliveries(self, job_id: int) -> JobState:
        """DELIVERING -> DONE when all is delivered, -> FAILED (naming destinations) when the rest was given up."""
        with self._database.write() as tx:
            return outbox.settle(tx, job_id)

    def retire_destinations(self, configured: Sequence[str], after_s: float) -> list[int]:
        """FAILED for what has waited that long for a destination that is not among these; returns the jobs settled.

        Nothing that a courier of any worker was at within that time: one worker's configuration may be older than
        another's. What nobody serves would else keep its job DELIVERING for ever.
        """
        with self._database.write() as tx:
            return outbox.retire_destinations(tx, configured, after_s)

    def unknown_destinations(self, configured: Sequence[str]) -> dict[str, int]:
        """The destinations that are waited for and not among these, each with the number of jobs that wait."""
        with self._database.read() as tx:
            return outbox.unknown_destinations(tx, configured)

    # ------------------------------------------------------------ proof

    def due_proofs(self, destination: str, limit: int) -> list[DueDelivery]:
        """Objects that this destination acknowledged and should be asked about now."""
        with self._database.read() as tx:
            return outbox.due_deliveries(tx, destination, limit, DeliveryState.SENT)

    def record_kept(self, item: DueDelivery, proof: Proof, detail: str) -> None:
        """SENT -> DELIVERED: it keeps the object, or offers no way to be asked (UNPROVEN)."""
        with self._database.write() as tx:
            proofs.record_kept(tx, item, proof, detail)

    def record_lost(self, item: DueDelivery, detail: str, pause_s: float) -> None:
        """SENT -> PENDING: it acknowledged the object and does not have it."""
        with self._database.write() as tx:
            proofs.record_lost(tx, item, detail, pause_s)

    def record_still_open(self, item: DueDelivery, detail: str, pause_s: float) -> None:
        """Asked without a result; asked again after the pause."""
        with self._database.write() as tx:
            proofs.record_still_open(tx, item, detail, pause_s)

    def commitment_asked(self, transaction_uid: str, items: Sequence[tuple[DueDelivery, float]]) -> None:
        """Note what storage commitment will be asked for, before it is: the report may come at once.

        Args:
            transaction_uid: of the request.
            items: each object, and the pause in seconds before it is sent again if it is reported missing.
        """
        with self._database.write() as tx:
            proofs.commitment_asked(tx, transaction_uid, items)

    def commitment_withdrawn(self, transaction_uid: str) -> None:
        """The request was refused: no report will come."""
        with self._database.write() as tx:
            proofs.commitment_withdrawn(tx, transaction_uid)

    def commitment_promised(self, transaction_uid: str, item: DueDelivery, detail: str, wait_s: float) -> None:
        """The request was accepted; where no report came within `wait_s`, the destination is asked again."""
        with self._database.write() as tx:
            proofs.commitment_promised(tx, transaction_uid, item, detail, wait_s)

    def commitment_reported(
        self,
        transaction_uid: str,
        calling_ae_title: str,  # noqa: ARG002 - for the log of whoever calls; the UID says whose report it is
        stored: Sequence[tuple[str, str]],
        failed: Sequence[tuple[str, str, int]],
    ) -> bool:
        """A destination reported on storage commitment (N-EVENT-REPORT), on whichever association; jobs are settled.

        The TransactionUID is a random number of 122 bits that only the destination was told, so it says whose report
        this is; archives may report under another AE title than they store under.

        Args:
            transaction_uid: TransactionUID (0008,1195) of the report.
            calling_ae_title: who sent it.
            stored: (SOP class UID, SOP instance UID) of each object that is kept.
            failed: the same with the Failure Reason (0008,1197).

        Returns:
            Whether this node asked under that TransactionUID and waits for the answer.
        """
        with self._database.write() as tx:
            return proofs.commitment_reported(tx, CommitmentReport(transaction_uid, tuple(stored), tuple(failed)))
