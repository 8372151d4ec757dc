"""Stage 6, findings as DICOM: codes, UIDs by content, SEG, TID 1500 SR. highdicom lives here."""
