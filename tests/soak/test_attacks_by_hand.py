"""Every attack of the corpus against the lines of HOWTO-VERIFY.txt: a hundred processes for each."""

from __future__ import annotations

from pathlib import Path

import verdicts
from forge import Forge
from verifiers import with_howto


def test_what_the_instructions_see_they_refuse(forge: Forge, tmp_path: Path) -> None:
    assert (
        verdicts.contradictions("HOWTO-VERIFY", forge, with_howto(verdicts.unpack(forge, tmp_path)))
        == {}
    )
