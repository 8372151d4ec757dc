"""`bt-node models`: the releases on disk; look at them, try them, add one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bt_node.cli.activation import activate
from bt_node.cli.context import CliState, echo, print_json, print_table, state_of
from bt_node.domain.errors import BtNodeError

if TYPE_CHECKING:  # `models list` must not pay for checking a manifest it does not read
    from bt_node.infer.release import Release

app = typer.Typer(help="Model releases.", no_args_is_help=True)

RESEARCH = "For research use only, not for diagnosis."
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class UnknownReleaseError(BtNodeError):
    """No release of this name."""

    code = "release-unknown"

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"There is no release {name!r}; known are: {', '.join(known) or 'none'}.")


@app.command("list")
def list_models(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the releases in [models] folder, and which ones this node uses. Reads manifests only, no weights."""
    from bt_node.infer.release import list_releases  # noqa: PLC0415

    settings = state_of(context).config.models
    used = {settings.segmenter, settings.classifier, settings.brain}
    rows = [
        {
            "name": release.folder.name,
            "version": release.identity.version,
            "kind": release.kind,
            "architecture": release.manifest.network.architecture,
            "weights_sha256": release.identity.weights_sha256,
            "in_use": release.folder.name in used,
        }
        for release in list_releases(settings.folder)
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        f"Releases. {RESEARCH}",
        ("folder", "version", "kind", "network", "weights", "in use"),
        [
            (
                r["name"],
                r["version"],
                r["kind"],
                r["architecture"],
                str(r["weights_sha256"])[:12],
                "yes" if r["in_use"] else "",
            )
            for r in rows
        ],
    )


@app.command("show")
def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Release in [models] folder, or the path of a release folder.")],
    as_json: JsonOption = False,
    card: Annotated[bool, typer.Option("--card", help="Print MODEL_CARD.md: data, split, scores, limits.")] = False,
) -> None:
    """Show what a release's manifest says. Reads no weights."""
    from bt_node.infer.release import read_release  # noqa: PLC0415

    state = state_of(context)
    release = read_release(_folder_of(state, name))
    if card:
        echo(_card(release))
    elif as_json:
        print_json({"folder": release.folder.name, "in_use": _in_use(state, release), **_told(release)})
    else:
        title = f"{release.identity.name} {release.identity.version}. {RESEARCH}"
        print_table(title, ("", "manifest.toml says"), [*_head(state, release), *_rows(_told(release))])
        echo(f"Data, scores and limits in words: bt-node models show {name} --card")


@app.command("verify")
def verify(
    context: typer.Context,
    name: Annotated[
        Optional[str], typer.Argument(help="Release, or the path of a release folder; default: all of them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Try releases: manifest, card, hash, weights in their network, a small forward pass. Exit code 1 on failure."""
    from bt_node.infer.trial import find_problems  # noqa: PLC0415

    state = state_of(context)
    folders = [_folder_of(state, name)] if name else _all_folders(state)
    found = {folder.name: find_problems(folder) for folder in folders}
    if as_json:
        print_json([{"name": key, "ok": not problems, "problems": problems} for key, problems in found.items()])
    else:
        rows = [(key, "FAIL" if problems else "ok", "\n".join(problems)) for key, problems in found.items()]
        print_table("", ("release", "", "problems"), rows)
    raise typer.Exit(1 if not found or any(found.values()) else 0)


@app.command("install")
def install_release(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(help="Release folder, a zip of one, or a MONAI bundle (folder or zip).")],
    name: Annotated[Optional[str], typer.Option(help="Folder in [models] folder; default: NAME-VERSION.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a release of that name.")] = False,
    activate_it: Annotated[
        bool, typer.Option("--activate", help="Name it in config.toml as the one that the node uses.")
    ] = False,
) -> None:
    """Try a release and put it into [models] folder, whole or not at all. Pickles are refused."""
    from bt_node.infer.install import install  # noqa: PLC0415

    state = state_of(context)
    installed = install(path, state.config.models.folder, name=name, replace=replace)
    release = installed.release
    what = f"{release.identity.name} {release.identity.version} ({release.kind})"
    echo(f"{what} {installed.outcome.value} as {release.folder.name} in {release.folder.parent}. {RESEARCH}")
    if installed.converted:
        echo("It was converted from a MONAI bundle; nothing about it was measured here. See its MODEL_CARD.md.")
    if installed.left_out:
        echo(f"Left out, as no release has them: {', '.join(installed.left_out)}")
    for line in activate(state, release.kind, release.folder.name, write=activate_it):
        echo(line)


# ---------------------------------------------------------------- parts


def _all_folders(state: CliState) -> list[Path]:
    """Every folder with a manifest, sound or not."""
    return sorted(path.parent for path in state.config.models.folder.glob("*/manifest.toml"))


def _folder_of(state: CliState, name: str) -> Path:
    """The release's folder: by its name, or a path that was given as one."""
    known = {folder.name: folder for folder in _all_folders(state)}
    given = Path(name)
    if name not in known and (given / "manifest.toml").is_file():
        return given.resolve()
    if name not in known:
        raise UnknownReleaseError(name, list(known))
    return known[name]


def _in_use(state: CliState, release: Release) -> bool:
    settings = state.config.models
    ours = release.folder.parent == settings.folder
    return ours and release.folder.name in {settings.segmenter, settings.classifier, settings.brain}


def _card(release: Release) -> str:
    path = release.folder / "MODEL_CARD.md"
    return path.read_text(encoding="utf-8") if path.is_file() else f"{release.folder.name} has no MODEL_CARD.md."


def _told(release: Release) -> dict[str, Any]:
    return release.manifest.model_dump(mode="json", by_alias=True)


def _head(state: CliState, release: Release) -> list[tuple[str, str]]:
    return [
        ("folder", str(release.folder)),
        ("in use by this node", "yes" if _in_use(state, release) else "no"),
        ("answers for", _answers_for(release)),
    ]


def _answers_for(release: Release) -> str:
    from bt_node.infer.release import SegmenterManifest  # noqa: PLC0415

    if not isinstance(release.manifest, SegmenterManifest):
        return f"{release.manifest.input.plane} slices of {release.manifest.input.sequence.value}"
    read = release.manifest.input
    roles = ", ".join(role.value for role in read.roles)
    if not read.needs_one_of:
        return f"studies with all of {roles}"
    return f"any of {roles} that hold {' or '.join(role.value for role in read.needs_one_of)}"


def _rows(table: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """The manifest as it stands, one row for each value, tables by their dotted names."""
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{prefix}{key}.")
        else:
            shown = ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
            rows.append((f"{prefix}{key}", shown))
    return rows
