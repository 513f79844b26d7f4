"""Amonsul: a DICOM server driven over REST, DICOM networking and DICOMweb."""

__version__ = "0.1.0"
