"""HOWTO-VERIFY.txt: how to check a bundle with coreutils and openssl, and nothing of ours.

The text names the real files, keys and sizes of its bundle, so that every line can be pasted. What
each check shows, and what none can show, stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from provgraph.export.outside import Outside, howto_outside
from provgraph.ledger.rows import StoredRecord
from provgraph.ledger.sqlite import Ledger
from provgraph.seal.absent import Listed
from provgraph.seal.entry import SEALED_BY, parse_entry
from provgraph.seal.multikey import ED25519, PublicKey, did_key, encode_multikey
from provgraph.seal.proof import EDDSA_RDFC_2022, parse_proof_config

_TEXT = """\
HOW TO VERIFY THIS BUNDLE WITHOUT PROVGRAPH
===========================================
{title}
Ledger {origin}. Unpack the bundle and run the lines below in its folder, in bash.
They use only coreutils, sed, awk, xxd, base64 and openssl (3.0 or later).

0. WHOSE KEYS
   The keys in this bundle prove nothing by themselves. Ask the ledger's operator, by another way
   than this file, whether these are the right ones:
     log       {log}
{producers}
   Where there is a folder trust/, its last file lists them, signed by the operator's root keys.
   Entries of kind key-add and key-revoke say from where in the ledger a key counts, and up to where:

     grep -l '"kind":"key-' records/*/entry.json

1. NO FILE WAS CHANGED, ADDED OR REMOVED
   MANIFEST lists the SHA-256 of every other file.

     sed '/^$/,$d' MANIFEST | tail -n +2 | sha256sum --check --quiet && echo unchanged
     diff <(sed '/^$/,$d' MANIFEST | tail -n +2 | cut -c67- | sort) \\
          <(find . -type f ! -name MANIFEST | cut -c3- | sort) && echo complete

2. MANIFEST AND CHECKPOINT ARE SIGNED BY THE LOG KEY
   Both are C2SP signed notes: text, an empty line, a signature line.

     for f in MANIFEST checkpoint; do
       sed '/^$/,$d' $f > /tmp/note.txt
       tail -n 1 $f | awk '{{print $NF}}' | base64 -d | tail -c 64 > /tmp/note.sig
       openssl pkeyutl -verify -pubin -inkey keys/log-{log_multikey}.pem -rawin \\
         -in /tmp/note.txt -sigfile /tmp/note.sig
     done

3. EVERY RECORD WAS SEALED WITH THE KEY THAT IT NAMES
   The signature is over SHA-256(proof.nq) followed by SHA-256(graph.nq), as
   W3C Data Integrity ({suites}) says.

     for r in records/*; do
       key=$(sed -n 's/.*#\\(z[^"]*\\)".*/\\1/p' $r/entry.json)
{hashes}
{check}
     done

4. EVERY RECORD STANDS IN THE LEDGER
   entry.json holds the hashes of graph.nq and proof.nq, and is a leaf of the Merkle tree (RFC 9162)
   whose root is the third line of the checkpoint. This walks from each leaf to the root.

     root=$(sed -n 3p checkpoint | base64 -d | xxd -p -c 64); size=$(sed -n 2p checkpoint)
     for r in records/*; do
       for f in graph proof; do
{absent}         grep -q "\\"${{f}}Sha256\\":\\"$(sha256sum < $r/$f.nq | cut -c1-64)\\"" $r/entry.json || echo "$r/$f.nq WRONG"
       done
       h=$( (printf '\\000'; cat $r/entry.json) | sha256sum | cut -c1-64)
       n=$(sed -n 's/^index //p' $r/record.tlog-proof); last=$((size - 1))
       for s in $(sed '1,/^index /d; /^$/,$d' $r/record.tlog-proof); do
         s=$(echo $s | base64 -d | xxd -p -c 64)
         if [ $((n % 2)) = 1 ] || [ $n = $last ]; then
           h=$(printf '01%s%s' $s $h | xxd -r -p | sha256sum | cut -c1-64)
           while [ $((n % 2)) = 0 ] && [ $n != 0 ]; do n=$((n / 2)); last=$((last / 2)); done
         else
           h=$(printf '01%s%s' $h $s | xxd -r -p | sha256sum | cut -c1-64)
         fi
         n=$((n / 2)); last=$((last / 2))
       done
       [ "$h" = "$root" ] && echo "$r in the tree" || echo "$r NOT IN THE TREE"
     done

5. THE LEDGER ATTESTS THIS IN A FORM THAT SUPPLY-CHAIN TOOLS READ
   attestation.dsse.json is an in-toto Statement in a DSSE envelope, signed by the log key over the
   lengths and the bytes of its type and its payload. Its subjects are the graphs in this bundle.
   attestation.sigstore.json is the same envelope as a Sigstore bundle (v0.3, signed with a key).

     sed 's/.*"payload":"\\([^"]*\\)".*/\\1/' attestation.dsse.json | base64 -d > /tmp/statement
     sed 's/.*"sig":"\\([^"]*\\)".*/\\1/' attestation.dsse.json | base64 -d > /tmp/note.sig
     (printf 'DSSEv1 28 application/vnd.in-toto+json %s ' "$(wc -c < /tmp/statement)"
       cat /tmp/statement) > /tmp/pae
     openssl pkeyutl -verify -pubin -inkey keys/log-{log_multikey}.pem -rawin \\
       -in /tmp/pae -sigfile /tmp/note.sig | sed 's/^/attestation /'
     grep -o '"digest":{{"sha256":"[0-9a-f]*"}},"name":"[^"]*"' /tmp/statement \\
       | sed 's/.*sha256":"\\(.*\\)"}},"name":"\\(.*\\)"/\\1  \\2/' > /tmp/subjects
     sha256sum --check --quiet /tmp/subjects && echo attested
     diff <(cut -c67- /tmp/subjects | sort) <(ls records/*/graph.nq) && echo 'all attested'
     grep -q "\\"ledgerRoot\\":\\"$root\\",\\"ledgerSize\\":$size,\\"origin\\":\\"$(head -n 1 checkpoint)\\"" \\
       /tmp/statement && echo 'under this checkpoint'
     printf '{{"payload":"%s","payloadType":"application/vnd.in-toto+json","signatures":[{{"keyid":"%s","sig":"%s"}}]}}' \\
       "$(base64 -w 0 /tmp/statement)" {log} "$(base64 -w 0 /tmp/note.sig)" \\
       | cmp -s - attestation.dsse.json && echo 'and nothing else'
     grep -qFf attestation.dsse.json attestation.sigstore.json && echo 'same in both'

{outside}{not_here}WHAT THIS SHOWS, AND WHAT IT CANNOT
   Shown: these records were sealed with these keys, stand in this ledger, and have not been changed
   since. Not shown: that no key was revoked meanwhile, that what was recorded is true, that nothing
   else happened, or that the ledger has no other version of its history; compare its checkpoint with
   one that you kept earlier.

With provgraph installed, `provgraph verify <this bundle>` does all of this, and checks as well that
the readable views (lineage.jsonld, lineage.trig, record.jsonld, record.ttl) say what was signed.
"""

_NOTHING: Final = Outside()

_HASHES: Final = """\
       sha256sum $r/proof.nq $r/graph.nq | cut -c1-64 | tr -d '\\n' | xxd -r -p > /tmp/hashes\
"""

# Where a graph is absent, its entry states the digest that was signed.
_HASHES_OR_STATED: Final = """\
       if [ -e $r/graph.nq ]; then g=$(sha256sum < $r/graph.nq); else
         g=$(sed -n 's/.*"graphSha256":"\\([0-9a-f]*\\)".*/\\1/p' $r/entry.json); fi
       (sha256sum < $r/proof.nq; echo "$g") | cut -c1-64 | tr -d '\\n' | xxd -r -p > /tmp/hashes\
"""
_SKIP_ABSENT: Final = """\
         [ -e $r/$f.nq ] || { echo "$r/$f.nq is not here: see bundle.json"; continue; }
"""
_NOT_HERE: Final = """\
NOT IN THIS BUNDLE
   Of these entries you can check that somebody sealed a record of that digest, and that it stands in
   the ledger; what it says is not here. bundle.json, which the log key signs, lists them.
{lines}
"""

_ED25519_CHECK: Final = """\
       openssl pkeyutl -verify -pubin -inkey $(ls keys/*-$key.pem | head -n 1) -rawin \\
         -in /tmp/hashes -sigfile $r/signature.bin | sed "s|^|$r |"\
"""

# Keys of P-256 begin with zDn; openssl takes their signatures as DER only.
_BOTH_CHECK: Final = """\
       case $key in
         zDn*) s=$(xxd -p -c 64 $r/signature.bin)
           printf 'asn1=SEQUENCE:s\\n[s]\\nr=INTEGER:0x%s\\ns=INTEGER:0x%s\\n' ${s:0:64} ${s:64} \\
             | openssl asn1parse -genconf /dev/stdin -noout -out /tmp/signature
           digest="-digest sha256";;
         *) cp $r/signature.bin /tmp/signature; digest="";;
       esac
       openssl pkeyutl -verify -pubin -inkey $(ls keys/*-$key.pem | head -n 1) -rawin $digest \\
         -in /tmp/hashes -sigfile /tmp/signature | sed "s|^|$r |"\
"""


def howto_verify(
    stored: Sequence[StoredRecord],
    absent: Sequence[Listed],
    ledger: Ledger,
    title: str,
    *,
    outside: Outside = _NOTHING,
) -> str:
    """Write the instructions for one bundle.

    Args:
        stored: all its records.
        absent: those whose graphs are not in it.
        ledger: where they are.
        title: what the bundle explains, in words.
        outside: what others say of the checkpoint.
    """
    log = PublicKey(algorithm=ED25519, raw=ledger.log_key)
    entries = [parse_entry(record.entry) for record in stored]
    sealed = sorted({(SEALED_BY[entry.kind], entry.verification_method) for entry in entries})
    producers = "".join(f"     {role}  {method.partition('#')[0]}\n" for role, method in sealed)
    suites = sorted({parse_proof_config(record.proof_nq).cryptosuite for record in stored})
    return _TEXT.format(
        title=" ".join(title.split()),
        origin=ledger.origin,
        log=did_key(log),
        log_multikey=encode_multikey(log),
        producers=producers,
        suites=", ".join(suites),
        outside=howto_outside(outside, first_number=6),
        hashes=_HASHES_OR_STATED if absent else _HASHES,
        absent=_SKIP_ABSENT if absent else "",
        not_here=_NOT_HERE.format(lines="".join(map(_line, absent))) if absent else "",
        check=_ED25519_CHECK if suites == [EDDSA_RDFC_2022] else _BOTH_CHECK,
    )


def _line(each: Listed) -> str:
    folder = f"   records/{each.position:06d}"
    if each.reason is None:
        return f"{folder}  erased; its tombstone is records/{each.tombstone:06d}\n"
    return f"{folder}  withheld: {' '.join(each.reason.split())}\n"
