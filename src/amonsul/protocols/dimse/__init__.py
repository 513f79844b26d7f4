"""DIMSE messages (PS3.7): commands as values, their bytes, and the way between messages and P-DATA fragments."""
