"""How a SPARQL text is cut into lexemes, for refusing queries and for explaining their mistakes.

Specification: SPARQL 1.1 Query section 19.8, the terminals, coarsely: enough to tell words, names and
brackets from what stands in strings, IRIs and comments.
"""

from __future__ import annotations

import re

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
    r"|(?P<word>[A-Za-z]+)"
    r"|(?P<bracket>[{}()\[\]])"
    r"|.",
    re.DOTALL,
)
