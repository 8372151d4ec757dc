"""A real job book in SQLite and a spool, with one study received."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bt_node.domain.receipt import ReceivedInstance
from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.jobs import JobBook, open_book, upgrade_schema
from bt_node.receive.part10 import encode_file_meta
from bt_node.receive.spool import Spool, instance_path

STUDY = "1.2.3"


@dataclass
class Bench:
    """Job book and spool of one node, and how tests fill them."""

    book: JobBook
    spool: Spool
    url: str

    def receive(self, number: int = 1, study: str = STUDY, **changes: object) -> ReceivedInstance:
        content = f"instance {number}".encode()
        path = instance_path(study, f"{study}.1", f"{study}.1.{number}")
        meta = encode_file_meta("1.2.840.10008.5.1.4.1.1.4", f"{study}.1.{number}", "1.2.840.10008.1.2.1")
        self.spool.write(path, [meta, content], replace=True)
        facts = {
            "sop_instance_uid": f"{study}.1.{number}",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.4",
            "study_instance_uid": study,
            "series_instance_uid": f"{study}.1",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "path": path,
            "size_bytes": len(content),
            "digest": hashlib.sha256(content).hexdigest(),
            "calling_ae_title": "PACS",
        }
        instance = ReceivedInstance(**(facts | changes))
        self.book.record_instance(instance, "")
        return instance

    def make_ready(self, study: str = STUDY) -> int:
        """Receive one instance of a study and let it become READY; returns the job's number."""
        self.receive(study=study)
        return self.book.sweep_complete(0.0, 300.0)[0]


def encoded(number: int, kind: ResultKind = ResultKind.SEG) -> EncodedObject:
    return EncodedObject(kind, "1.2.840.10008.5.1.4.1.1.66.4", f"2.25.{number}", f"2.25.9{number}", 9001, b"bytes")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    upgrade_schema(url)
    book = open_book(url)
    yield Bench(book, Spool(tmp_path / "spool"), url)
    book.close()
