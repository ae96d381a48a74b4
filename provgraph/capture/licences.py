"""Licences as people write them, brought to their SPDX identifiers where that is the same licence.

Specification: SPDX licence list (identifiers, compared without case). What is not surely one of the
list stays as it was written: a wrong licence would be worse than an unknown one.
"""

from __future__ import annotations

import re
from typing import Final

from provgraph.patterns import pattern

_IDENTIFIERS: Final = """
0BSD AFL-3.0 AGPL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 Artistic-2.0 BSD-2-Clause
BSD-3-Clause BSL-1.0 CC0-1.0 CDLA-Permissive-1.0 CDLA-Permissive-2.0 CDLA-Sharing-1.0
ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2 GPL-2.0 GPL-2.0-only GPL-2.0-or-later GPL-3.0
GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.1 LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0
LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 MPL-2.0 ODbL-1.0 ODC-By-1.0 OFL-1.1 OGL-UK-1.0
OGL-UK-2.0 OGL-UK-3.0 PDDL-1.0 PSF-2.0 Python-2.0 Unlicense WTFPL Zlib
"""
_KNOWN: Final = {name.casefold(): name for name in _IDENTIFIERS.split()}
_SPOKEN: Final = {
    "apache 2.0": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "mit license": "MIT",
    "cc0": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "odbl": "ODbL-1.0",
    "odbl 1.0": "ODbL-1.0",
}
# `CC BY-NC 4.0`, `cc-by-sa-3.0`, `CC-BY-4.0`
_CC: Final = pattern(
    r"cc[ -]by((?:-(?:nc|nd|sa))*)[ -]([1-4]\.[05])(?: international)?", re.IGNORECASE
)
_CC_URL: Final = pattern(
    r"https?://(?:www\.)?creativecommons\.org/licenses/by((?:-(?:nc|nd|sa))*)/([1-4]\.[05])"
    r"(?:/(?:deed|legalcode)(?:\.\w+)?)?/?",
    re.IGNORECASE,
)
_CC0_URL: Final = pattern(
    r"https?://(?:www\.)?creativecommons\.org/publicdomain/zero/1\.0(?:/\w*(?:\.\w+)?)?/?",
    re.IGNORECASE,
)
_SPDX_URL: Final = pattern(
    r"https?://spdx\.org/licenses/([A-Za-z0-9.-]+?)(?:\.html)?", re.IGNORECASE
)


def normal_licence(text: str) -> str:
    """Return the SPDX identifier that a text means, or the text where that is not sure."""
    spoken = " ".join(text.split())
    if (match := _SPDX_URL.fullmatch(spoken)) is not None:
        spoken = match[1]
    if (match := _CC.fullmatch(spoken) or _CC_URL.fullmatch(spoken)) is not None:
        parts = match[1].upper()
        # The six licences that exist; other orders and mixtures are none.
        if parts in {"", "-NC", "-ND", "-SA", "-NC-ND", "-NC-SA"}:
            return f"CC-BY{parts}-{match[2]}"
    if _CC0_URL.fullmatch(spoken):
        return "CC0-1.0"
    folded = spoken.casefold()
    return _KNOWN.get(folded) or _SPOKEN.get(folded) or text
