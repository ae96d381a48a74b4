"""Telling a profile from other bytes without reading it: what a run without tables loads."""

from __future__ import annotations

from typing import Final

FORMAT: Final = "profile-v1"
_MARK: Final = f'"format":"{FORMAT}"'.encode()


def is_profile(data: bytes) -> bool:
    """Whether bytes say that they are a profile; `codec.decode` finds out whether they are."""
    return data.startswith(b"{") and _MARK in data
