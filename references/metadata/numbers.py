"""Limits and numbers of what strange pictures say."""

from __future__ import annotations

import math
from typing import Any

LONGEST_NAME = 512  # characters of a name; no path in a folder of models has more
LONGEST_TEXT = 20_000  # characters of a prompt; what is longer is in the raw text
MOST = 100  # LoRAs or image prompts; what makes a picture has fewer


def number(value: Any) -> int | float | None:
    """A finite number, also where a text holds it; None for anything else."""
    if isinstance(value, str) and len(value) < 40:
        try:
            value = int(value) if value.strip().lstrip("+-").isdecimal() else float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if abs(value) < 1 << 64 and math.isfinite(value) else None
