"""The DICOM edge: `listener` and `association` await sockets, everything else here is plain functions in threads."""
