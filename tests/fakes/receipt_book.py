"""A job book in memory, as far as the listener uses it. It passes the same contract as the real one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from bt_node.domain.errors import InstanceConflictError
from bt_node.domain.receipt import HeldInstance, ReceivedInstance, Refusal


class FakeReceiptBook:
    """What was recorded, refused and closed, for tests to look at; `failing` makes every call raise."""

    def __init__(self) -> None:
        self.instances: dict[str, ReceivedInstance] = {}
        self.refusals: list[Refusal] = []
        self.closed: list[str] = []
        self.addresses: list[str] = []
        self.started: list[str] = []
        self.reports: list[tuple[object, ...]] = []
        self.open: set[tuple[str, str]] = set()
        self.failing: Exception | None = None
        self._lock = threading.Lock()

    def study_paths(self, study_instance_uid: str) -> set[str]:
        with self._answering():
            kept = self.instances.values()
            return {each.path for each in kept if each.study_instance_uid == study_instance_uid}

    def recorded_by_study(self) -> Mapping[str, int]:
        with self._answering():
            return Counter(each.study_instance_uid for each in self.instances.values())

    def record_instance(self, instance: ReceivedInstance, association: str) -> None:
        with self._answering():
            kept = self.instances.setdefault(instance.sop_instance_uid, instance)
            if kept.digest != instance.digest:
                raise InstanceConflictError(instance.sop_instance_uid)
            self.open.add((association, kept.study_instance_uid))

    def record_instances(
        self, received: Sequence[tuple[ReceivedInstance, str]]
    ) -> list[InstanceConflictError | None]:
        conflicts: list[InstanceConflictError | None] = []
        for instance, association in received:
            try:
                self.record_instance(instance, association)
                conflicts.append(None)
            except InstanceConflictError as conflict:
                conflicts.append(conflict)
        return conflicts

    def replace_lost(self, instance: ReceivedInstance) -> bool:
        with self._answering():
            known = self.instances.get(instance.sop_instance_uid)
            if known is None or known.path != instance.path:
                return False
            self.instances[instance.sop_instance_uid] = instance
            return True

    def note_refusal(self, refusal: Refusal) -> None:
        with self._answering():
            self.refusals.append(refusal)

    def association_closed(self, association: str, address: str = "") -> None:
        with self._answering():
            self.closed.append(association)
            self.addresses.append(address)
            self.open = {entry for entry in self.open if entry[0] != association}

    def listener_started(self, listener: str) -> None:
        with self._answering():
            self.started.append(listener)
            self.open = {entry for entry in self.open if not entry[0].startswith(f"{listener}/")}

    def held_instances(self, sop_instance_uids: Collection[str]) -> Mapping[str, HeldInstance]:
        with self._answering():
            found = {uid: self.instances[uid] for uid in sop_instance_uids if uid in self.instances}
            return {
                uid: HeldInstance(one.sop_class_uid, one.path, one.digest, one.transfer_syntax_uid)
                for uid, one in found.items()
            }

    def commitment_reported(
        self,
        transaction_uid: str,
        calling_ae_title: str,
        stored: Sequence[tuple[str, str]],
        failed: Sequence[tuple[str, str, int]],
    ) -> None:
        with self._answering():
            self.reports.append((transaction_uid, calling_ae_title, tuple(stored), tuple(failed)))

    def _answering(self) -> threading.Lock:
        if self.failing is not None:
            raise self.failing
        return self._lock
