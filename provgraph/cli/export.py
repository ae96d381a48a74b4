"""`provgraph export`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from provgraph.cli.asking import reader
from provgraph.cli.cosign import add_require_witness, say_witnessed, witnessed
from provgraph.cli.output import counted
from provgraph.cli.terminal import printable
from provgraph.errors import StorageError, UsageError
from provgraph.service.exporting import (
    KINDS,
    PROV_FORMATS,
    RDF_FORMATS,
    export_bundle,
    export_openlineage,
    export_prov,
    export_rdf,
    save_bundle,
)


def add_export(commands: Any, text: str) -> argparse.ArgumentParser:
    """Add `provgraph export`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "export",
        help=text,
        description="Export the lineage of a thing with everything needed to check it. A bundle"
        " verifies offline with `provgraph verify`, or with coreutils and openssl alone. PROV-JSON, PROV-N,"
        " PROV-XML and PROV-JSONLD hold each record as a bundle; openlineage has the runs as events. What a"
        " format cannot carry is said on standard error.",
        epilog="Example: provgraph export churn:3 --format bundle --out churn-3.zip --withhold"
        ' environment --because "names internal hosts"',
    )
    parser.add_argument("thing", help="name, name:version, digest, path, run id or IRI")
    parser.add_argument(
        "--format",
        choices=(*RDF_FORMATS, *PROV_FORMATS, "openlineage", "bundle"),
        default="jsonld",
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="a file; for a bundle, a .zip or a new folder (default: stdout)",
    )
    parser.add_argument(
        "--withhold",
        metavar="WHAT",
        action="append",
        default=[],
        help="keep back the graphs of a record, of all that describe a thing, or of a kind of record"
        f" ({', '.join(KINDS)}); the bundle says so and verifies; repeatable",
    )
    parser.add_argument("--because", metavar="TEXT", help="why; said in the bundle")
    add_require_witness(parser)
    parser.set_defaults(run=run_export)
    return parser


def run_export(arguments: argparse.Namespace) -> int:
    """Export."""
    if arguments.format == "bundle":
        if arguments.out is None:
            raise UsageError("a bundle needs --out, such as --out churn-3.zip")
        with reader() as opened:
            done = witnessed(opened.settings, arguments)
            members = export_bundle(
                opened,
                arguments.thing,
                withhold=arguments.withhold,
                because=arguments.because,
                witnessed=done,
            )
        save_bundle(members, Path(arguments.out))
        say_witnessed(done)
        count = sum(name.endswith("/graph.nq") for name in members)
        folders = sum(name.endswith("/entry.json") for name in members)
        apart = f" and {folders - count} without their graphs" if folders > count else ""
        print(f"wrote {arguments.out}: {counted(count, 'record')}{apart}, {len(members)} files")
        print(f"check it anywhere with: provgraph verify {shlex.quote(arguments.out)}")
        return 0
    if arguments.withhold or arguments.because is not None:
        raise UsageError(
            "--withhold and --because are for --format bundle, which says what is missing"
        )
    left_out: tuple[str, ...] = ()
    with reader() as opened:
        if arguments.format in PROV_FORMATS:
            exported = export_prov(opened, arguments.thing, arguments.format)
            data, left_out = exported.data, exported.left_out
        elif arguments.format == "openlineage":
            exported = export_openlineage(opened, arguments.thing)
            data, left_out = exported.data, exported.left_out
        else:
            data = export_rdf(opened, arguments.thing, arguments.format)
    for each in left_out:
        print(printable(f"{arguments.format} does not carry {each}"), file=sys.stderr)
    if arguments.out is None:
        sys.stdout.buffer.write(data)
        return 0
    try:
        Path(arguments.out).write_bytes(data)
    except OSError as error:
        raise StorageError(f"cannot write {arguments.out}: {error.strerror or error}") from error
    print(f"wrote {arguments.out}: {len(data)} bytes of {arguments.format}")
    return 0
