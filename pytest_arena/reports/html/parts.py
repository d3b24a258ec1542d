"""A part of a page that stands for itself: broken data cost it a note, and never cost the page."""

from __future__ import annotations

import html
from collections.abc import Callable

from markupsafe import Markup

LONGEST_NOTE = 300
"""Characters of an exception's text in a note."""


def plain(text: str) -> Markup:
    """Return *text* as HTML that stands between tags: quotes, which matter in attributes, stay."""
    return Markup(html.escape(text, quote=False))


def part(what: str, make: Callable[[], str]) -> Markup:
    """Return the HTML that *make* returns, or a note in its place.

    A record that can be read may still hold lists of unequal lengths, or names that lead nowhere. So any
    exception counts as one of the data; the note names it, so that a mistake of ours is seen.

    Args:
        what: The part, as a sentence begins with it.
        make: Returns HTML, in which everything is escaped.

    Returns:
        HTML.
    """
    try:
        return Markup(make())
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:LONGEST_NOTE]}"
        return Markup('<p class="note">{}</p>\n').format(f"{what} cannot be shown: {reason}")
