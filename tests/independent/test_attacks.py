"""Every attack of the corpus against every verifier that is not ours, as docs/attacks.md tells.

HOWTO-VERIFY starts a hundred processes for one bundle: some of the attacks here, all in `make soak`.
"""

from __future__ import annotations

import re
from pathlib import Path

import attack_table
import attacks
import foreign_programs
import pytest
import verdicts
from forge import Forge
from verifiers import READY, TRUE, WITH, Folders

BY_HAND = (
    attacks.changed_literal,
    attacks.swapped_seals,
    attacks.changed_raw_signature,
    attacks.reordered_leaves,
    attacks.truncated_log,
    attacks.attestation_with_an_extra_signature,
    attacks.attestation_of_another_root,
    attacks.view_turtle_changed,
)


@pytest.fixture(scope="session")
def folders(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The true bundle and each falsified one, unpacked."""
    return verdicts.unpack(forge, tmp_path_factory.mktemp("attacks"))


@pytest.mark.parametrize("verifier", [verifier for verifier in WITH if verifier != "HOWTO-VERIFY"])
def test_what_it_sees_it_refuses(forge: Forge, folders: Folders, verifier: str) -> None:
    READY[verifier]()
    assert verdicts.contradictions(verifier, forge, WITH[verifier](folders)) == {}


def test_what_the_instructions_see_they_refuse(forge: Forge, folders: Folders) -> None:
    some = {name: folders[name] for name in (TRUE, *(each.__name__ for each in BY_HAND))}
    assert verdicts.contradictions("HOWTO-VERIFY", forge, WITH["HOWTO-VERIFY"](some)) == {}


def test_what_go_sees_it_refuses(forge: Forge, folders: Folders, tlogcheck: Path) -> None:
    said = {}
    for name, folder in folders.items():
        status, text = foreign_programs.run_go(tlogcheck, "bundle", str(folder))
        assert (status == 0) is (re.match(r'\{"records":', text) is not None)
        said[name] = "" if status == 0 else text
    assert verdicts.contradictions("Go", forge, said) == {}


def test_the_table_in_the_docs_is_this_one(forge: Forge) -> None:
    """Renewed by `python tests/independent/attack_table.py`."""
    assert attack_table.PAGE.read_text("utf-8") == attack_table.page(forge)
