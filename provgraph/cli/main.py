"""`provgraph`: the command line. Every command is a row of COMMANDS; `provgraph <command> -h` helps.

Exit codes: 0 done; 1 something is wrong (a bundle that does not verify, a ledger that cannot be
read); 2 the command was not asked right; 130 interrupted. `exec` gives the command's own code.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from provgraph import __version__
from provgraph.cli.terminal import printable
from provgraph.errors import ProvgraphError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command: where its module is, so that `--help` loads no other."""

    name: str
    module: str
    help: str


COMMANDS: Final = (
    Command(name="demo", module="demo", help="see the whole line on real data, in a minute"),
    Command(name="exec", module="execute", help="record any command, with no change to its code"),
    Command(name="list", module="show", help="list models, datasets and runs"),
    Command(name="show", module="show", help="show what is known of anything"),
    Command(name="lineage", module="lineage", help="where something came from, or went to"),
    Command(name="diff", module="diff", help="what differs between two runs or models"),
    Command(name="search", module="search", help="find things by words and facts"),
    Command(name="query", module="query", help="ask one of the written-down questions"),
    Command(name="sparql", module="query", help="ask in SPARQL"),
    Command(name="drift", module="drift", help="where a drop began, and how sure we are"),
    Command(name="register", module="govern", help="enter a model into the inventory"),
    Command(name="assign", module="govern", help="say who answers for a model or dataset"),
    Command(name="validate", module="govern", help="record that somebody validated a model"),
    Command(name="approve", module="govern", help="take responsibility for a model"),
    Command(name="gate", module="gate", help="may this model be promoted, by a profile"),
    Command(name="waive", module="govern", help="let a model pass without one requirement"),
    Command(name="deploy", module="govern", help="record that a model was put to work"),
    Command(name="undeploy", module="govern", help="record that a deployment is over"),
    Command(name="respond", module="govern", help="say what is done about what monitoring saw"),
    Command(name="assess", module="govern", help="say how far a model differs from the last"),
    Command(name="retract", module="govern", help="say that something is not to be relied on"),
    Command(name="withdraw", module="govern", help="withdraw a dataset or a consent"),
    Command(name="remediate", module="govern", help="decide on what a withdrawal affects"),
    Command(name="explain", module="explain", help="what a SPARQL query asks, and what to mind"),
    Command(name="import", module="importing", help="take in what another system recorded"),
    Command(name="export", module="export", help="hand lineage over, as RDF or verifiable bundle"),
    Command(name="erase", module="erase", help="take a record's content out, for good"),
    Command(name="publish", module="publish", help="write the ledger as tiles for a web server"),
    Command(name="keys", module="keys", help="whose seals count: rotate, revoke, trust files"),
    Command(name="verify", module="verify", help="check a bundle offline, or a live ledger"),
    Command(name="check", module="check", help="whether a PROV document can be true at all"),
    Command(name="cosign", module="cosign", help="have witnesses cosign this ledger"),
    Command(name="timestamp", module="timestamp", help="have this ledger time-stamped (RFC 3161)"),
    Command(name="witness", module="witness", help="run a witness for other people's ledgers"),
    Command(name="fsck", module="keep", help="check the whole ledger of this home"),
    Command(name="backup", module="backup", help="back this home up to other places"),
    Command(name="restore", module="restore", help="restore a home from a backup"),
    Command(name="serve", module="serve", help="serve this home over HTTP"),
    Command(name="access", module="access", help="tokens, roles, private projects"),
    Command(name="trail", module="trail", help="who asked this home's server what"),
    Command(name="spool", module="spool", help="what waits to be delivered to a server"),
    Command(name="status", module="keep", help="ledger size, keys, runs that are going"),
    Command(name="doctor", module="doctor", help="check this home and its machine, quickly"),
    Command(name="recover", module="keep", help="seal what killed processes have left"),
    Command(name="reindex", module="keep", help="rebuild the index from the ledger"),
    Command(name="settings", module="keep", help="list all settings and their values"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or pipe that cannot show a character gets its escape, never an error.
            stream.reconfigure(errors="backslashreplace")
    parser = _parser(arguments)
    if not arguments:
        parser.print_help()
        return 0
    try:
        parsed = parser.parse_args(arguments)
        if parsed.home is not None:
            os.environ["PROVGRAPH_HOME"] = parsed.home
        run: Callable[[argparse.Namespace], int] = parsed.run
        code = run(parsed)
        sys.stdout.flush()
    except ProvgraphError as error:
        print(printable(f"provgraph: {error}"), file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print("provgraph: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output went away (`| head`): not an error, and nothing to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="provgraph",
        description="A verifiable lineage store for machine learning.",
        epilog="Example: provgraph lineage churn:3 --up",
    )
    parser.add_argument("--version", action="version", version=f"provgraph {__version__}")
    parser.add_argument("--home", metavar="FOLDER", help="use this home (default: ~/.provgraph)")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    named = next((word for word in arguments if not word.startswith("-")), None)
    if arguments[:1] == ["--home"] and len(arguments) > 2:
        named = arguments[2]
    for command in COMMANDS:
        if command.name == named:
            import importlib

            module = importlib.import_module(f"provgraph.cli.{command.module}")
            add: Callable[..., argparse.ArgumentParser] = getattr(module, f"add_{command.name}")
            add(commands, command.help)
        else:
            commands.add_parser(command.name, help=command.help, add_help=False)
    return parser
