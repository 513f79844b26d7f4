"""Hours of the week in which something may be done."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from amonsul.errors import ParameterOutOfRange

DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_HOURS: Final = re.compile(r"(\d{1,2}) ?- ?(\d{1,2})")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Hours by day, 0 for Monday; without any day, always."""

    hours: Mapping[int, frozenset[int]] = field(default_factory=dict)

    @classmethod
    def parse(cls, value: Mapping[str, Sequence[str]]) -> Schedule:
        """Read `{"Monday": ["0-6", "20-24"]}`: from the first hour to the second, which is not part of it.

        Raises:
            ParameterOutOfRange: no such day, or no such hours.
        """
        hours: dict[int, frozenset[int]] = {}
        for day, spans in value.items():
            if day not in DAYS:
                raise ParameterOutOfRange(f"{day!r} is none of {', '.join(DAYS)}")
            of_day: set[int] = set()
            for span in spans:
                found = _HOURS.fullmatch(span.strip())
                if found is None or not int(found[1]) < int(found[2]) <= 24:
                    raise ParameterOutOfRange(f"{span!r} are no hours, such as 20-24")
                of_day.update(range(int(found[1]), int(found[2])))
            hours[DAYS.index(day)] = frozenset(of_day)
        return cls(hours)

    def is_open(self, moment: datetime) -> bool:
        """Whether a moment is within the hours."""
        return not self.hours or moment.hour in self.hours.get(moment.weekday(), ())
