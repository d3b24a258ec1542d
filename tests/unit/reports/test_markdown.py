"""Foreign text in GitHub's Markdown: a reader sees the text, and nothing else."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from pytest_arena.reports.markdown import code, escaped, one_line

HOSTILE = [
    "a|b | c",
    "`code` and ``more``",
    "<img src=x onerror=alert(1)>",
    "</code><script>alert(1)</script>",
    "<!-- begin",
    "[link](https://example.com) ![image](https://example.com/x.png)",
    "https://example.com and www.example.com",
    "*emphasis* _too_ ~~struck~~ __strong__",
    "&lt; &#65; &amp;",
    "back\\slash \\| \\`",
    "@someone #12 :tada: $x$",
    "'single' \"double\"",
]


class Seen(HTMLParser):
    """What a reader sees of a page, and the tags in it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.tags = "", list[str]()
        self.feed(html)
        self.close()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


def rendered(markdown: str) -> Seen:
    """Render as GitHub does, as far as this parser goes: tables, and tags as they are."""
    parser = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True})
    return Seen(parser.enable(["table", "strikethrough"]).render(markdown))


@pytest.mark.parametrize("text", HOSTILE)
def test_a_reader_sees_the_text_and_no_more(text: str) -> None:
    assert rendered(f"seen {code(text)}").text.strip() == f"seen {text}"
    assert rendered(f"seen {code(text)}").tags == ["p", "code"]
    assert rendered(f"seen {escaped(text)}").text.strip() == f"seen {text}"
    assert rendered(f"seen {escaped(text)}").tags == ["p"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_of_a_table_stays_one(text: str) -> None:
    table = rendered(f"| a | b |\n|---|---|\n| {code(text)} | last |\n")
    assert table.tags == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "code", "td"]
    assert text in table.text


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_left_that_would_begin_a_link_or_a_mention(text: str) -> None:
    written = escaped(text)
    assert "://" not in written
    assert "www." not in written
    assert "@" not in written


def test_lines_are_joined_and_what_cannot_be_seen_is_written_out() -> None:
    assert one_line("two\nlines\r\n\tand a tab") == "two lines and a tab"
    assert one_line("\u202etxt.exe\x1b[31m\u200e\ud800") == r"\u202etxt.exe\x1b[31m\u200e\ud800"
    code("\ud800").encode()


def test_text_that_runs_from_right_to_left_reorders_nothing_around_it() -> None:
    assert escaped("שלום 12") == "\u2068שלום 12\u2069"
    assert escaped("plain 12") == "plain 12"


def test_a_long_text_is_cut() -> None:
    assert one_line("x" * 10_000) == "x" * 199 + "…"
    assert one_line(" " * 5_000 + "x") == ""
    assert len(one_line("\u202e" * 10_000)) == 200
    assert one_line("word", 4) == "word"
