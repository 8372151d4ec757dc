"""Short forms of the trials under bench/trials that are the listener's."""

from __future__ import annotations

import pytest

from bench.trials import full_disk, fuzz_listener, kill_listener, recover_spool

pytestmark = pytest.mark.integration


def test_nothing_acknowledged_is_lost_when_the_listener_is_killed(tmp_path):
    outcome = kill_listener.run(tmp_path, kills=2, senders=3, seed=11, longest_life_s=0.4)
    assert outcome.acknowledged > 0
    assert (outcome.lost, outcome.corrupt, outcome.left_over) == ([], [], 0)


def test_the_listener_stands_mutated_pdus_and_data_sets(tmp_path):
    outcome = fuzz_listener.run(tmp_path, mutations=600, seed=11, every=300)
    assert outcome.mutations == 600
    assert outcome.valid_failed == 0
    assert outcome.internal_errors == []
    assert outcome.warnings == 0, "they quote the peer"
    assert outcome.left_over == 0
    assert outcome.threads_left == 0


def test_files_without_rows_are_all_recorded_at_the_next_start(tmp_path):
    outcome = recover_spool.run(tmp_path, files=300)
    assert outcome.recorded == 300
    assert outcome.missing == 0


def test_a_disk_that_fills_while_several_send_loses_nothing_and_goes_on_by_itself(small_disk, tmp_path):
    outcome = full_disk.run(small_disk, tmp_path, senders=3, size=20_000)
    assert set(outcome.statuses) == {0x0000, 0xA700}
    assert outcome.stored_before > 0
    assert outcome.stored_after > 0
    assert (outcome.lost, outcome.corrupt, outcome.left_over) == (0, 0, 0)
