"""The models that come with the program, by name. Imports no torch, so that a name can be checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
SHIPPED_MODELS = {
    "live": WEIGHTS / "live.pt",  # the surest
    "light": WEIGHTS / "light.pt",  # half the arithmetic, for slow machines
}
SHIPPED = SHIPPED_MODELS["live"]


def find_model(name_or_path: str | Path | None) -> Path:
    """The file of a shipped model's name, of ``None`` the surest one's; anything else is the path that it says."""
    return SHIPPED_MODELS.get(str(name_or_path), Path(name_or_path)) if name_or_path is not None else SHIPPED
