"""Parts of jobs that are packed, in the page of a run so large that it could not be opened otherwise."""

from __future__ import annotations

import base64
import zlib

LARGEST = 12_000_000
"""Bytes of all jobs' parts together that are not packed."""
_REST = b'<section class="episodes"'
_NOTE = b'<p class="note">The run is large: without JavaScript the rest is in the files named above.</p>\n'


def packed(section: bytes) -> bytes:
    """Return a job's part with all from its episodes on packed; a script unpacks it when the job is opened.

    What stands above the episodes stays as it is, for readers without JavaScript.

    Args:
        section: The part, as `job_section` makes it, in UTF-8.
    """
    above, found, rest = section.partition(_REST)
    below, end, after = rest.rpartition(b"</noscript>")
    if not (found and end):
        return section
    deflate = zlib.compressobj(level=4, wbits=-zlib.MAX_WBITS)
    content = base64.b64encode(deflate.compress(found + below) + deflate.flush())
    # The type is of no program: a browser keeps such a script as data, whatever the page's policy is.
    return above + _NOTE + end + b"<script type=packed>" + content + b"</script>" + after
