"""Stage 1, from the PACS: C-STORE SCP and durable spool. pynetdicom lives here."""
