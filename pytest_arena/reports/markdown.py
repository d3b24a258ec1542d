"""Text from others in GitHub's Markdown: whatever it contains, a reader sees the text and nothing else."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 200
"""Characters of a text that may have any length, where no other number is given."""
_MEANS_SOMETHING = {ord(character): f"&#{ord(character)};" for character in "\\`*[]<>|~&@$"}
"""As character references these end no code and no cell of a table, and begin no link, formula or tag."""
_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
"""One that is not inside a word, where it would mean nothing."""
_RIGHT_TO_LEFT = ("R", "AL", "AN")
_ISOLATED = "\u2068{}\u2069"
"""Text that runs the other way reorders nothing around it."""
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Categories of what cannot be seen: control characters, marks of direction, halves of characters."""


def code(text: object, at_most: int = LONGEST) -> str:
    """Return *text* as code on one line: there it is no mention, no emoji and no number of an issue either.

    Args:
        text: Anything, e.g. a name or a message.
        at_most: Characters after which it is cut.

    Returns:
        Markdown that may stand in a line of text, in a heading or in a cell of a table.
    """
    return f"<code>{escaped(text, at_most)}</code>"


def escaped(text: object, at_most: int = LONGEST) -> str:
    """Return *text* on one line, cut after *at_most* characters, without what Markdown gives a meaning.

    It may stand anywhere but at the beginning of a line.
    """
    seen = one_line(text, at_most)
    plain = _UNDERSCORE.sub("&#95;", seen.translate(_MEANS_SOMETHING))
    plain = plain.replace("www.", "www&#46;").replace("://", "&#58;//")
    return _ISOLATED.format(plain) if any(map(_runs_left, seen)) else plain


def one_line(text: object, at_most: int = LONGEST) -> str:
    """Return *text* on one line, cut after *at_most* characters, with what cannot be seen written out."""
    line = "".join(map(_visible, " ".join(str(text)[: 4 * at_most].split())))
    return line if len(line) <= at_most else f"{line[: at_most - 1]}…"


def _visible(character: str) -> str:
    # Joiners belong to the writing of several languages, and to pictures of people.
    if unicodedata.category(character) in _INVISIBLE and character not in "\u200c\u200d":
        return character.encode("unicode_escape").decode()
    return character


def _runs_left(character: str) -> bool:
    return unicodedata.bidirectional(character) in _RIGHT_TO_LEFT
