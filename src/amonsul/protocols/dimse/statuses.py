"""Status codes of DIMSE responses: the general ones (PS3.7 Annex C) and those of the service classes (PS3.4)."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """General status codes (PS3.7 Annex C)."""

    SUCCESS = 0x0000
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_WARNING = 0xFF01
    """A match, though an optional key was not supported (PS3.4 Table C.4-1)."""

    REQUESTED_OPTIONAL_ATTRIBUTES_NOT_SUPPORTED = 0x0001
    ATTRIBUTE_LIST_ERROR = 0x0107
    ATTRIBUTE_VALUE_OUT_OF_RANGE = 0x0116

    NO_SUCH_ATTRIBUTE = 0x0105
    INVALID_ATTRIBUTE_VALUE = 0x0106
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    NO_SUCH_SOP_INSTANCE = 0x0112
    NO_SUCH_EVENT_TYPE = 0x0113
    NO_SUCH_ARGUMENT = 0x0114
    INVALID_ARGUMENT_VALUE = 0x0115
    INVALID_SOP_INSTANCE = 0x0117
    NO_SUCH_SOP_CLASS = 0x0118
    CLASS_INSTANCE_CONFLICT = 0x0119
    MISSING_ATTRIBUTE = 0x0120
    MISSING_ATTRIBUTE_VALUE = 0x0121
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION = 0x0123
    NOT_AUTHORIZED = 0x0124
    DUPLICATE_INVOCATION = 0x0210
    UNRECOGNIZED_OPERATION = 0x0211
    MISTYPED_ARGUMENT = 0x0212
    RESOURCE_LIMITATION = 0x0213


class StorageStatus(enum.IntEnum):
    """Of C-STORE (PS3.4 Table B.2-1)."""

    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    CANNOT_UNDERSTAND = 0xC000
    COERCION_OF_DATA_ELEMENTS = 0xB000
    ELEMENTS_DISCARDED = 0xB006
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS_WARNING = 0xB007


class FindStatus(enum.IntEnum):
    """Of C-FIND (PS3.4 Table C.4-1)."""

    OUT_OF_RESOURCES = 0xA700
    IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    UNABLE_TO_PROCESS = 0xC000


class RetrieveStatus(enum.IntEnum):
    """Of C-MOVE and C-GET (PS3.4 Tables C.4-2 and C.4-3)."""

    OUT_OF_RESOURCES_UNABLE_TO_CALCULATE_NUMBER_OF_MATCHES = 0xA701
    OUT_OF_RESOURCES_UNABLE_TO_PERFORM_SUBOPERATIONS = 0xA702
    MOVE_DESTINATION_UNKNOWN = 0xA801
    IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    UNABLE_TO_PROCESS = 0xC000
    SUBOPERATIONS_COMPLETE_WITH_FAILURES = 0xB000


class Category(enum.Enum):
    """What a status means to whoever waits for it (PS3.7 §C.1)."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    CANCEL = "cancel"
    PENDING = "pending"


_WARNINGS = (0x0001, 0x0107, 0x0116)


def category(status: int) -> Category:
    """Sort a status code (PS3.7 Annex C)."""
    if status == Status.SUCCESS:
        return Category.SUCCESS
    if status in (Status.PENDING, Status.PENDING_WARNING):
        return Category.PENDING
    if status == Status.CANCEL:
        return Category.CANCEL
    if status in _WARNINGS or status & 0xF000 == 0xB000:
        return Category.WARNING
    return Category.FAILURE
