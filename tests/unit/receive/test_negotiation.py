"""What the listener offers."""

from __future__ import annotations

import subprocess
import sys

from pydicom import uid
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from bt_node.receive.negotiation import MR_IMAGES, STORAGE_CLASSES, TRANSFER_SYNTAXES, supported_contexts


def test_every_storage_class_is_one_that_pynetdicom_serves_as_storage():
    assert all(uid_to_service_class(sop_class) is StorageServiceClass for sop_class in STORAGE_CLASSES)


def test_every_transfer_syntax_is_known_and_offered_once():
    assert len(set(TRANSFER_SYNTAXES)) == len(TRANSFER_SYNTAXES) == 16
    assert all(uid.UID(syntax).is_transfer_syntax for syntax in TRANSFER_SYNTAXES)


def test_uncompressed_comes_before_lossless_before_lossy():
    lossy = {uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit, uid.JPEGLSNearLossless, uid.JPEG2000, uid.HTJ2K}
    kinds = [2 if s in lossy else 1 if uid.UID(s).is_encapsulated else 0 for s in TRANSFER_SYNTAXES[:-1]]
    assert kinds == sorted(kinds)
    assert TRANSFER_SYNTAXES[-1] == uid.ExplicitVRBigEndian


def test_each_storage_context_has_all_transfer_syntaxes():
    contexts = {str(context.abstract_syntax): context for context in supported_contexts()}
    assert set(contexts) == STORAGE_CLASSES | {"1.2.840.10008.1.1", "1.2.840.10008.1.20.1"}
    assert all(contexts[sop_class].transfer_syntax == list(TRANSFER_SYNTAXES) for sop_class in STORAGE_CLASSES)


def test_only_grey_mr_images_can_play_a_role():
    assert {
        "1.2.840.10008.5.1.4.1.1.4",
        "1.2.840.10008.5.1.4.1.1.4.1",
        "1.2.840.10008.5.1.4.1.1.4.4",
    } == MR_IMAGES


def test_the_listener_is_imported_without_the_gpu_stack_or_the_image_libraries():
    heavy = ("torch", "monai", "SimpleITK", "highdicom", "sqlalchemy", "scipy")
    code = f"import sys, bt_node.receive; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
