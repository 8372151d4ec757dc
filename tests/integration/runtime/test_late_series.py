"""A series that arrives late: one new result that names and replaces the former, and never two that contradict."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pydicom
import pytest
from node_bench import Bench
from pydicom import Dataset
from tiny_models import bright_parts_segmenter

from bt_node.deliver.outlet import DimseOutlet
from bt_node.deliver.peer import Peer
from bt_node.domain.completeness import KnownGaps, Shortfall
from bt_node.domain.receipt import ReceivedInstance
from bt_node.domain.states import JobState
from bt_node.domain.study import Role
from bt_node.encode.results import NodeIdentity
from bt_node.jobs import Completeness, QuietStudy
from bt_node.pipeline.trip import Models
from bt_node.receive.part10 import read_stored_file
from bt_node.receive.spool import instance_path
from bt_node.runtime.courier import Courier, CourierSettings
from bt_node.runtime.runner import RunnerSettings, StudyRunner
from bt_node.runtime.travel import Trips
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.phantom import PhantomStudy, make_phantom

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=2.0)


class Node:
    """A node without its processes: what a worker does, one step after the other."""

    def __init__(self, bench: Bench, phantom: PhantomStudy, pacs: FakePacs) -> None:
        self.bench, self.study, self.pacs = bench, phantom.study_instance_uid, pacs
        models = Models(bright_parts_segmenter((Role.FLAIR, Role.T1C)), None, require_all_roles=False)
        identity = NodeIdentity("Example Organisation", "bt-node", "0.1.0", "node-0001")
        settings = RunnerSettings("worker", 60.0, 3, 60.0, ("archive",))
        trips = Trips(models, identity, bench.spool.root)
        self._runner = StudyRunner(bench.book, bench.spool, trips, settings)
        outlet = DimseOutlet(Peer(pacs.ae_title, "127.0.0.1", pacs.port), "BT_NODE", 10.0)
        sending = CourierSettings(30.0, 60.0, 3600.0)
        self._courier = Courier("archive", outlet, bench.book, bench.spool, sending)

    def receive(self, paths: Iterable[Path]) -> None:
        for path in paths:
            ds, content = pydicom.dcmread(path, stop_before_pixels=True), path.read_bytes()
            uid, series = str(ds.SOPInstanceUID), str(ds.SeriesInstanceUID)
            place = instance_path(self.study, series, uid)
            self.bench.spool.write(place, [content])
            digest = read_stored_file(path).digest()
            syntax = str(ds.file_meta.TransferSyntaxUID)
            self.bench.book.record_instance(
                ReceivedInstance(
                    uid, str(ds.SOPClassUID), self.study, series, syntax, place, len(content), digest, "PACS"
                ),
                "",
            )

    def work(self, gaps: KnownGaps | None = None) -> JobState:
        """Reopen, complete, run, deliver; `gaps` is what is known to lack."""

        def decide(study: QuietStudy) -> Completeness:
            return Completeness(True, "quiet", {"gaps": (gaps or KnownGaps()).as_json()})

        self.bench.book.reopen_changed()
        self.bench.book.sweep_complete(0.0, 300.0, decide)
        assert self._runner.run_next()
        self._courier.deliver_due()
        return JobState(self.bench.book.view(self.study)["state"])

    @property
    def reports(self) -> list[Dataset]:
        """What the archive holds, in order of arrival."""
        return [dataset for dataset in self.pacs.datasets() if dataset.Modality == "SR"]


def predecessor(report: Dataset) -> str | None:
    named = report.get("PredecessorDocumentsSequence")
    return (
        str(named[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID) if named else None
    )


@pytest.mark.timeout(600)
def test_a_late_series_makes_one_result_that_replaces_the_former(bench: Bench, phantom: PhantomStudy) -> None:
    flair = phantom.series[Role.FLAIR]
    lacking = KnownGaps("PACS", unsent=(Shortfall(flair.series_instance_uid, 4, len(flair.paths), 0),))
    with FakePacs("ARCHIVE") as pacs:
        node = Node(bench, phantom, pacs)
        node.receive(path for role in (Role.T1C, Role.T2) for path in phantom.series[role].paths)
        assert node.work(lacking) is JobState.DONE
        (first,) = node.reports
        assert predecessor(first) is None
        said = str(first.to_json())
        assert "CAUTION: PACS has 1 more MR series of this study that did not arrive: 4." in said
        assert "CAUTION: FLAIR was missing" in said

        node.receive(flair.paths)
        assert node.work() is JobState.DONE
        _, second = node.reports
        assert predecessor(second) == first.SOPInstanceUID
        assert "did not arrive" not in str(second.to_json())
        view = bench.book.view(node.study)
        assert {entry["sop_instance_uid"] for entry in view["superseded_results"]} >= {first.SOPInstanceUID}
        assert second.SOPInstanceUID in {entry["sop_instance_uid"] for entry in view["results"]}

        # A series that is not used says nothing new, but the time of its analysis does: another object, other UIDs.
        node.receive(phantom.localizer.paths)
        assert node.work() is JobState.DONE
        *_, third = node.reports
        assert predecessor(third) == second.SOPInstanceUID
        assert len(bench.book.view(node.study)["completeness"]) == 3


def test_a_series_that_came_in_part_is_held_and_nothing_leaves(bench: Bench, phantom: PhantomStudy) -> None:
    flair = phantom.series[Role.FLAIR]
    short = Shortfall(flair.series_instance_uid, 4, len(flair.paths), len(flair.paths) - 2)
    with FakePacs("ARCHIVE") as pacs:
        node = Node(bench, phantom, pacs)
        node.receive(path for role in Role for path in phantom.series[role].paths)
        assert node.work(KnownGaps("PACS", short=(short,))) is JobState.HELD
        assert pacs.sop_instance_uids == ()
    view = bench.book.view(node.study)
    assert view["code"] == "series-short"
    assert f"PACS has {short.expected} images of series 4 (FLAIR), {short.arrived} arrived." in view["reason"]
