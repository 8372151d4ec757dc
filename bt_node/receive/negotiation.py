"""What the listener offers in association negotiation: SOP classes, transfer syntaxes and their order.

The limit of 128 presentation contexts (PS3.8 9.3.2.2: odd IDs up to 255) binds the requestor only; an acceptor may
support any number of abstract syntaxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydicom import uid
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor

VERIFICATION = "1.2.840.10008.1.1"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"  # Push Model SOP Class, PS3.4 Annex J
STORAGE_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # its well-known SOP Instance
_LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"  # newer than pydicom's constants

# A UUID-derived UID (PS3.5 B.2), made once from uuid5(NAMESPACE_URL, "https://bt-node/implementation").
IMPLEMENTATION_CLASS_UID = "2.25.101835705975922228404498409806008161166"
IMPLEMENTATION_VERSION_NAME = "BT_NODE_0.1"

# Hold a grey image that can play T1, T1C, T2 or FLAIR.
MR_IMAGES: frozenset[str] = frozenset(
    {uid.MRImageStorage, uid.EnhancedMRImageStorage, uid.LegacyConvertedEnhancedMRImageStorage}
)

# Travel with a study: kept, never read as one of the four MR roles.
COMPANIONS: tuple[str, ...] = (
    uid.EnhancedMRColorImageStorage,
    uid.MRSpectroscopyStorage,
    uid.CTImageStorage,
    uid.EnhancedCTImageStorage,
    uid.LegacyConvertedEnhancedCTImageStorage,
    uid.PositronEmissionTomographyImageStorage,
    uid.EnhancedPETImageStorage,
    uid.LegacyConvertedEnhancedPETImageStorage,
    uid.NuclearMedicineImageStorage,
    uid.ParametricMapStorage,
    uid.RawDataStorage,
    uid.SegmentationStorage,
    _LABEL_MAP_SEGMENTATION,
    uid.SurfaceSegmentationStorage,
    uid.TractographyResultsStorage,
    uid.SpatialRegistrationStorage,
    uid.SpatialFiducialsStorage,
    uid.DeformableSpatialRegistrationStorage,
    uid.RealWorldValueMappingStorage,
    uid.BasicTextSRStorage,
    uid.EnhancedSRStorage,
    uid.ComprehensiveSRStorage,
    uid.Comprehensive3DSRStorage,
    uid.ExtensibleSRStorage,
    uid.AcquisitionContextSRStorage,
    uid.XRayRadiationDoseSRStorage,
    uid.RadiopharmaceuticalRadiationDoseSRStorage,
    uid.PerformedImagingAgentAdministrationSRStorage,
    uid.KeyObjectSelectionDocumentStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.ColorSoftcopyPresentationStateStorage,
    uid.PseudoColorSoftcopyPresentationStateStorage,
    uid.BlendingSoftcopyPresentationStateStorage,
    uid.GrayscalePlanarMPRVolumetricPresentationStateStorage,
    uid.AdvancedBlendingPresentationStateStorage,
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameSingleBitSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    uid.EncapsulatedPDFStorage,
    uid.EncapsulatedCDAStorage,
    uid.RTStructureSetStorage,
    uid.RTPlanStorage,
    uid.RTDoseStorage,
    uid.RTImageStorage,
)

STORAGE_CLASSES: frozenset[str] = MR_IMAGES | frozenset(COMPANIONS)

# Uncompressed first, then lossless, then lossy: the first that the peer also proposes is chosen, so a peer that can
# send an image as it was made does so. Big Endian is retired (PS3.5 2016b) and last; old scanners have nothing else.
TRANSFER_SYNTAXES: tuple[str, ...] = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.JPEGLosslessSV1,
    uid.JPEGLossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.RLELossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.JPEGBaseline8Bit,
    uid.JPEGExtended12Bit,
    uid.JPEGLSNearLossless,
    uid.JPEG2000,
    uid.HTJ2K,
    uid.ExplicitVRBigEndian,
)

_APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # PS3.7 A.2.1
_HEADER_OF_REQUEST = b"\x01\x00\x00\x00\x00\x00"  # pynetdicom's decoder counts from the PDU's first byte

_ECHO_SYNTAXES = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)


def supported_contexts() -> list[PresentationContext]:
    """Fresh presentation contexts for negotiation: C-ECHO, C-STORE and storage commitment, as SCP.

    For storage commitment both roles: a PACS that reports on its own association calls as SCP (PS3.4 J.3.3).
    """
    storage = [build_context(sop_class, list(TRANSFER_SYNTAXES)) for sop_class in sorted(STORAGE_CLASSES)]
    commitment = build_context(STORAGE_COMMITMENT, list(_ECHO_SYNTAXES))
    commitment.scu_role = commitment.scp_role = True
    return [build_context(VERIFICATION, list(_ECHO_SYNTAXES)), commitment, *storage]


@dataclass(frozen=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ: who calls whom (padding removed), and what pynetdicom made of the rest."""

    calling: str
    called: str
    primitive: Any


@dataclass(frozen=True)
class AcceptedContext:
    """A presentation context in which both may talk."""

    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True)
class Agreement:
    """What was negotiated.

    Attributes:
        pdu: the A-ASSOCIATE-AC, encoded.
        contexts: accepted contexts by their ID.
        max_pdu_bytes: longest P-DATA-TF that the peer takes (PS3.8 D.1); 0 means any.
    """

    pdu: bytes
    contexts: dict[int, AcceptedContext]
    max_pdu_bytes: int


def read_request(body: bytes) -> AssociateRequest:
    """Read the body of an A-ASSOCIATE-RQ.

    Raises:
        ValueError: it is none (whatever pynetdicom raises on bytes that are not what it expects).
    """
    try:
        pdu = A_ASSOCIATE_RQ()
        pdu.decode(_HEADER_OF_REQUEST + body)
        primitive = pdu.to_primitive()
        return AssociateRequest(
            (primitive.calling_ae_title or "").strip(), (primitive.called_ae_title or "").strip(), primitive
        )
    except Exception as error:
        raise ValueError(f"no A-ASSOCIATE-RQ: {type(error).__name__}") from error


def agree(request: AssociateRequest, supported: list[PresentationContext], max_pdu_bytes: int) -> Agreement:
    """Negotiate presentation contexts and roles as acceptor (PS3.7 D.3, PS3.8 7.1.1.13).

    Raises:
        ValueError: the request holds what cannot be answered.
    """
    try:
        return _agree(request.primitive, supported, max_pdu_bytes)
    except Exception as error:
        raise ValueError(f"no answer to this A-ASSOCIATE-RQ: {type(error).__name__}") from error


def _agree(request: Any, supported: list[PresentationContext], max_pdu_bytes: int) -> Agreement:
    proposed = [item for item in request.user_information if isinstance(item, SCP_SCU_RoleSelectionNegotiation)]
    answered: tuple[list[Any], list[Any]] = negotiate_as_acceptor(
        request.presentation_context_definition_list,
        supported,
        {item.sop_class_uid: (item.scu_role, item.scp_role) for item in proposed if item.sop_class_uid},
    )
    results, roles = answered
    primitive = A_ASSOCIATE()
    primitive.application_context_name = uid.UID(_APPLICATION_CONTEXT)
    primitive.calling_ae_title, primitive.called_ae_title = request.calling_ae_title, request.called_ae_title
    primitive.result, primitive.result_source = 0, 1
    primitive.presentation_context_definition_results_list = results
    primitive.user_information = [*_about_us(max_pdu_bytes), *roles]
    contexts = {
        context.context_id: AcceptedContext(str(context.abstract_syntax), str(context.transfer_syntax[0]))
        for context in results
        if context.result == 0
    }
    return Agreement(A_ASSOCIATE_AC(primitive).encode(), contexts, int(request.maximum_length_received or 0))


def _about_us(max_pdu_bytes: int) -> list[Any]:
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu_bytes
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = uid.UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, implementation, version]
