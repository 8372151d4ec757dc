"""`bt-node jobs explain` and `bt-node jobs assign`: why which series became what, and a person's own choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bt_node.cli import jobs
from bt_node.cli.completeness import print_completeness
from bt_node.cli.context import CliState, echo, print_json, state_of
from bt_node.cli.explained import print_explanation, print_image_check
from bt_node.cli.jobs import JobArgument, JsonOption
from bt_node.cli.person import actor
from bt_node.domain.errors import InputsPurgedError, SpoolFileMissingError

if TYPE_CHECKING:  # numpy and pydicom are not for every command
    from bt_node.domain.study import StudyFacts
    from bt_node.jobs import JobBook

app = jobs.app  # these are commands of `bt-node jobs`
SeriesOption = Annotated[
    Optional[str],
    typer.Option(metavar="SERIES", help="SeriesNumber or SeriesInstanceUID; 7:2 is the second volume of series 7."),
]


@app.command("explain")
def explain(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Show why the study waits or went on, and all candidates for each role in their order with each reason.

    Headers are read anew and judged by the rules as they are now; where files are gone, the reasons that the last run
    stored are shown.
    """
    state = state_of(context)
    book = state.open_book()
    view = book.view(job)
    shown = ("id", "study_instance_uid", "waiting_for", "completeness")
    explained: dict[str, Any] = {key: view[key] for key in shown}
    book.note_read(view["id"], actor(), "headers, jobs explain")
    try:
        explained |= {"source": "headers", **_explained(state, _study(state, book, view), view)}
    except (SpoolFileMissingError, InputsPurgedError) as gone:
        explained |= {"source": "job book", "why_not_headers": gone.message, **_stored(view)}
    explained["images"] = _images(view)
    if as_json:
        print_json(explained)
        return
    echo(f"Job {view['id']}  {view['state']}  study {view['study_instance_uid']}")
    if view["waiting_for"]:
        echo(f"  waiting for: {view['waiting_for']}")
    print_completeness(view)
    if "why_not_headers" in explained:
        echo(f"{explained['why_not_headers']} These are the reasons that the last run stored.")
    print_explanation(explained)
    print_image_check(explained["images"])


@app.command("assign")
def assign(
    context: typer.Context,
    job: JobArgument,
    t1: SeriesOption = None,
    t1c: SeriesOption = None,
    t2: SeriesOption = None,
    flair: SeriesOption = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Withdraw what was assigned; the rules choose again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say which series is what, and release the job: it runs again with these series.

    Roles that are not named keep what was assigned before, or are chosen by the rules. The decision stays when more
    images arrive.
    """
    from bt_node.assemble.naming import named_series  # noqa: PLC0415
    from bt_node.domain.role import Assigned, Role  # noqa: PLC0415

    words = {Role.T1: t1, Role.T1C: t1c, Role.T2: t2, Role.FLAIR: flair}
    wanted = {role: word for role, word in words.items() if word is not None}
    if clear == bool(wanted):
        raise typer.BadParameter("name at least one of --t1, --t1c, --t2 and --flair, or --clear alone")
    state = state_of(context)
    book = state.open_book()
    view = book.view(job)
    if clear:
        moved = book.unassign(view["id"], actor())
    else:
        moved = book.assign(view["id"], named_series(_study(state, book, view), wanted), actor())
    view = book.view(job)
    if as_json:
        print_json(view)
        return
    for role, word in view["assigned"].items():
        echo(f"{role} is {Assigned(**word).volume}, assigned by {word['by']}.")
    echo(f"Job {view['id']} is {moved.value}.")


def _study(state: CliState, book: JobBook, view: dict[str, Any]) -> StudyFacts:
    """The headers of a job's instances, read from the spool.

    Raises:
        InputsPurgedError: the files were deleted after the retention time.
        SpoolFileMissingError: a file is not where the job book says.
    """
    from bt_node.assemble.study import read_study  # noqa: PLC0415

    paths = book.instance_paths(view["id"])
    if not paths:
        raise InputsPurgedError(view["id"])
    return read_study({uid: state.config.storage.spool / path for uid, path in paths.items()})


def _explained(state: CliState, study: StudyFacts, view: dict[str, Any]) -> dict[str, Any]:
    from bt_node.assemble.explanation import explanation  # noqa: PLC0415
    from bt_node.assemble.roles import choose_roles  # noqa: PLC0415
    from bt_node.domain.role import Assigned, Role  # noqa: PLC0415

    assigned = {Role(role): Assigned(**word) for role, word in view["assigned"].items()}
    return explanation(choose_roles(study, state.config.roles, assigned))


def _stored(view: dict[str, Any]) -> dict[str, Any]:
    """What the last run left, in the shape of an explanation; the order of candidates is not stored."""
    roles: dict[str, Any] = {
        role: {"certainty": "not stored", "series_instance_uid": None, "series_number": None, "reason": ""}
        | {"doubts": [], "candidates": [], "a_person_must_choose_from": []}
        for role in ("T1", "T1C", "T2", "FLAIR")
    }
    for chosen in view["roles"]:
        kept = {key: chosen[key] for key in ("series_instance_uid", "series_number", "reason")}
        first = {**kept, "place": 1, "doubts": chosen.get("doubts", []), "beaten_by": ""}
        first |= {"acquired": "", "against_contrast": ""}
        certainty = chosen.get("certainty", "not stored")
        roles[chosen["role"]] |= kept | {"certainty": certainty, "doubts": first["doubts"], "candidates": [first]}
    for word, key in (("missing", "missing"), ("ambiguous", "undecided")):
        for role in view["findings"].get("sequences", {}).get(key, []):
            roles[role]["certainty"] = word
    return {"roles": roles, "set_aside": view["set_aside"]}


def _images(view: dict[str, Any]) -> list[dict[str, Any]]:
    """What the images said, by role and series of the last run: a later choice may have named other series."""
    return [
        {"role": used["role"], "series_number": used["series_number"]}
        | {"series_instance_uid": used["series_instance_uid"], **used["image"]}
        for used in view["roles"]
        if "image" in used
    ]
