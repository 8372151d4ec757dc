"""Stage 6, findings as DICOM: codes, repeatable UIDs, SEG, TID 1500 SR. highdicom lives here."""
