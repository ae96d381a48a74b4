"""What a stranger's text may do to a terminal: be read, and nothing else."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Write what steers a terminal or changes the order of letters as escapes; keep line feeds.

    An origin or an IRI of a bundle that was made to fool can hold `\x9b2J`, which clears the screen
    before the reader sees it, or U+202E, which turns the rest of the line around.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )
