"""Seconds per study of the segmenter beside MONAI's plain sliding window, and training steps per second.

    python -m bench.inference                                   a generated head of BraTS size
    python -m bench.inference --data DIR --case NAME            a real case
    python -m bench.inference --recipe training/recipes/segmenter.toml

Both sides have the same weights, windows and overlap, and run in turns in the same process. Ours is what the node
does: only the brain's bounding box, Gaussian blending, bfloat16 where the processor has it, weights channels-last.
Theirs is `sliding_window_inference(image, roi, 1, network, overlap)` in float32 over the whole volume, as its
tutorials have it. The ratio is theirs divided by ours, round by round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from rich.console import Console
from rich.table import Table

from bench.machine import describe_machine
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Role
from bt_node.infer.device import choose_device, has_fast_bfloat16, use_threads
from bt_node.infer.release import Release, read_release
from bt_node.infer.segmenter import Segmenter, load_segmenter
from training.segmenter.cases import find_cases
from training.segmenter.patches import PatchSource
from training.segmenter.prepared import PreparedCase, cached_cases
from training.segmenter.recipe import read_recipe
from training.segmenter.train import Trainer

BRATS_SHAPE, BRAIN_SHAPE = (155, 240, 240), (140, 175, 135)  # (Z, Y, X); the second as BraTS brains have it
REPOSITORY = Path(__file__).resolve().parent.parent


def a_brain(roles: tuple[Role, ...]) -> PreparedCase:
    """Noise in an ellipsoid of a brain's size, with a ball of tumour: networks take the same time on it."""
    rng = np.random.default_rng(0)
    axes = [np.linspace(-1, 1, size) for size in BRAIN_SHAPE]
    radius = np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))
    images = (rng.normal(size=(len(roles), *BRAIN_SHAPE)) * (radius < 1)).astype(np.float16)
    return PreparedCase("generated", images, np.where(radius < 0.2, 3, 0).astype(np.uint8))


def in_whole_volume(case: PreparedCase, roles: tuple[Role, ...]) -> dict[Role, ImageArray]:
    """The case in the middle of a volume of BraTS size, zeros around it."""
    wanted = [max(full, size) for full, size in zip(BRATS_SHAPE, case.labels.shape, strict=True)]
    starts = [(full - size) // 2 for full, size in zip(wanted, case.labels.shape, strict=True)]
    box = tuple(slice(start, start + size) for start, size in zip(starts, case.labels.shape, strict=True))
    volume = np.zeros((len(roles), *wanted), dtype=np.float32)
    volume[(slice(None), *box)] = case.inputs
    return dict(zip(roles, volume, strict=True))


def plain_network(release: Release, device: torch.device) -> torch.nn.Module:
    """The release's network as MONAI's tutorials would hold it: float32, plain memory layout."""
    network = load_segmenter(release, device).network
    return network.to(memory_format=torch.contiguous_format).eval()


def plain_inference(
    network: torch.nn.Module, segmenter: Segmenter, inputs: dict[Role, ImageArray]
) -> Callable[[], ImageArray]:
    image = np.stack([inputs[role] for role in segmenter.roles])[None]

    def infer() -> ImageArray:
        with torch.inference_mode():
            batch = torch.from_numpy(image).to(segmenter.device)
            logits = sliding_window_inference(
                batch, segmenter.input.patch, 1, network, overlap=segmenter.input.overlap
            )
            return logits.sigmoid()[0].cpu().numpy()

    return infer


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def inference(release: Release, case: PreparedCase, device: torch.device, rounds: int, console: Console) -> None:
    segmenter = load_segmenter(release, device)
    inputs = in_whole_volume(case, segmenter.roles)
    ours = lambda: segmenter.predict(inputs)  # noqa: E731
    theirs = plain_inference(plain_network(release, device), segmenter, inputs)
    first, second = ours(), theirs()  # warms up; and both must outline the same
    rules = np.array(segmenter.output.thresholds)[:, None, None, None]
    inside = np.stack([inputs[role] for role in segmenter.roles]).any(axis=0)
    same = float(((first > rules) == (second > rules))[:, inside].mean())
    pairs = [(timed(ours), timed(theirs)) for _ in range(rounds)]
    ratios = [plain / node for node, plain in pairs]
    precision = "bfloat16" if has_fast_bfloat16(device) else "float32"
    table = Table("inference of one study", "seconds (median)", "min to max")
    for name, seconds in zip(
        (f"bt-node ({precision}, brain's box)", "MONAI (float32, whole volume)"),
        zip(*pairs, strict=True),
        strict=True,
    ):
        table.add_row(name, f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f} to {max(seconds):.2f}")
    table.add_row("MONAI / bt-node", f"{statistics.median(ratios):.1f}", f"{min(ratios):.1f} to {max(ratios):.1f}")
    console.print(table)
    print(
        f"{release.identity.name} {release.identity.version}, {case.name}, brain {case.labels.shape}, windows "
        f"{segmenter.input.patch}, overlap {segmenter.input.overlap:g}, {rounds} rounds; "
        f"{same:.3%} of voxels in the brain on the same side of the threshold"
    )


def training(recipe_path: Path, device: torch.device, rounds: int, console: Console) -> None:
    recipe = read_recipe(recipe_path)
    trainer = Trainer(recipe, device)
    source = PatchSource(
        [a_brain(recipe.data.roles)], recipe.data.roles, recipe.sampling, recipe.augmentation, recipe.seed
    )
    batches = [timed(lambda step=step: source.batch(step)) for step in range(rounds)]
    batch = source.batch(rounds)
    trainer.train_step(*batch)
    steps = [timed(lambda: trainer.train_step(*batch)) for _ in range(rounds)]
    table = Table("training", "a second (median)", "min to max")
    for name, seconds in {"steps of gradient descent": steps, "batches of patches": batches}.items():
        rates = [1 / each for each in seconds]
        table.add_row(name, f"{statistics.median(rates):.2f}", f"{min(rates):.2f} to {max(rates):.2f}")
    console.print(table)
    patch = "×".join(map(str, recipe.sampling.patch))
    print(f"{recipe_path.name}: {recipe.sampling.batch} patches of {patch} a step; {rounds} rounds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=Path, help="the newest segmenter of models/ where left out")
    parser.add_argument("--data", type=Path, help="folder of cases; left out: a generated head")
    parser.add_argument("--case", help="name of the case, with --data")
    parser.add_argument("--recipe", type=Path, default=REPOSITORY / "training" / "recipes" / "segmenter.toml")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="0: all cores")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    use_threads(options.threads)
    device, console = choose_device(options.device), Console()
    print(f"{describe_machine()}, {torch.get_num_threads()} threads, {device}")
    release = read_release(options.release or max((REPOSITORY / "models").glob("bt-segmenter-*")))
    with TemporaryDirectory() as scratch:
        roles = load_segmenter(release, device).roles
        case = a_brain(roles)
        if options.data:
            named = [each for each in find_cases(options.data).cases if each.name == options.case]
            if not named:
                parser.error(f"no case {options.case} under {options.data}")
            [case] = cached_cases(named, roles, Path(scratch))
        inference(release, case, device, options.rounds, console)
    training(options.recipe, device, options.rounds, console)


if __name__ == "__main__":
    main()
