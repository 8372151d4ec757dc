"""`bt-node predict`: the models on a researcher's own files, without DICOM."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from bt_node.cli.context import echo, print_json, print_table, state_of

app = typer.Typer(help="Run a model on files. For research use only, not for diagnosis.", no_args_is_help=True)


class LabelScheme(StrEnum):
    """How BraTS writes its labels; only the number of enhancing tumour ever changed."""

    UNTIL_2021 = "0-1-2-4"
    SINCE_2023 = "0-1-2-3"


NiftiOption = Annotated[Optional[Path], typer.Option(exists=True, dir_okay=False, help="NIfTI file.")]


@app.command("segmentation")
def segmentation(
    context: typer.Context,
    output: Annotated[Path, typer.Option(help="NIfTI label map to write, on the grid of the T1c file.")],
    t1: NiftiOption = None,
    t1c: NiftiOption = None,
    t2: NiftiOption = None,
    flair: NiftiOption = None,
    labels: Annotated[
        LabelScheme,
        typer.Option(help="0-1-2-4: NCR 1, ED 2, ET 4 as in BraTS until 2021. 0-1-2-3: ET 3 as since 2023."),
    ] = LabelScheme.UNTIL_2021,
    preprocessed: Annotated[
        bool, typer.Option("--preprocessed", help="Files are BraTS-like: co-registered and skull-stripped.")
    ] = False,
    model: Annotated[Optional[Path], typer.Option(help="Release folder; default: the configuration's.")] = None,
) -> None:
    """Outline the tumour on NIfTI files: all four, or as many as the release needs.

    Labels are written on the grid of the T1c file; without one on that of FLAIR, T2 or T1, the first that is there.
    """
    from bt_node.convert.nifti import write_nifti_labels  # noqa: PLC0415
    from bt_node.domain.study import Role  # noqa: PLC0415
    from bt_node.domain.tumour import Region  # noqa: PLC0415
    from bt_node.infer.brain import load_brain_finder  # noqa: PLC0415
    from bt_node.infer.device import choose_device, use_precision  # noqa: PLC0415
    from bt_node.infer.release import read_release  # noqa: PLC0415
    from bt_node.infer.segmenter import load_segmenter  # noqa: PLC0415
    from bt_node.judge.missing import assessable, what_it_means  # noqa: PLC0415
    from bt_node.pipeline.predict import segment_nifti  # noqa: PLC0415

    config = state_of(context).config
    release = read_release(model or config.models.folder / config.models.segmenter)
    use_precision(config.device.precision)
    device = choose_device(config.device.name)
    segmenter = load_segmenter(release, device)
    brain = None
    if config.models.brain and not preprocessed:
        brain = load_brain_finder(device)
    given = {Role.T1: t1, Role.T1C: t1c, Role.T2: t2, Role.FLAIR: flair}
    files = {role: path for role, path in given.items() if path is not None}
    found, cautions = segment_nifti(files, segmenter, brain, preprocessed=preprocessed)
    write_nifti_labels(output, found, enhancing=4 if labels is LabelScheme.UNTIL_2021 else 3)
    missing = [role for role in segmenter.roles if role not in files]
    sure = assessable(missing)
    volumes = [
        (region.value, f"{found.volume_ml(region):.2f}{'' if region in sure else ' (a guess)'}") for region in Region
    ]
    print_table("For research use only, not for diagnosis.", ("region", "ml"), volumes)
    for sentence in (*what_it_means(missing), *cautions):
        echo(f"Caution: {sentence}")
    if len(sure) < len(Region):
        echo("The file holds all labels as the network draws them; the node itself reports the whole tumour only.")


@app.command("classification")
def classification(
    context: typer.Context,
    images: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="PNG, JPEG or DICOM slices, or NIfTI volumes."),
    ],
    model: Annotated[Optional[Path], typer.Option(help="Release folder; default: the configuration's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Name the tumour type on axial T1c slices, each file by itself.

    A DICOM or NIfTI file that is known to show another plane or sequence is refused; a picture cannot tell.
    """
    from bt_node.infer.classifier import load_classifier  # noqa: PLC0415
    from bt_node.infer.device import choose_device  # noqa: PLC0415
    from bt_node.infer.release import read_release  # noqa: PLC0415
    from bt_node.pipeline.pictures import classify_files  # noqa: PLC0415

    config = state_of(context).config
    release = read_release(model or config.models.folder / config.models.classifier)
    classifier = load_classifier(release, choose_device(config.device.name))
    rows = [
        {
            "image": str(path),
            "tumour_type": answer.finding.top.value,
            "probabilities": {kind.value: round(p, 6) for kind, p in answer.finding.probabilities.items()},
            "slices_used": answer.finding.slices_used,
            "plane": answer.plane.value if answer.plane else "unknown",
            "sequence": answer.sequence.value if answer.sequence else "unknown",
            "note": answer.note,
            "release": answer.finding.release.name,
            "research_use_only": "For research use only, not for diagnosis.",
        }
        for path, answer in zip(images, classify_files(images, classifier), strict=True)
    ]
    if as_json:
        print_json(rows)
        return
    table = [(r["image"], r["tumour_type"], r["probabilities"]) for r in rows]
    print_table("For research use only, not for diagnosis.", ("image", "tumour type", "probabilities"), table)
    for note in dict.fromkeys(str(row["note"]) for row in rows if row["note"]):
        echo(note)
