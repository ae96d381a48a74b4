"""What others say of a bundle's checkpoint: witnesses' cosignatures, a time-stamp; and how to check it.

The sections of HOWTO-VERIFY.txt about them name the real keys, and run with coreutils and openssl. An
ML-DSA-44 cosignature needs openssl 3.5, so the lines check the Ed25519 one; `provgraph verify` both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provgraph.seal.note import NoteKey, SignatureType


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Cosigners of the checkpoint, and a token over it."""

    witness_keys: tuple[NoteKey, ...] = ()
    timestamp: bytes | None = None


_WITNESSES: Final = """\
{number}. WITNESSES SAW THIS CHECKPOINT
   A witness cosigns a checkpoint, with the time, if it contains all that it cosigned before. Ask the
   witness itself for its verifier key, and put it in the place of the one below.

     for vkey in {keys}; do
       name=$(echo "$vkey" | cut -d+ -f1); id=$(echo "$vkey" | cut -d+ -f2)
       (printf 302a300506032b6570032100 | xxd -r -p
         echo "$vkey" | cut -d+ -f3- | base64 -d | tail -c 32) > /tmp/witness.der
       sed '1,/^$/d' checkpoint | while read -r dash who line; do
         echo "$line" | base64 -d > /tmp/line
         [ "$who $(head -c 4 /tmp/line | xxd -p)" = "$name $id" ] || continue
         at=$((16#$(tail -c +5 /tmp/line | head -c 8 | xxd -p)))
         (printf 'cosignature/v1\\ntime %s\\n' $at; sed '/^$/,$d' checkpoint) > /tmp/cosigned
         tail -c 64 /tmp/line > /tmp/witness.sig
         openssl pkeyutl -verify -pubin -keyform DER -inkey /tmp/witness.der -rawin \\
           -in /tmp/cosigned -sigfile /tmp/witness.sig | sed "s|^|$name at $(date -u -d @$at +%FT%TZ): |"
       done
     done

"""

_TIMESTAMP: Final = """\
{number}. A TIME-STAMP AUTHORITY SAW THIS CHECKPOINT
   checkpoint.tsr is a token of RFC 3161 over the checkpoint's text. Put the root certificate of the
   authority, from another source than this bundle, at /tmp/tsa-ca.pem.

     openssl ts -reply -in checkpoint.tsr -text | grep '^Time stamp'
     sed '/^$/,$d' checkpoint > /tmp/checkpoint.txt
     openssl ts -verify -data /tmp/checkpoint.txt -in checkpoint.tsr -CAfile /tmp/tsa-ca.pem

"""


def howto_outside(outside: Outside, *, first_number: int) -> str:
    """Write the sections about what is there, numbered from `first_number` on."""
    sections = []
    vkeys = [
        f"'{key.vkey}'"
        for key in outside.witness_keys
        # A name from outside: whatever the shell would read as more than a name is left out.
        if key.type == SignatureType.ED25519_COSIGNATURE and "'" not in key.name
    ]
    if vkeys:
        keys = " \\\n       ".join(vkeys)
        sections.append(_WITNESSES.format(number=first_number, keys=keys))
    if outside.timestamp is not None:
        sections.append(_TIMESTAMP.format(number=first_number + len(sections)))
    return "".join(sections)
