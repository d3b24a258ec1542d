"""What this repository's own evaluations and tests share."""

from __future__ import annotations

import os

# Two workers that render in software with all cores each are slower than two with one core each.
os.environ.setdefault("LP_NUM_THREADS", "1")
