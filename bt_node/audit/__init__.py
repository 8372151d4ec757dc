"""The audit trail as others read it: messages after PS3.15 A.5, sent by syslog."""
