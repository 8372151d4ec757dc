"""`bt-node jobs`: what every study is doing, and why."""

from __future__ import annotations

from typing import Annotated, Any, Optional

import typer

from bt_node.cli.compared import print_follow_up
from bt_node.cli.completeness import print_completeness
from bt_node.cli.context import CliState, echo, print_json, print_table, state_of
from bt_node.cli.person import actor
from bt_node.domain.priority import Priority
from bt_node.domain.states import JobState
from bt_node.domain.text import visible

app = typer.Typer(help="Show and steer jobs, one for each study.", no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(metavar="ID", help="Job number or StudyInstanceUID.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("list")
def list_jobs(
    context: typer.Context,
    state: Annotated[Optional[JobState], typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first."""
    from bt_node.jobs import not_configured  # noqa: PLC0415
    from bt_node.receive.spool import Spool  # noqa: PLC0415
    from bt_node.runtime.disk_guard import why_paused  # noqa: PLC0415

    opened = state_of(context)
    book = opened.open_book()
    summaries = [summary.as_dict() for summary in book.summaries(state, limit)]
    if as_json:
        print_json(summaries)
        return
    columns = ("id", "state", "images", "attempts", "updated", "StudyInstanceUID", "reason")
    keys = ("id", "state", "images", "attempts", "updated_at", "study_instance_uid", "reason")
    print_table("Jobs", columns, [[summary[key] for key in keys] for summary in summaries])
    paused = why_paused(Spool(opened.config.storage.spool, opened.config.storage.min_free_mib))
    if paused:
        echo(f"The worker is {paused}. It goes on by itself when there is room.", err=True)
    for name, number in book.unknown_destinations(_destinations(opened)).items():
        echo(f"{number} job(s) wait: {not_configured(name)}.", err=True)


@app.command("show")
def show(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Show one job: state and reason, why it waits or went on, roles, findings, results, history, times."""
    from bt_node.jobs import Patience  # noqa: PLC0415 - the job book is opened here, and not for --help

    state = state_of(context)
    rules = state.config.completeness
    patience = Patience(rules.quiet_seconds, rules.stale_association_seconds, _destinations(state))
    view = state.open_book().view(job, patience)
    if as_json:
        print_json(view)
        return
    _print_view(view)


@app.command("retry")
def retry(
    context: typer.Context,
    job: Annotated[Optional[str], typer.Argument(metavar="ID", help="Job number or StudyInstanceUID.")] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Every FAILED job, in place of one ID.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take an ended job up again: a failed delivery is sent again, anything else is analysed again."""
    if (job is None) != all_failed:
        raise typer.BadParameter("name one job, or give --all-failed")
    book = state_of(context).open_book()
    wanted = book.ids_in(JobState.FAILED) if job is None else [book.view(job)["id"]]
    moves = {number: book.retry(number, actor()) for number in wanted}
    if as_json:
        views = [book.view(number) for number in moves]
        print_json(views if job is None else views[0])
        return
    for number, state in moves.items():
        echo(f"Job {number} is {state.value}.")
    if not moves:
        echo("No job is FAILED.")


@app.command("priority")
def priority(
    context: typer.Context,
    job: JobArgument,
    wanted: Annotated[Priority, typer.Argument(metavar="stat|high|routine", help="How urgent.", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Let a job be analysed and sent before others, or in its turn again."""
    book = state_of(context).open_book()
    book.set_priority(book.view(job)["id"], wanted.value, actor())
    view = book.view(job)
    if as_json:
        print_json(view)
    else:
        echo(f"Job {view['id']} is {wanted.value}.")


@app.command("cancel")
def cancel(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Stop a job. What was delivered stays delivered."""
    book = state_of(context).open_book()
    state = book.cancel(book.view(job)["id"], actor())
    _print_move(book.view(job), state, as_json)


@app.command("release")
def release(context: typer.Context, job: JobArgument, as_json: JsonOption = False) -> None:
    """Send the result of a HELD study as it was encoded. Who released it, and when, stays in the history."""
    state = state_of(context)
    book = state.open_book()
    moved = book.release(book.view(job)["id"], actor(), _destinations(state))
    _print_move(book.view(job), moved, as_json)


@app.command("reject")
def reject(
    context: typer.Context,
    job: JobArgument,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, in a few words; it is stored: nothing that names the patient.")
    ],
    as_json: JsonOption = False,
) -> None:
    """End a HELD study without an answer: its result never leaves. Who, when and why stay in the history."""
    state = state_of(context)
    book = state.open_book()
    moved = book.reject(book.view(job)["id"], actor(), visible(reason), _destinations(state))
    _print_move(book.view(job), moved, as_json)


def _destinations(state: CliState) -> tuple[str, ...]:
    return tuple(destination.name for destination in state.config.destinations)


def _print_move(view: dict[str, Any], state: JobState, as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        echo(f"Job {view['id']} is {state.value}.")


def _print_view(view: dict[str, Any]) -> None:
    echo(f"Job {view['id']}  {view['state']}  study {view['study_instance_uid']}")
    for key in ("reason", "waiting_for"):
        if view.get(key):
            echo(f"  {key.replace('_', ' ')}: {view[key]}")
    _print_review(view)
    print_completeness(view)
    _print_sequences((view["findings"] or {}).get("sequences"))
    print_table(
        "Roles",
        ("role", "series", "SeriesInstanceUID", "reason"),
        [(r["role"], r["series_number"], r["series_instance_uid"], r["reason"]) for r in view["roles"]],
    )
    print_table(
        "Set aside",
        ("series", "SeriesInstanceUID", "reason"),
        [(a["series_number"], a["series_instance_uid"], a["reason"]) for a in view["set_aside"]],
    )
    _print_findings(view["findings"])
    print_follow_up(view["findings"] or {})
    print_table(
        "Results",
        ("kind", "SOPInstanceUID", "destination", "state", "detail"),
        [
            (r["kind"], r["sop_instance_uid"], name, d["state"], d["detail"])
            for r in view["results"]
            for name, d in (r["destinations"] or {"-": {"state": "", "detail": ""}}).items()
        ],
    )
    print_table(
        "History",
        ("at", "from", "to", "by", "reason"),
        [(h["at"], h["from"], h["to"], h["actor"], h["reason"]) for h in view["history"]],
    )
    print_table("Seconds", ("stage", "s"), list(view["timings_s"].items()))


def _print_review(view: dict[str, Any]) -> None:
    """What a person can do with a held study, or did with its result."""
    for choice in view.get("choices", []):
        echo(f"  you can: {choice['command']}   ({choice['what']})")
    review = view.get("review")
    if review:
        echo(f"  {review['what'].replace('-', ' ')}: {review['by']}, {review['at']}")


def _print_sequences(sequences: dict[str, list[str]] | None) -> None:
    """Which of the four were there; jobs that were not looked at yet have nothing to tell."""
    for word, roles in (sequences or {}).items():
        if roles:
            echo(f"  sequences {word}: {', '.join(roles)}")


def _print_findings(findings: dict[str, Any]) -> None:
    if "volumes_ml" not in findings:
        return
    rows: list[tuple[object, object]] = (
        [("verdict", findings["verdict"]["decision"])] if "verdict" in findings else []
    )
    rows += [(f"{name} ml", ml) for name, ml in findings["volumes_ml"].items()]
    rows += [(f"{name} ml", "not assessed") for name in findings.get("not_assessed", [])]
    tumour_type = findings.get("tumour_type")
    # An outline answers whether there is a tumour; jobs of older versions have only the classifier's own words.
    given = (tumour_type or {}).get("given_tumour") if findings["volumes_ml"].get("WT") else None
    if tumour_type:
        rows.append(("tumour type", tumour_type["name"]))
        if given:
            rows += [(f"P({name}), given a tumour", p) for name, p in given.items()]
        else:
            rows += [(f"P({name})", p) for name, p in tumour_type["probabilities"].items()]
        chosen = tumour_type.get("slices_chosen", "")
        rows.append(("tumour type from", f"{tumour_type['slices_used']} slices {chosen}".strip()))
    elif findings.get("no_tumour_type_because"):
        rows.append(("tumour type", f"not assessed: {findings['no_tumour_type_because']}"))
    if findings.get("models_agree") is not None:
        rows.append(("models agree", "yes" if findings["models_agree"] else "NO"))
    rows += [("caution", caution) for caution in findings.get("cautions", [])]
    print_table(f"Findings. {findings['research_use_only']}", ("what", "value"), rows)
    for each in (tumour_type or {}).get("slices", []):
        prefix = "given_tumour_" if given and each.get("given_tumour_name") else ""
        said = f"{each[f'{prefix}name']} {each[f'{prefix}probability']:.2f}"
        echo(f"  slice z {each['z_mm']} mm, share {each['share']:.2f}: {said}  {each['sop_instance_uid']}")
