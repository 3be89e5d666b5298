"""``speechmill`` on a machine that has no PyTorch."""

from __future__ import annotations

import sys

from flows.cli import main as main

sys.modules["torch"] = None  # type: ignore[assignment]  # importing it fails from now on

__all__ = ["main"]
