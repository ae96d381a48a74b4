"""How a SPARQL text is cut into lexemes, for refusing queries and for explaining their mistakes.

Specification: SPARQL 1.1 Query section 19.8, the terminals, coarsely: enough to tell words, names and
brackets from what stands in strings, IRIs and comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Strings, IRIs and comments are skipped, so that `SERVICE` inside a literal is no SERVICE.
LEXEME = re.compile(
    r'(?P<string>"""(?:[^"\\]|\\.|"(?!""))*"""'
    r"|'''(?:[^'\\]|\\.|'(?!''))*'''"
    r'|"(?:[^"\\\n\r]|\\.)*"'
    r"|'(?:[^'\\\n\r]|\\.)*')"
    r"|(?P<unclosed>[\"'])"
    r"|(?P<iri><[^\x00-\x20<>\"{}|^`\\]*>)"
    r"|(?P<skipped>#[^\n\r]*|[?$]\w+|@[A-Za-z]+(?:-[A-Za-z0-9]+)*)"
    r"|(?P<prefix>[\w\-]*):(?:[\w\-.:%]|\\[_~.\-!$&'()*+,;=/?\#@%])*"
    # The rest of a run that no colon ends: taken at once, or a long one would be looked through again
    # from each of its characters.
    r"|(?P<run>[\w\-]++)"
    r"|(?P<bracket>[{}()\[\]])"
    r"|.",
    re.DOTALL,
)

_IN_RUN = re.compile(r"[A-Za-z]+|.", re.DOTALL)


def lexemes(query: str) -> Iterator[tuple[str, str, int, str | None]]:
    """Yield kind, text, start and prefix of each lexeme, in time that grows with the query's length.

    Kinds are the groups above, `word` (letters of a run), and `other`.
    """
    for match in LEXEME.finditer(query):
        kind = match.lastgroup or "other"
        if kind != "run":
            yield kind, match[0], match.start(), match["prefix"]
            continue
        for part in _IN_RUN.finditer(match[0]):
            text = part[0]
            is_word = text.isascii() and text.isalpha()
            yield "word" if is_word else "other", text, match.start() + part.start(), None
