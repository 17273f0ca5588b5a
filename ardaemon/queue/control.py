"""What is wanted of a run, written down; the loops make it so."""

from typing import Literal

Limit = Literal["vram_limit", "rss_limit"]
