"""Writes docs/attacks.md: `python tests/independent/attack_table.py`. A test holds the page equal."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "independent")]

import attacks  # noqa: E402
import verdicts  # noqa: E402
from forge import Forge  # noqa: E402
from small_history import record_history  # noqa: E402

PAGE = TESTS.parent / "docs" / "attacks.md"

_HEAD = """\
# Attacks, and who refuses them

Written by `tests/independent/attack_table.py` from the corpus in `tests/attacks.py`; tests hold every
cell. Each attack starts from a true bundle. The list of files is signed again afterwards with the real
log key: the forger is whoever runs the ledger, and what catches him is what he has no key for, or what
contradicts itself. With a list that is not signed again, step 3 of `provgraph verify` and step 1 of
`HOWTO-VERIFY.txt` refuse all of them.

**no**: must refuse. **—**: reads none of the files that differ, and must take the rest as true. A
number: reads one of them and cannot tell, for the reason below the table. Step: where `provgraph verify`
objects; 10 is the comparison of the readable views with what was signed.

What no verifier of one bundle can see is a second history that is consistent in itself, signed with
the log's own keys: against that, keep checkpoints of your own (`provgraph verify --help`), or let
witnesses cosign.

A seal by a revoked key, and the other attacks on keys and on withheld graphs, need ledgers of their own
(`tests/bundle/test_keys_in_bundles.py`, `tests/bundle/test_redacted.py`). Only `provgraph verify` sees
those: to all others a revoked key's signature is a signature.

| attack | {verifiers} |
|---|{rule}
"""


def page(forge: Forge) -> str:
    """Return the whole page."""
    reasons: dict[str, int] = {}
    rows = []
    for attack, step in attacks.MEMBERS.items():
        cells = [f"**no**, step {step or 10}"]
        for verifier in verdicts.READS:
            reason = verdicts.BLIND.get((verifier, attack))
            if reason is not None:
                cells.append(str(reasons.setdefault(reason, len(reasons) + 1)))
            else:
                cells.append("**no**" if verdicts.must_refuse(verifier, attack, forge) else "—")
        rows.append(f"| {words(attack)} | {' | '.join(cells)} |\n")
    head = _HEAD.format(
        verifiers=" | ".join(verdicts.VERIFIERS), rule="---|" * len(verdicts.VERIFIERS)
    )
    numbered = "".join(f"{number}. {reason}\n" for reason, number in reasons.items())
    return f"{head}{''.join(rows)}\n{numbered}{containers()}"


def containers() -> str:
    """Return the part about lists, zips and folders, which `provgraph verify` alone opens."""
    return (
        "\n## The list of files\n\nStep 3 of `provgraph verify` refuses each of these:"
        f" {', '.join(map(words, attacks.LISTS))}.\n"
        "\n## Zips and folders\n\nStep 1 of `provgraph verify` refuses each of these. The other"
        " verifiers are given an unpacked folder; there whoever unpacks it decides.\n\n"
        f"Zips: {', '.join(map(words, attacks.ZIPS))}.\n\n"
        f"Folders: {', '.join(map(words, attacks.FOLDERS))}.\n"
    )


def words(attack: object) -> str:
    """Return an attack's name as it is read."""
    name: str = attack.__name__  # type: ignore[attr-defined]
    return name.replace("_", " ")


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROVGRAPH_HOME"] = f"{folder}/home"
        record_history()
        PAGE.write_text(page(Forge(Path(folder) / "home")), "utf-8")


if __name__ == "__main__":
    main()
