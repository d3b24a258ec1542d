"""What users are told of their mistakes, word by word: ``tests/messages/messages.txt``."""

from __future__ import annotations

import pytest

from tests.messages.reviewed import FILE, MISTAKES, as_text, message_of, reviewed

ANEW = "python -m tests.messages writes the file anew, to be reviewed"


@pytest.fixture(scope="module")
def messages() -> dict[str, dict[str, str]]:
    return reviewed()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, some in MISTAKES.items() for name in some])
def test_a_mistake_is_told_in_the_words_that_were_reviewed(
    messages: dict[str, dict[str, str]], kind: str, name: str
) -> None:
    message = message_of(MISTAKES[kind][name])
    assert message == messages[kind].get(name), ANEW
    assert message.isprintable(), "one line"
    assert "pydantic" not in message
    assert len(message) < (400 if kind == "job files" else 600)


def test_the_file_has_these_mistakes_and_no_others(messages: dict[str, dict[str, str]]) -> None:
    assert {kind: set(some) for kind, some in messages.items()} == {
        kind: set(some) for kind, some in MISTAKES.items()
    }, ANEW
    assert FILE.read_text() == as_text(messages)
