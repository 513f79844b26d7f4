"""What the DICOM Standard says, as plain functions and values; nothing here does I/O.

Sections are cited from edition 2024d.
"""

EDITION = "2024d"
