"""Texts of other people's files (names of nodes, types, paths) as they are shown: on one line, and nothing but letters.

A name may hold line breaks, which would look like lines of ours, and control characters, which move the cursor, delete
what stands before them or turn the direction of writing. The names themselves stay what they are.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """With what cannot be seen as Python writes it: 'a\\\\x08\\\\n' for an a, a backspace and a line break."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
