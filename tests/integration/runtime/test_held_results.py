"""A held result through job book, worker, courier and PACS: nothing arrives before a person says so, all after it."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from encode_cases import NODE, make_request
from node_bench import Bench
from typer.testing import CliRunner

from bt_node.cli.main import app
from bt_node.deliver.outlet import DimseOutlet
from bt_node.deliver.peer import Peer
from bt_node.domain.errors import NoHeadError
from bt_node.domain.result import EncodedObject
from bt_node.encode.results import encode_results
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import TripOutcome
from bt_node.receive.part10 import read_stored_file
from bt_node.runtime import travel as module
from bt_node.runtime.courier import Courier, CourierSettings
from bt_node.runtime.runner import RunnerSettings, StudyRunner
from bt_node.runtime.travel import Trips
from bt_node.simulate.fake_pacs import FakePacs

WHY = "The brain is cut off at its upper end."


class Node:
    """One node: its job book, its worker with a trip of our own, its couriers, and the commands of a person."""

    def __init__(self, bench: Bench, folder: Path, pacs: FakePacs, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bench, self.pacs, self._monkeypatch = bench, pacs, monkeypatch
        self.request = make_request(folder / "in", cautions=(WHY,))
        self.objects = encode_results(self.request)
        self.config = folder / "config.toml"
        self.config.write_text(
            f'[storage]\nspool = "{bench.spool.root}"\n[database]\nurl = "{bench.url}"\n'
            f'[[destinations]]\nname = "pacs"\nae_title = "{pacs.ae_title}"\nhost = "127.0.0.1"\nport = {pacs.port}\n'
        )

    def receive(self) -> int:
        """The study's images, received and complete."""
        for number, (uid, path) in enumerate(self.request.paths.items(), start=1):
            header = pydicom.dcmread(path, stop_before_pixels=True)
            relative = f"instances/real/{uid}.dcm"
            self.bench.spool.write(relative, [path.read_bytes()])
            self.bench.receive(
                number,
                study=str(header.StudyInstanceUID),
                sop_instance_uid=uid,
                series_instance_uid=str(header.SeriesInstanceUID),
                path=relative,
                transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
                digest=read_stored_file(path).digest(),
            )
        return self.bench.book.sweep_complete(0.0, 300.0)[0]

    def run(self, *, held: bool = True, error: Exception | None = None, report: bool = False) -> None:
        """One trip of the worker, which ends as said."""

        def trip(study, models, node, record: TripRecord) -> TripOutcome:
            with record.stage("judge"):
                if error is not None:
                    raise error
            return TripOutcome(self.request.labels, self.request.findings, self.objects, (WHY,) if held else ())

        self._monkeypatch.setattr(module, "run_trip", trip)
        settings = RunnerSettings("test", 30.0, 3, 60.0, ("pacs",), not_answered_report=report)
        trips = Trips(None, NODE, self.bench.spool.root)
        assert StudyRunner(self.bench.book, self.bench.spool, trips, settings).run_next()

    def deliver(self) -> list[str]:
        """A delivery round; what the PACS has now."""
        settings = CourierSettings(0.0, 0.0, 3600.0)
        outlet = DimseOutlet(Peer(self.pacs.ae_title, "127.0.0.1", self.pacs.port), "BT_NODE", 5.0)
        Courier("pacs", outlet, self.bench.book, self.bench.spool, settings).deliver_due()
        return sorted(self.pacs.sop_instance_uids)

    def command(self, *words: str) -> dict:
        ran = CliRunner().invoke(app, ["--config", str(self.config), "jobs", *words, "--json"])
        assert ran.exit_code == 0, ran.output
        return json.loads(ran.output)


@pytest.fixture
def node(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with FakePacs() as pacs:
        yield Node(bench, tmp_path, pacs, monkeypatch)


def uids(objects: tuple[EncodedObject, ...]) -> list[str]:
    return sorted(each.sop_instance_uid for each in objects)


def test_nothing_arrives_before_the_release_and_the_same_objects_after_it(node: Node) -> None:
    job = node.receive()
    node.run()
    view = node.command("show", str(job))
    assert (view["state"], view["code"], view["reason"]) == ("HELD", "result-held", WHY)
    assert len(view["results"]) == len(node.objects)
    assert node.deliver() == []
    released = node.command("release", str(job))
    assert released["state"] == "DELIVERING"
    assert released["review"]["what"] == "released"
    assert released["review"]["by"].startswith("cli:")
    assert node.deliver() == uids(node.objects)
    assert node.command("show", str(job))["state"] == "DONE"
    for made in node.objects:
        stored = next(entry for entry in released["results"] if entry["sop_instance_uid"] == made.sop_instance_uid)
        assert (node.bench.spool.root / stored["path"]).read_bytes() == made.content, "released as it was encoded"


def test_what_was_held_says_so_once_it_is_released(node: Node) -> None:
    for made in node.objects:
        dataset = pydicom.dcmread(BytesIO(made.content))
        assert dataset.SeriesDescription.startswith("CAUTION")
        assert len(dataset.SeriesDescription) <= 64
    assert WHY in str(dataset.to_json())


def test_nothing_ever_arrives_of_what_a_person_rejects(node: Node) -> None:
    job = node.receive()
    node.run()
    rejected = node.command("reject", str(job), "--reason", "half a head")
    assert rejected["state"] == "REJECTED"
    assert rejected["reason"] == "rejected by an operator: half a head"
    assert node.deliver() == []
    assert node.command("show", str(job))["review"]["reason"] == "rejected by an operator: half a head"


def test_a_rejection_sends_the_report_that_says_so_where_the_site_wants_it(node: Node) -> None:
    job = node.receive()
    node.run(report=True)
    assert node.deliver() == []
    node.command("reject", str(job), "--reason", "half a head of nobody in particular")
    (only,) = node.deliver()
    assert only not in uids(node.objects)
    said = str(node.pacs.dataset(only).to_json())
    assert f"NOT ANSWERED, because: {WHY}" in said
    assert "nobody in particular" not in said, "a person's own words stay in the job book"
    assert node.command("show", str(job))["state"] == "REJECTED"


def test_a_study_that_the_node_rejects_is_reported_on_only_where_the_site_wants_it(node: Node) -> None:
    job = node.receive()
    node.run(error=NoHeadError(["The images show a bottle."]))
    assert (node.command("show", str(job))["state"], node.deliver()) == ("REJECTED", [])
    node.command("retry", str(job))
    node.run(error=NoHeadError(["The images show a bottle."]), report=True)
    assert len(node.deliver()) == 1
    assert node.command("show", str(job))["state"] == "REJECTED"


def test_release_of_a_study_without_a_result_is_refused_in_plain_words(node: Node) -> None:
    job = node.receive()
    node.run(error=NoHeadError(["The images show a bottle."]))
    ran = CliRunner().invoke(app, ["--config", str(node.config), "jobs", "release", str(job)])
    assert ran.exit_code != 0
    assert not ran.output.startswith("Traceback")


def test_show_prints_what_a_person_can_type(node: Node) -> None:
    job = node.receive()
    node.run()
    printed = CliRunner().invoke(app, ["--config", str(node.config), "jobs", "show", str(job)]).output
    assert f"bt-node jobs release {job}" in printed
    assert f'bt-node jobs reject {job} --reason "…"' in printed
    assert WHY in printed
