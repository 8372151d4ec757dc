"""Stage 1, from the PACS: C-STORE SCP and durable spool. pynetdicom lives here.

Nothing is imported here: commands of the job book ask the spool for its free space, and must not load pynetdicom.
"""
