"""What several rooms' tests use."""

from __future__ import annotations

import pytest


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """The test runs in an empty folder of its own: paths can be relative, as a user types them."""
    monkeypatch.chdir(tmp_path)
