"""Stage 7, back to the PACS: C-STORE SCU, one status per object. pynetdicom lives here."""
