"""schemathesis over the server's own OpenAPI document, as its command line runs it."""

import subprocess
import sys
from pathlib import Path

CHECKS = (
    "not_a_server_error",
    "response_schema_conformance",
    "content_type_conformance",
    "unsupported_method",
    "ignored_auth",
)


def run_schemathesis(server, secret, *options):
    """Return the exit code and the end of what it printed."""
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "st"),
            "run",
            f"http://127.0.0.1:{server.port}/openapi.json",
            "--header",
            f"Authorization: Bearer {secret}",
            "--checks",
            ",".join(CHECKS),
            "--continue-on-failure",
            "--generation-database",
            "none",
            "--no-color",
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout[-8000:] + done.stderr[-2000:]
