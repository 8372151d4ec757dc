"""What the receive stage needs of the job book."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from bt_node.domain.errors import InstanceConflictError
from bt_node.domain.receipt import HeldInstance, ReceivedInstance, Refusal


class ReceiptBook(Protocol):
    """The receiving side of the job book; every method may be called from many threads at once.

    tests/contract/receipt_book.py holds the tests that any implementation must pass.
    """

    def study_paths(self, study_instance_uid: str) -> set[str]:
        """Paths below the spool's root of all instances that are recorded for a study."""

    def recorded_by_study(self) -> Mapping[str, int]:
        """How many instances are recorded, by StudyInstanceUID."""

    def record_instance(self, instance: ReceivedInstance, association: str) -> None:
        """Note an instance that is durable in the spool, once, and mark its study open by the association.

        Raises:
            InstanceConflictError: the SOPInstanceUID is recorded with another digest.
        """

    def record_instances(
        self, received: Sequence[tuple[ReceivedInstance, str]]
    ) -> Sequence[InstanceConflictError | None]:
        """`record_instance` of several with their associations, all or none; for each its conflict, or None."""

    def replace_lost(self, instance: ReceivedInstance) -> bool:
        """Record an instance in the place of one of its SOPInstanceUID and path whose file was gone; False: none."""

    def note_refusal(self, refusal: Refusal) -> None:
        """Note a C-STORE that was answered with a failure status."""

    def association_closed(self, association: str, address: str = "") -> None:
        """The association (from this network address) ended, in whatever way: it keeps no study open any more."""

    def listener_started(self, listener: str) -> None:
        """Forget what associations of an earlier life of this listener (`listener/…`) left open."""

    def held_instances(self, sop_instance_uids: Collection[str]) -> Mapping[str, HeldInstance]:
        """Those of the instances that are recorded, by their UID."""

    def commitment_reported(
        self,
        transaction_uid: str,
        calling_ae_title: str,
        stored: Sequence[tuple[str, str]],
        failed: Sequence[tuple[str, str, int]],
    ) -> object:
        """A peer reported on a storage commitment that this node asked for, on an association of its own.

        Args:
            transaction_uid: which request it answers.
            calling_ae_title: who reports.
            stored: SOP class and instance UID of each object that it keeps.
            failed: the same with the Failure Reason (0008,1197) of each that it does not.
        """
