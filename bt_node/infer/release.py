"""Model releases: a folder with `manifest.toml`, `weights.safetensors` and `MODEL_CARD.md`.

Reading a manifest needs no torch, so `bt-node models list` starts at once. Weights are safetensors and load only
when their SHA-256 is the one the manifest names; no pickle is ever read.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bt_node.domain.errors import ReleaseError, WeightsMismatchError
from bt_node.domain.study import Role
from bt_node.domain.tumour import LEAST_TYPE_PROBABILITY, Region, ReleaseIdentity, TumourType

MANIFEST = "manifest.toml"
_SCORED_REGIONS = (Region.WT, Region.TC, Region.ET)

Fraction = Annotated[float, Field(gt=0, lt=1)]
Millilitres = Annotated[float, Field(ge=0)]
Axis = Literal["Z", "Y", "X"]


class _Table(BaseModel):
    """A manifest table: frozen, and a key it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSpec(_Table):
    """`[network]`: which builder, with which arguments (see `bt_node.infer.networks.build`)."""

    architecture: str
    arguments: Mapping[str, Any] = Field(default_factory=dict)
    members: Annotated[int, Field(ge=1, le=16)] = 1  # networks of this kind in the weights file; answers are averaged


class WeightsSpec(_Table):
    """`[weights]`: a file beside the manifest, its hash and the precision it is stored in."""

    file: Annotated[str, Field(pattern=r"^[\w.-]+\.safetensors$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    dtype: Literal["float16", "bfloat16", "float32"]


class SegmenterInput(_Table):
    """`[input]` of a segmenter: channel order, grid and normalisation that training used."""

    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    needs_one_of: tuple[Role, ...] = ()  # it answers for any subset that holds one of these; empty: all are needed
    spacing_mm: tuple[float, float, float]
    orientation: Literal["LPS"]
    normalisation: Literal["zscore-brain"]
    patch: tuple[int, int, int]  # (Z, Y, X) voxels of one sliding window
    overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5  # of neighbouring windows, along each axis
    flips: tuple[Axis, ...] = ()  # mirrored along each set of these axes as well, and the answers averaged

    @model_validator(mode="after")
    def _each_role_once(self) -> SegmenterInput:
        if len(set(self.roles)) != len(self.roles):
            raise ValueError(f"roles repeat: {[role.value for role in self.roles]}")
        unread = [role.value for role in self.needs_one_of if role not in self.roles]
        if unread or len(set(self.needs_one_of)) != len(self.needs_one_of):
            raise ValueError(f"needs_one_of must name some of the roles, each once; not among them: {unread}")
        if len(set(self.flips)) != len(self.flips):
            raise ValueError(f"flips repeat: {list(self.flips)}")
        return self

    def lacking(self, given: Collection[Role]) -> tuple[Role, ...]:
        """What keeps the release from answering on `given` sequences; empty when it can.

        Where `needs_one_of` is empty these are the roles that are not given, and each is needed. Otherwise they are
        `needs_one_of`, and any one of them would do.
        """
        if self.needs_one_of:
            return () if set(self.needs_one_of) & set(given) else self.needs_one_of
        return tuple(role for role in self.roles if role not in given)


class SegmenterOutput(_Table):
    """`[output]` of a segmenter: nested regions in channel order, and how probabilities become labels."""

    regions: tuple[Region, ...]
    thresholds: tuple[Fraction, ...]  # probability above which a voxel belongs to the region of the same place
    min_component_ml: tuple[Millilitres, ...]  # smaller connected parts of the region are dropped
    min_region_ml: tuple[Millilitres, ...] = (0.0, 0.0, 0.0)  # a region that is smaller in all is dropped whole
    # What the network's channels are: one for each nested region (sigmoid), or background, NCR, ED and ET, of which a
    # voxel is one (softmax); these are summed to the regions.
    channels: Literal["nested", "exclusive"] = "nested"

    @model_validator(mode="after")
    def _one_of_each(self) -> SegmenterOutput:
        if self.regions != _SCORED_REGIONS:
            raise ValueError(f"regions must be {[region.value for region in _SCORED_REGIONS]}")
        values = (self.thresholds, self.min_component_ml, self.min_region_ml)
        if any(len(each) != len(self.regions) for each in values):
            raise ValueError("thresholds, min_component_ml and min_region_ml must have one entry each per region")
        return self


class ClassifierInput(_Table):
    """`[input]` of a classifier: which slices it reads, and how they are scaled."""

    size: Annotated[int, Field(ge=32)]
    plane: Literal["axial"]
    sequence: Role
    normalisation: str


class ClassifierOutput(_Table):
    """`[output]` of a classifier: classes in channel order, and how logits become calibrated probabilities."""

    classes: tuple[TumourType, ...]
    temperature: Annotated[float, Field(gt=0)] = 1.0
    mirror_average: bool = False  # logits are the mean over a picture and its left-right mirror image
    # Below it, given that there is a tumour, no type is named; measured by the run that made the release.
    least_type_probability: Fraction = LEAST_TYPE_PROBABILITY

    @model_validator(mode="after")
    def _every_class_once(self) -> ClassifierOutput:
        if len(self.classes) != len(TumourType) or set(self.classes) != set(TumourType):
            raise ValueError(f"classes must name each of {[kind.value for kind in TumourType]} once")
        return self


class Intended(_Table):
    """`[intended]`: whom the release is meant for. What is left out is not limited."""

    min_age_years: Annotated[float, Field(ge=0)] | None = None  # studies of younger patients are held for a person


class _ManifestBase(_Table):
    """What every manifest holds; `input` and `output` depend on the kind."""

    schema_version: Annotated[Literal[1], Field(alias="schema")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    version: Annotated[str, Field(min_length=1, max_length=32)]
    network: NetworkSpec
    weights: WeightsSpec
    intended: Intended = Intended()
    training: Mapping[str, Any] = Field(default_factory=dict)  # told by the run that made it; for people and reports


class SegmenterManifest(_ManifestBase):
    """A segmenter's whole manifest."""

    kind: Literal["segmenter"]
    input: SegmenterInput
    output: SegmenterOutput


class ClassifierManifest(_ManifestBase):
    """A classifier's whole manifest."""

    kind: Literal["classifier"]
    input: ClassifierInput
    output: ClassifierOutput


Manifest = SegmenterManifest | ClassifierManifest
_KINDS: Mapping[str, type[Manifest]] = {
    "segmenter": SegmenterManifest,
    "classifier": ClassifierManifest,
}


@dataclass(frozen=True)
class Release:
    """A release whose manifest is sound. Whether its weights are the ones it names, `verify_weights` says."""

    folder: Path
    manifest: Manifest

    @property
    def kind(self) -> Literal["segmenter", "classifier"]:
        """What the release does."""
        return self.manifest.kind

    @property
    def identity(self) -> ReleaseIdentity:
        """Name, version and weights hash, as reports and result objects cite them."""
        return ReleaseIdentity(self.manifest.name, self.manifest.version, self.manifest.weights.sha256)

    @property
    def weights_path(self) -> Path:
        """The weights file, beside the manifest."""
        return self.folder / self.manifest.weights.file


def read_release(folder: Path) -> Release:
    """Read and check a release's manifest. The weights are not read.

    Raises:
        ReleaseError: no manifest, not TOML, or a table that is missing or wrong (all problems in one message).
    """
    path = folder / MANIFEST
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReleaseError(folder.name, f"{MANIFEST} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReleaseError(folder.name, f"{MANIFEST} is not TOML: {error}") from error
    shape = _KINDS.get(str(raw.get("kind")))
    if shape is None:
        raise ReleaseError(folder.name, f"{MANIFEST}: kind is {raw.get('kind')!r}; known are {', '.join(_KINDS)}")
    try:
        return Release(folder, shape.model_validate(raw))
    except ValidationError as error:
        raise ReleaseError(folder.name, f"{MANIFEST}: {_problems(error)}") from error


def list_releases(folder: Path) -> tuple[Release, ...]:
    """All releases that are direct children of `folder`, by folder name; folders without a manifest are not releases.

    Raises:
        ReleaseError: a manifest is wrong.
    """
    if not folder.is_dir():
        return ()
    return tuple(read_release(path.parent) for path in sorted(folder.glob(f"*/{MANIFEST}")))


def verify_weights(release: Release) -> None:
    """Make sure that the weights file is there and is the one the manifest names.

    Raises:
        ReleaseError: the file cannot be read.
        WeightsMismatchError: its SHA-256 differs.
    """
    read_verified_weights(release)


def read_verified_weights(release: Release) -> bytes:
    """Read the weights file once, check its hash, and return the very bytes that were checked.

    Raises:
        ReleaseError: the file cannot be read.
        WeightsMismatchError: its SHA-256 differs.
    """
    try:
        content = release.weights_path.read_bytes()
    except OSError as error:
        raise ReleaseError(
            release.folder.name, f"{release.manifest.weights.file} cannot be read: {error.strerror}"
        ) from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != release.manifest.weights.sha256:
        raise WeightsMismatchError(release.folder.name, release.manifest.weights.sha256, actual)
    return content


def _problems(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'manifest'}: {item['msg']}" for item in error.errors())
