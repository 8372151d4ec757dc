"""What every receipt book must do. Subclass `ReceiptBookContract` as `Test…` and give `book` and `open_studies`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from bt_node.domain.errors import InstanceConflictError
from bt_node.domain.receipt import HeldInstance, ReceivedInstance, Refusal
from bt_node.receive.ports import ReceiptBook

STUDY = "1.2.3"


def instance(number: int = 1, study: str = STUDY, digest: str = "") -> ReceivedInstance:
    """A received instance; the same number is the same instance."""
    sop = f"{study}.7.{number}"
    return ReceivedInstance(
        sop_instance_uid=sop,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        study_instance_uid=study,
        series_instance_uid=f"{study}.7",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=f"instances/{study}/{study}.7/{sop}.dcm",
        size_bytes=100 + number,
        digest=digest or f"{number:064x}",
        calling_ae_title="SCANNER",
    )


def digest_of(book: ReceiptBook, sop_instance_uid: str) -> str | None:
    """Under which digest the instance is recorded."""
    held = book.held_instances([sop_instance_uid]).get(sop_instance_uid)
    return held.digest if held else None


class ReceiptBookContract:
    """The tests; `self.open_studies(book)` tells which studies some association has open."""

    @pytest.fixture
    def book(self) -> ReceiptBook:
        raise NotImplementedError

    def open_studies(self, book: ReceiptBook) -> set[str]:
        raise NotImplementedError

    def test_an_unknown_instance_has_no_digest(self, book):
        assert digest_of(book, "1.2.3.4") is None

    def test_the_paths_of_a_study_are_those_of_its_recorded_instances(self, book):
        for recorded in (instance(1), instance(2), instance(3, "1.2.4")):
            book.record_instance(recorded, "listener/1")
        assert book.study_paths(STUDY) == {instance(1).path, instance(2).path}
        assert book.study_paths("1.2.5") == set()

    def test_the_instances_of_each_study_are_counted(self, book):
        for recorded in (instance(1), instance(2), instance(2), instance(3, "1.2.4")):
            book.record_instance(recorded, "listener/1")
        assert dict(book.recorded_by_study()) == {STUDY: 2, "1.2.4": 1}

    def test_a_recorded_instance_is_known_by_its_digest(self, book):
        book.record_instance(instance(1), "listener/1")
        assert digest_of(book, instance(1).sop_instance_uid) == instance(1).digest
        assert digest_of(book, instance(2).sop_instance_uid) is None

    def test_recording_twice_is_recording_once(self, book):
        book.record_instance(instance(1), "listener/1")
        book.record_instance(instance(1), "listener/1")
        book.record_instance(replace(instance(1), calling_ae_title="OTHER"), "listener/2")
        assert digest_of(book, instance(1).sop_instance_uid) == instance(1).digest

    def test_another_object_under_a_known_uid_is_a_conflict_and_changes_nothing(self, book):
        book.record_instance(instance(1), "listener/1")
        with pytest.raises(InstanceConflictError):
            book.record_instance(instance(1, digest="f" * 64), "listener/1")
        assert digest_of(book, instance(1).sop_instance_uid) == instance(1).digest

    def test_an_object_takes_the_place_of_one_that_was_lost(self, book):
        book.record_instance(instance(1), "listener/1")
        assert book.replace_lost(instance(1, digest="f" * 64))
        assert digest_of(book, instance(1).sop_instance_uid) == "f" * 64
        book.record_instance(instance(1, digest="f" * 64), "listener/1")
        assert not book.replace_lost(instance(2))
        assert not book.replace_lost(replace(instance(1), path="instances/1.9/1.9.1/1.9.1.1.dcm"))
        assert digest_of(book, instance(1).sop_instance_uid) == "f" * 64

    def test_a_study_is_open_until_its_association_closes(self, book):
        book.record_instance(instance(1), "listener/1")
        assert self.open_studies(book) == {STUDY}
        book.association_closed("listener/1")
        assert self.open_studies(book) == set()

    def test_a_study_of_two_associations_is_open_until_both_close(self, book):
        book.record_instance(instance(1), "listener/1")
        book.record_instance(instance(2), "listener/2")
        book.association_closed("listener/1")
        assert self.open_studies(book) == {STUDY}
        book.association_closed("listener/2")
        assert self.open_studies(book) == set()

    def test_one_association_may_have_several_studies_open(self, book):
        book.record_instance(instance(1, "1.2.3"), "listener/1")
        book.record_instance(instance(1, "1.2.4"), "listener/1")
        assert self.open_studies(book) == {"1.2.3", "1.2.4"}
        book.association_closed("listener/1")
        assert self.open_studies(book) == set()

    def test_a_known_instance_sent_again_opens_its_study_again(self, book):
        book.record_instance(instance(1), "listener/1")
        book.association_closed("listener/1")
        book.record_instance(instance(1), "listener/2")
        assert self.open_studies(book) == {STUDY}

    def test_a_listener_that_starts_has_nothing_open(self, book):
        book.record_instance(instance(1), "listener/17")
        book.listener_started("listener")
        assert self.open_studies(book) == set()

    def test_a_listener_that_starts_leaves_other_listeners_alone(self, book):
        book.record_instance(instance(1), "listener2/1")
        book.listener_started("listener")
        assert self.open_studies(book) == {STUDY}

    def test_closing_an_association_that_sent_nothing_is_harmless(self, book):
        book.association_closed("listener/1")
        book.association_closed("listener/1")

    def test_a_refusal_is_noted_with_and_without_uids(self, book):
        book.note_refusal(Refusal(0xA900, "SOPClassUID differs", "SCANNER", "1.2.3.4", STUDY))
        book.note_refusal(Refusal(0xC000, "unreadable at byte 8", "SCANNER"))
        assert digest_of(book, "1.2.3.4") is None

    def test_what_is_held_is_told_by_uid(self, book):
        book.record_instance(instance(1), "listener/1")
        book.record_instance(instance(2), "listener/1")
        uids = [instance(number).sop_instance_uid for number in (2, 3)] + [f"9.9.{n}" for n in range(3000)]
        held = book.held_instances(uids)
        two = instance(2)
        assert held == {
            two.sop_instance_uid: HeldInstance(two.sop_class_uid, two.path, two.digest, two.transfer_syntax_uid)
        }
        assert book.held_instances([]) == {}

    def test_a_report_on_an_unknown_transaction_is_harmless(self, book):
        book.commitment_reported("1.2.3", "ARCHIVE", [("1.2", "1.2.3.4")], [("1.2", "1.2.3.5", 0x0112)])

    def test_several_are_recorded_at_once_and_each_has_its_own_conflict(self, book):
        book.record_instance(instance(1), "listener/1")
        book.association_closed("listener/1")
        other, elsewhere = instance(1, digest="f" * 64), instance(1, "1.2.9", digest="e" * 64)
        elsewhere = replace(elsewhere, sop_instance_uid=instance(1).sop_instance_uid)
        several = [
            (instance(2), "listener/2"),
            (other, "listener/2"),
            (elsewhere, "listener/2"),
            (instance(3), "listener/3"),
        ]
        conflicts = book.record_instances([*several, (instance(2), "listener/4")])
        assert [type(each) for each in conflicts] == [
            type(None), InstanceConflictError, InstanceConflictError, type(None), type(None),
        ]  # fmt: skip
        assert digest_of(book, instance(1).sop_instance_uid) == instance(1).digest
        assert all(digest_of(book, instance(n).sop_instance_uid) == instance(n).digest for n in (2, 3))
        assert self.open_studies(book) == {STUDY}, "what is in conflict opens no study"
        assert book.record_instances([]) == []

    def test_many_threads_may_record_at_once(self, book):
        def send(association: int) -> None:
            for number in range(10):
                book.record_instance(instance(association * 100 + number), f"listener/{association}")
            book.association_closed(f"listener/{association}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(send, range(8)))
        assert all(digest_of(book, instance(a * 100 + n).sop_instance_uid) for a in range(8) for n in range(10))
        assert self.open_studies(book) == set()

    def test_many_threads_may_record_the_same_instance(self, book):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: book.record_instance(instance(1), f"listener/{n}"), range(8)))
        assert digest_of(book, instance(1).sop_instance_uid) == instance(1).digest
