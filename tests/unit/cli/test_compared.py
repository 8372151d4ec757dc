"""How `jobs show` tells of the former study."""

from __future__ import annotations

from datetime import date

import pytest

from bt_node.cli.compared import print_follow_up
from bt_node.domain.follow_up import Change, FollowUp, LesionChange, Way
from bt_node.domain.tumour import Region, ReleaseIdentity

FOLLOW_UP = FollowUp(
    former_job=7,
    former_study_instance_uid="1.2.3",
    former_day=date(2026, 1, 5),
    days=55,
    objects=(),
    segmenter=ReleaseIdentity("unet", "1", "a" * 64),
    changes=(Change(Region.ET, 0.0, 1.5), Change(Region.WT, 20.0, 30.5)),
    lesions=(LesionChange("2.25.1", 20.0, 28.0), LesionChange("2.25.2", None, 2.5)),
    way=Way.REGISTERED,
    tracking={Region.WT: "2.25.3"},
)


def test_the_former_job_both_volumes_and_the_change_are_shown(capsys: pytest.CaptureFixture[str]):
    print_follow_up({"follow_up": FOLLOW_UP.facts()})
    shown = capsys.readouterr().out
    assert "Former study: job 7, 2026-01-05, 55 days earlier" in shown
    whole = next(line for line in shown.splitlines() if "WT" in line)
    assert [cell.strip() for cell in whole.split("│")[1:-1]] == ["WT", "20.0", "30.5", "+10.500", "+52.5"]
    enhancing = next(line for line in shown.splitlines() if "ET" in line)
    assert enhancing.split("│")[-2].strip() == ""
    assert "heads registered" in shown
    assert "tracking UIDs go on" in shown
    assert "lesion 2: none then, 2.50 ml now" in shown


def test_why_no_former_study_was_looked_for_is_shown(capsys: pytest.CaptureFixture[str]):
    print_follow_up({"no_follow_up_because": "the images name no day of the study"})
    assert "no former study was looked for: the images name no day of the study" in capsys.readouterr().out


def test_a_first_study_says_nothing(capsys: pytest.CaptureFixture[str]):
    print_follow_up({})
    assert capsys.readouterr().out == ""
