"""Mistakes that users make, and what they are told, word by word: ``messages.txt`` is there to be reviewed.

Each module makes mistakes of one kind; the name of a mistake is its entry in the file. ``python -m tests.messages``
writes the file anew: a changed message is a line of the change.
"""
