"""The DICOM upper layer (PS3.8 §9) without sockets or clocks: bytes and times in, events and bytes out.

`pdu` and `items` say what is on the wire, `state_machine` what may happen when, `connection` ties both together.
"""
