"""What the listener offers in association negotiation: SOP classes, transfer syntaxes and their order.

The limit of 128 presentation contexts (PS3.8 9.3.2.2: odd IDs up to 255) binds the requestor only; an acceptor may
support any number of abstract syntaxes.
"""

from __future__ import annotations

from pydicom import uid
from pynetdicom.presentation import PresentationContext, build_context

VERIFICATION = "1.2.840.10008.1.1"
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

_ECHO_SYNTAXES = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian)


def supported_contexts() -> list[PresentationContext]:
    """Fresh presentation contexts for an association server: C-ECHO and C-STORE, as SCP."""
    storage = [build_context(sop_class, list(TRANSFER_SYNTAXES)) for sop_class in sorted(STORAGE_CLASSES)]
    return [build_context(VERIFICATION, list(_ECHO_SYNTAXES)), *storage]
