"""The parts of jobs in a page that would be too large."""

from __future__ import annotations

import base64
import re
import zlib
from pathlib import Path

import pytest

from pytest_arena.reports.html import run_page
from pytest_arena.reports.html.run_page import write_run_page
from tests.synthetic_runs import write_run


def test_all_is_there_in_half_the_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path, [0, 1, 40, 96], 40, films=False)
    plain = write_run_page(run).read_bytes()
    monkeypatch.setattr(run_page, "LARGEST", 0)
    small = write_run_page(run).read_bytes()
    assert re.sub(rb"(?s)<p class=\"note\">The run is large.*?</script>", unpacked, small) == plain
    assert len(small) < len(plain)


def unpacked(found: re.Match[bytes]) -> bytes:
    content = re.search(rb"<script type=packed>(.*)</script>", found[0])
    assert content is not None
    return zlib.decompress(base64.b64decode(content[1]), wbits=-zlib.MAX_WBITS) + b"</noscript>"
