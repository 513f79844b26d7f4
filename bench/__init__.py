"""Measures Amonsul against the Orthanc of Debian on this machine, in one run: `make bench`."""
