"""The fake PACS behaves like a PACS, and misbehaves as told: checked with dcmtk's own programs."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bt_node.simulate.fake_pacs import FakePacs, Faults
from bt_node.simulate.phantom import PhantomStudy, make_phantom

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=4)


def store(program: str, pacs: FakePacs, *paths: Path) -> int:
    command = [program, "-aet", "TESTER", "-aec", pacs.ae_title, "127.0.0.1", str(pacs.port), *map(str, paths)]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


def test_what_dcmtk_sends_is_kept_in_memory_and_in_the_folder(
    peer: Callable[[str], str], study: PhantomStudy, tmp_path: Path
) -> None:
    paths = study.localizer.paths
    with FakePacs(folder=tmp_path / "kept") as pacs:
        subprocess.run([peer("echoscu"), "127.0.0.1", str(pacs.port)], check=True, timeout=30)
        assert store(peer("storescu"), pacs, *paths) == 0
        assert pacs.wait_for(len(paths), 5)
        assert pacs.sop_instance_uids == study.localizer.sop_instance_uids
        assert "TESTER" in pacs.calling_ae_titles
        assert pacs.datasets()[0].Modality == "MR"
    assert {path.stem for path in (tmp_path / "kept").iterdir()} == set(study.localizer.sop_instance_uids)


def test_it_answers_out_of_resources_as_often_as_told_and_then_behaves(
    peer: Callable[[str], str], study: PhantomStudy
) -> None:
    path = study.localizer.paths[0]
    with FakePacs(faults=Faults(status=0xA700, times=1)) as pacs:
        store(peer("storescu"), pacs, path)
        assert pacs.sop_instance_uids == ()
        store(peer("storescu"), pacs, path)
        assert len(pacs.sop_instance_uids) == 1
        assert pacs.store_requests == 2
        pacs.clear()
        assert pacs.sop_instance_uids == ()


def test_a_refused_association_ends_dcmtk_with_an_error(peer: Callable[[str], str], study: PhantomStudy) -> None:
    with FakePacs(faults=Faults(refuse_association=True)) as pacs:
        assert store(peer("storescu"), pacs, study.localizer.paths[0]) != 0
        pacs.faults = Faults()
        assert store(peer("storescu"), pacs, study.localizer.paths[0]) == 0


def test_waiting_ends_when_nothing_comes_and_when_something_does() -> None:
    with FakePacs() as pacs:
        assert not pacs.wait_for(1, 0.1)
        threading.Timer(0.1, lambda: pacs._keep("1.2.3", b"")).start()
        assert pacs.wait_for(1, 5)


def test_a_pacs_that_does_not_run_has_no_port() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        _ = FakePacs().port
