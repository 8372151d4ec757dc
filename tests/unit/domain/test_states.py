"""The state table is complete, and its words are the documented ones."""

from pathlib import Path

from bt_node.domain.states import ENDED_STATES, LEGAL_MOVES, JobState, is_legal

REPOSITORY = Path(__file__).resolve().parents[3]


def test_every_state_has_a_row_in_the_table() -> None:
    assert set(LEGAL_MOVES) == set(JobState)


def test_no_state_is_a_dead_end_for_an_operator() -> None:
    for state in JobState:
        reachable, todo = {state}, [state]
        while todo:
            new = LEGAL_MOVES[todo.pop()] - reachable
            reachable |= new
            todo += new
        assert JobState.DONE in reachable, f"{state} can never be DONE again"


def test_nothing_reaches_delivery_without_having_run_been_held_or_failed_in_delivery() -> None:
    sources = {state for state in JobState if is_legal(state, JobState.DELIVERING)}
    assert sources == {JobState.RUNNING, JobState.HELD, JobState.FAILED}


def test_ended_jobs_open_again_when_images_arrive() -> None:
    assert all(is_legal(state, JobState.RECEIVING) for state in ENDED_STATES)


def test_the_architecture_page_names_every_state_of_the_main_trip() -> None:
    page = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
    for state in JobState:
        if state is not JobState.CANCELLED:  # an operator's move, not a part of the trip
            assert state.value in page, state
