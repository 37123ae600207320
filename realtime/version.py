"""Which version this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str | None:
    """As installed; None for a folder that is run from where it lies."""
    try:
        return metadata.version("rt-melody")
    except metadata.PackageNotFoundError:
        return None
