"""Stored values of one frame, decoded from any transfer syntax and rescaled."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from bt_node.domain.errors import PixelDataError, SpoolFileMissingError
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import SliceFacts

log = logging.getLogger(__name__)

# pydicom and its decoders raise nearly everything for bad input; this is the edge where it becomes one verdict.
_DECODING_FAILED = (
    BytesLengthException,
    InvalidDicomError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

_JPEG_SYNTAXES = frozenset({*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes})
_END_OF_IMAGE = b"\xff\xd9"  # EOI, ISO/IEC 10918-1 Table B.1 and 14495-1 C.1.1
_LONGEST_PADDING = 16  # fragments are padded to even length (PS3.5 A.4); some encoders pad to more


class Instance:
    """One open DICOM instance whose frames are decoded on demand, so that a multi-frame file is parsed once."""

    def __init__(self, sop_instance_uid: str, dataset: pydicom.FileDataset) -> None:
        self._uid = sop_instance_uid
        self._dataset = dataset

    def frame(self, facts: SliceFacts) -> ImageArray:
        """Decode one frame and apply its slope and intercept.

        Args:
            facts: the slice; its frame index, matrix, slope and intercept are used.

        Returns:
            float32 (Y, X) in the scanner's unit: slope × stored + intercept (PS3.3 C.11.1.1.2); 0, as where nothing
            was scanned, in pixels that are padding (PS3.3 C.7.5.1.1.2).

        Raises:
            PixelDataError: colour, truncated or absent pixel data, an undecodable syntax, or another matrix than
                the header of the slice says.
        """
        with _as_pixel_data_error(self._uid):
            self._refuse_other_than_monochrome2()
            self._refuse_cut_off_stream(facts.frame)
            # pydicom clears the bits above BitsStored, where old files keep an overlay (PS3.5 8.1.1).
            stored = np.asarray(pixel_array(self._dataset, index=facts.frame, raw=True))
        if stored.shape != (facts.rows, facts.columns):
            raise PixelDataError(
                self._uid, f"the frame is {stored.shape}, the header says {facts.rows, facts.columns}"
            )
        values = (stored.astype(np.float64) * facts.slope + facts.intercept).astype(np.float32)
        if not np.isfinite(values).all():  # float pixels (PS3.3 C.7.6.24) may hold anything
            raise PixelDataError(self._uid, "it holds values that are no numbers")
        padding = self._padding()
        if padding is not None:
            values[(stored >= padding[0]) & (stored <= padding[1])] = 0.0
        return values

    def _padding(self) -> tuple[int, int] | None:
        """Least and largest stored value that stands for no pixel; None where there is none."""
        value = self._dataset.get("PixelPaddingValue")
        limit = self._dataset.get("PixelPaddingRangeLimit", value)
        if not (isinstance(value, int) and isinstance(limit, int)):
            return None
        return min(value, limit), max(value, limit)

    def _refuse_other_than_monochrome2(self) -> None:
        photometric = str(self._dataset.get("PhotometricInterpretation", ""))
        if photometric == "MONOCHROME1":
            # Permitted for MR (PS3.3 C.8.3.1.1.2), though no scanner file here has it: dark would mean much signal,
            # and whether a file means that or is mislabelled cannot be told from it.
            raise PixelDataError(self._uid, "it is stored inverted (MONOCHROME1)")
        if int(self._dataset.get("SamplesPerPixel", 1)) != 1 or photometric != "MONOCHROME2":
            raise PixelDataError(self._uid, "it is no grey-scale image")

    def _refuse_cut_off_stream(self, frame: int) -> None:
        """JPEG and JPEG-LS decoders fill the rest of a cut-off image with grey and say nothing."""
        if self._dataset.file_meta.TransferSyntaxUID not in _JPEG_SYNTAXES:
            return
        frames = int(self._dataset.get("NumberOfFrames", 1) or 1)
        stream = get_frame(self._dataset.PixelData, frame, number_of_frames=frames)
        if _END_OF_IMAGE not in stream[-_LONGEST_PADDING:]:
            raise PixelDataError(self._uid, f"frame {frame + 1} ends before its end-of-image marker")


def open_instance(sop_instance_uid: str, path: Path) -> Instance:
    """Parse one instance with its pixel data.

    Raises:
        SpoolFileMissingError: the file is not there.
        PixelDataError: it is no DICOM file, or it ends before its pixel data.
    """
    if not path.is_file():
        raise SpoolFileMissingError(sop_instance_uid)
    with _as_pixel_data_error(sop_instance_uid):
        dataset = pydicom.dcmread(path)
    if "PixelData" not in dataset:
        raise PixelDataError(sop_instance_uid, "the pixel data is absent or cut off")
    return Instance(sop_instance_uid, dataset)


@contextmanager
def _as_pixel_data_error(sop_instance_uid: str) -> Iterator[None]:
    try:
        yield
    except PixelDataError:
        raise
    except _DECODING_FAILED as error:
        # The decoder's own words go to the log at debug level only: they may quote header values.
        log.debug("decoding instance %s failed", sop_instance_uid, exc_info=True)
        raise PixelDataError(sop_instance_uid, f"the decoder failed ({type(error).__name__})") from error
