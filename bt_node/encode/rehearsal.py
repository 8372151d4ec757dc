"""Before anything is computed: can results be made from these headers at all?

What is wrong with a header is wrong at each attempt. Found here, it costs no run of the models, and is said in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from bt_node.domain.errors import BtNodeError, HeaderError, ReadBackError
from bt_node.domain.study import StackedSeries
from bt_node.encode.not_answered import Unanswered, encode_not_answered
from bt_node.encode.quiet import no_patient_text
from bt_node.encode.request import NodeIdentity
from bt_node.encode.source import read_source


def require_usable_headers(
    reference: StackedSeries, paths: Mapping[str, Path], node: NodeIdentity, when: datetime
) -> None:
    """Read the headers as `encode_results` will, and make a small report of them, which is thrown away.

    Args:
        reference: a series that gets an outline.
        paths: file of each instance that results will name, by SOPInstanceUID.
        node: who would speak.
        when: when the analysis began.

    Raises:
        HeaderError: results cannot be made.
        GeometryError: the series has more than one Frame of Reference.
        SpoolFileMissingError: an input file is gone.
    """
    first = reference.slices[0].sop_instance_uid
    try:
        with no_patient_text():
            read_source(reference, paths)
        encode_not_answered(Unanswered({first: paths[first]}, "rehearsal", when, node))
    except ReadBackError as error:
        raise HeaderError(
            reference.series_instance_uid, "what is written with them reads back differently"
        ) from error
    except (BtNodeError, OSError, MemoryError):
        raise
    except Exception as error:
        # The text of a foreign error may quote a header value.
        raise HeaderError(reference.series_instance_uid, f"unforeseen {type(error).__name__}") from error
