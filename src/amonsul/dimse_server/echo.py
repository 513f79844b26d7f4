"""C-ECHO (PS3.7 §9.1.5, PS3.4 Annex A)."""

from __future__ import annotations


class EchoService:
    """Answers that we are here."""
