"""Who made the objects, when, and with which models: attributes that SEG and SR share."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO
from itertools import chain
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.valuerep import VR

from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.domain.tumour import Region, ReleaseIdentity
from bt_node.encode import codes
from bt_node.encode.request import EncodeRequest, NodeIdentity
from bt_node.encode.uids import PLACEHOLDERS, content_uids, release_uid
from bt_node.encode.words import long_string, series_description

# One block of series numbers for each kind, far from the scanner's own.
SERIES_NUMBERS = {
    ResultKind.SEG: 9001,
    ResultKind.SEG_DERIVED: 9002,
    ResultKind.SR: 9101,
    ResultKind.NOT_ANSWERED: 9102,
}
_OFFSET = re.compile(r"[+-](0[0-9]|1[0-4])[0-5][0-9]", re.ASCII)  # PS3.3 C.12.1.1: "-1200" to "+1400"


@dataclass(frozen=True)
class Place:
    """Which of several series a SEG lies on: 0 for the one that counts; of others the title names the sequence."""

    number: int
    sequence: str = ""


FIRST = Place(0)
_NUMBERS_PER_PLACE = 10


def common_attributes(
    kind: ResultKind, request: EncodeRequest, when: datetime, place: Place = FIRST
) -> dict[str, Any]:
    """Keyword arguments that every highdicom constructor here takes: equipment, time, placeholders for UIDs."""
    description = series_description(
        kind, request.findings.cautions, whole_alone=request.outlined == (Region.WT,), sequence=place.sequence
    )
    own = {
        "series_number": SERIES_NUMBERS[kind] + _NUMBERS_PER_PLACE * place.number,
        "series_description": description,
    }
    return identifying_attributes(kind, request.node, when) | own


def identifying_attributes(kind: ResultKind, node: NodeIdentity, when: datetime) -> dict[str, Any]:
    """The same without what depends on findings, but for the series description."""
    return {
        "series_instance_uid": PLACEHOLDERS["series"],
        "series_number": SERIES_NUMBERS[kind],
        "sop_instance_uid": PLACEHOLDERS["instance"],
        "instance_number": 1,
        "manufacturer": long_string(node.manufacturer),
        "manufacturer_model_name": long_string(node.model_name),
        "software_versions": long_string(node.version),
        "device_serial_number": long_string(node.serial),
        "content_date": when.date(),
        "content_time": when.time(),
        "series_date": when.date(),
        "series_time": when.time(),
        # Set afterwards, as the source has it: highdicom's list lacks legal values such as an empty first one.
        "specific_character_set": None,
    }


def contributing_equipment(release: ReleaseIdentity, request: EncodeRequest, when: datetime) -> Any:
    """One item for each model (IHE AIR): name, version, and a Device UID that changes with the weights."""
    item = hd.ContributingEquipment(
        manufacturer=long_string(request.node.manufacturer),
        purpose_of_reference=codes.PROCESSING_EQUIPMENT,
        manufacturer_model_name=long_string(release.name),
        software_versions=long_string(release.version),
        contribution_datetime=when,
        contribution_description=f"AI model, weights SHA-256 {release.weights_sha256}",
    )
    item.DeviceUID = release_uid(release)
    return item


def wall_clock(analysed_at: datetime, patient: Dataset) -> datetime:
    """`analysed_at` in the source's time zone where it names one, for one offset rules a whole data set."""
    offset = str(patient.get("TimezoneOffsetFromUTC") or "")
    if not _OFFSET.fullmatch(offset):
        return analysed_at
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return analysed_at.astimezone(timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))


def finish(dataset: Dataset, kind: ResultKind, patient: Dataset, when: datetime) -> EncodedObject:
    """Replace what is random or of this moment, write the Part 10 file, and name it after what it says.

    `dataset` has its own UIDs afterwards, so that later objects can refer to it.
    """
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = when.strftime("%Y%m%d"), when.strftime("%H%M%S")
    for keyword in ("SpecificCharacterSet", "TimezoneOffsetFromUTC"):
        if patient.get(keyword):
            dataset.add(patient[keyword])
    # highdicom adds itself as the last item, with the time of this moment.
    dataset.ContributingEquipmentSequence[-1].ContributionDateTime = when.strftime("%Y%m%d%H%M%S")
    if "DimensionOrganizationSequence" in dataset:
        _one_organization(dataset, PLACEHOLDERS["dimensions"])
    _rename(dataset, content_uids(_part_10(dataset)))
    return EncodedObject(
        kind=kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        series_number=int(dataset.SeriesNumber),
        content=_part_10(dataset),
    )


def _one_organization(dataset: Dataset, uid: str) -> None:
    """Replace the UID that highdicom draws by lot."""
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = uid
    for item in dataset.DimensionIndexSequence:
        item.DimensionOrganizationUID = uid


def _rename(dataset: Dataset, names: Mapping[str, str]) -> None:
    """Put each UID in the place of its placeholder, wherever that stands."""
    for element in chain(dataset.file_meta, dataset.iterall()):
        if element.VR == VR.UI and element.value in names:
            element.value = names[element.value]


def _part_10(dataset: Dataset) -> bytes:
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
