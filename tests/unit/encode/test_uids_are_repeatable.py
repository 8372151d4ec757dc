"""Identity of results: same input, same UIDs; another input, model or version, others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom.uid import UID

from bt_node.domain.tumour import Region, ReleaseIdentity
from bt_node.encode.uids import RunIdentity, derived_uid, instances_digest, release_uid, tracking_uid

RELEASE = ReleaseIdentity("unet", "1.0.0", "a" * 64)
RUN = RunIdentity("1.2.3", "1.2.3.4", instances_digest(["1.1", "1.2"]), (RELEASE,), "0.1.0")


def test_the_same_run_gives_the_same_uid() -> None:
    assert RUN.uid("instance", "SEG") == replace(RUN).uid("instance", "SEG")


def test_this_uid_is_the_one_that_archives_already_hold() -> None:
    # A change here means that every result ever sent would come a second time under a new name.
    assert derived_uid("series", "SEG") == "2.25.268124303075065035942750487512695801325"


@pytest.mark.parametrize(
    "other",
    [
        replace(RUN, study_instance_uid="1.2.4"),
        replace(RUN, series_instance_uid="1.2.3.5"),
        replace(RUN, inputs=instances_digest(["1.1"])),
        replace(RUN, releases=(replace(RELEASE, weights_sha256="b" * 64),)),
        replace(RUN, releases=(replace(RELEASE, version="1.0.1"),)),
        replace(RUN, releases=(RELEASE, RELEASE)),
        replace(RUN, node_version="0.1.1"),
    ],
    ids=["study", "series", "inputs", "weights", "release version", "second model", "node version"],
)
def test_whatever_a_result_depends_on_changes_its_uid(other: RunIdentity) -> None:
    assert other.uid("instance", "SEG") != RUN.uid("instance", "SEG")


def test_kinds_and_purposes_have_uids_of_their_own() -> None:
    uids = {RUN.uid(purpose, kind) for purpose in ("series", "instance") for kind in ("SEG", "SEG_DERIVED", "SR")}
    assert len(uids) == 6


def test_the_border_between_parts_counts() -> None:
    assert derived_uid("ab", "c") != derived_uid("a", "bc")


def test_uids_are_valid_and_fit_64_characters() -> None:
    for uid in (RUN.uid("series", "SR"), release_uid(RELEASE), tracking_uid("1.2", Region.WT)):
        assert UID(uid).is_valid
        assert len(uid) <= 64


def test_the_order_in_which_instances_came_does_not_matter() -> None:
    assert instances_digest(["1.2", "1.1"]) == instances_digest(["1.1", "1.2", "1.2"])


def test_a_device_uid_changes_with_the_weights() -> None:
    assert release_uid(RELEASE) != release_uid(replace(RELEASE, weights_sha256="b" * 64))


def test_a_region_is_tracked_by_study_and_region_alone() -> None:
    assert tracking_uid("1.2", Region.WT) == tracking_uid("1.2", Region.WT)
    assert tracking_uid("1.2", Region.WT) != tracking_uid("1.2", Region.TC)
