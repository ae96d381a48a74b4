"""Every setting in one table: name, unit, default, help. Environment first, then `config.toml`.

A setting `query_timeout_s` is the environment variable `PROVGRAPH_QUERY_TIMEOUT_S` and the key
`query_timeout_s` in `<home>/config.toml`. What describes one process and not a home is read from the
environment alone, where it is used: `PROVGRAPH_KEY_PASSPHRASE`, `PROVGRAPH_PKCS11_PIN` and
`VAULT_TOKEN` (secrets), `VAULT_ADDR`, `PROVGRAPH_PARENT_RUN`, `PROVGRAPH_ENV_ALLOW` and `PROVGRAPH_CONTAINER_IMAGE` (probes).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from provgraph.errors import UsageError
from provgraph.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table."""

    name: str
    default: str
    unit: str
    help: str
    is_flag: bool = False  # of `provgraph serve`, too


TABLE: Final = (
    Setting(
        name="home",
        default="~/.provgraph",
        unit="folder",
        help="Where ledger, keys, journals and index live.",
    ),
    Setting(
        name="namespace",
        default="",
        unit="text",
        help="Whose names these are (models, persons): your organisation's domain, say."
        " Chosen once, when the ledger is made; empty means a random one of its own.",
    ),
    Setting(
        name="strict",
        default="auto",
        unit="auto|on|off",
        help="Whether capture raises its own faults. auto: only under pytest.",
    ),
    Setting(
        name="enabled",
        default="on",
        unit="on|off",
        help="off turns capture into a no-op, without a change of code.",
    ),
    Setting(
        name="owner",
        default="",
        unit="text",
        help="Owner of runs that name none.",
    ),
    Setting(
        name="profile",
        default="on",
        unit="on|off",
        help="Whether tables in memory are profiled, column by column, when they are recorded.",
    ),
    Setting(
        name="profile_rows",
        default="1000000",
        unit="rows",
        help="A table with more rows is profiled by every second, third, n-th of them.",
    ),
    Setting(
        name="profile_s",
        default="10",
        unit="seconds",
        help="CPU time after which the columns of a table that are left are not profiled.",
    ),
    Setting(
        name="profile_values",
        default="on",
        unit="on|off",
        help="Whether profiles list frequent values; those that identify are never listed.",
    ),
    Setting(
        name="producer_key",
        default="",
        unit="text",
        help="The key that seals records: a file, pkcs11:token=…;object=…?module-path=… or"
        " vault:<mount>/<key>@<version>; empty: keys/producer.pem, made on first use.",
    ),
    Setting(
        name="steward_key",
        default="",
        unit="text",
        help="The same for the key that seals what decides about the ledger (keys/steward.pem).",
    ),
    Setting(
        name="log_key",
        default="",
        unit="text",
        help="The same for the key that signs checkpoints (keys/log.pem); Ed25519 only, and fixed"
        " when the ledger is made.",
    ),
    Setting(
        name="checkpoint_copies",
        default="",
        unit="folders",
        help="Where copies of the last witnessed checkpoint are kept: folders on other disks, with"
        f" '{os.pathsep}' between them. A ledger that is older than a copy is not written to.",
    ),
    Setting(
        name="server",
        default="",
        unit="text",
        help="Record to this server, such as https://lineage.example.org, and not into a ledger of"
        " this home. Its token goes into PROVGRAPH_TOKEN.",
    ),
    Setting(
        name="query_timeout_s",
        default="60",
        unit="seconds",
        help="Deadline of a free SPARQL query; at the deadline its process is killed.",
        is_flag=True,
    ),
    Setting(
        name="query_memory_mib",
        default="2048",
        unit="MiB",
        help="Address space that the process of a free SPARQL query may take beyond its start.",
        is_flag=True,
    ),
    Setting(
        name="query_rows",
        default="100000",
        unit="rows",
        help="Rows after which a free SPARQL query is refused rather than cut.",
    ),
    Setting(
        name="query_answer_mib",
        default="256",
        unit="MiB",
        help="Size after which a server refuses an answer rather than cut it.",
        is_flag=True,
    ),
    Setting(
        name="cors_origins",
        default="",
        unit="text",
        help="Origins of web pages that may ask the server, such as https://audit.example.org,"
        " several with commas between; empty: none.",
        is_flag=True,
    ),
    Setting(
        name="openid_issuer",
        default="",
        unit="text",
        help="Issuer of OpenID tokens that the server takes, such as https://login.example.org;"
        " empty: none.",
        is_flag=True,
    ),
    Setting(
        name="openid_audience",
        default="provgraph",
        unit="text",
        help="Audience that an OpenID token must be for.",
        is_flag=True,
    ),
    Setting(
        name="openid_keys",
        default="",
        unit="text",
        help="The issuer's keys (JWKS): an https address, or a file.",
        is_flag=True,
    ),
    Setting(
        name="listen",
        default="127.0.0.1:8321",
        unit="text",
        help="Address and port that `provgraph serve` listens on, such as 0.0.0.0:8321 or [::1]:8321;"
        " port 0 takes a free one. Other machines are let in once somebody has a token.",
        is_flag=True,
    ),
    Setting(
        name="tls_cert",
        default="",
        unit="text",
        help="Certificate chain (PEM) to serve HTTPS with; empty: HTTP.",
        is_flag=True,
    ),
    Setting(
        name="tls_key",
        default="",
        unit="text",
        help="Private key (PEM, not encrypted) of tls_cert.",
        is_flag=True,
    ),
    Setting(
        name="public_url",
        default="",
        unit="text",
        help="Where clients reach the server, such as https://lineage.example.org; empty: as each"
        " request says.",
        is_flag=True,
    ),
    Setting(
        name="trusted_proxies",
        default="",
        unit="text",
        help="Addresses or networks whose X-Forwarded-For and -Proto count, such as 127.0.0.1 or"
        " 10.0.0.0/8, several with commas between; empty: nobody's.",
        is_flag=True,
    ),
    Setting(
        name="max_connections",
        default="1000",
        unit="connections",
        help="Connections that a server keeps; the longest idle one makes room for a new one.",
        is_flag=True,
    ),
    Setting(
        name="requests_per_s",
        default="500",
        unit="requests",
        help="Requests per second that one caller may send for long; beyond it 429.",
        is_flag=True,
    ),
    Setting(
        name="requests_burst",
        default="1000",
        unit="requests",
        help="Requests that one caller may send at once, after a rest.",
        is_flag=True,
    ),
    Setting(
        name="shutdown_s",
        default="30",
        unit="seconds",
        help="How long a server that was told to stop answers requests under way.",
        is_flag=True,
    ),
    Setting(
        name="log_format",
        default="text",
        unit="text|json",
        help="One line a request on standard error, as text or as JSON.",
        is_flag=True,
    ),
    Setting(
        name="index_wait_s",
        default="30",
        unit="seconds",
        help="How long to wait for another process that is using the index.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings in force, parsed."""

    home: Path
    namespace: str
    strict: str
    enabled: bool
    owner: str
    profile: bool
    profile_rows: int
    profile_s: float
    profile_values: bool
    producer_key: str
    steward_key: str
    log_key: str
    checkpoint_copies: tuple[Path, ...]
    server: str
    query_timeout_s: float
    query_memory_mib: int
    query_rows: int
    query_answer_mib: int
    cors_origins: str
    openid_issuer: str
    openid_audience: str
    openid_keys: str
    listen: str
    tls_cert: str
    tls_key: str
    public_url: str
    trusted_proxies: str
    max_connections: int
    requests_per_s: int
    requests_burst: int
    shutdown_s: float
    log_format: str
    index_wait_s: float

    @property
    def ledger_path(self) -> Path:
        """The ledger's SQLite file."""
        return self.home / "ledger.db"

    @property
    def keys_folder(self) -> Path:
        """Where private keys are kept."""
        return self.home / "keys"

    @property
    def index_folder(self) -> Path:
        """The disposable index."""
        return self.home / "index"

    @property
    def trust_folder(self) -> Path:
        """The trust files that were installed, one per version."""
        return self.home / "trust"

    @property
    def journal_folder(self) -> Path:
        """Facts of runs that are not sealed yet."""
        return self.home / "journal"


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings in force.

    Raises:
        UsageError: a value that its row does not allow, or an unreadable config.toml.
    """
    given = tuple([environ.get(variable) or None for variable in _VARIABLES])
    home = given[0] or TABLE[0].default
    surroundings = None  # what the home's name depends on
    if home.startswith("~"):
        surroundings = os.environ.get("HOME")
    elif not os.path.isabs(home):
        surroundings = os.getcwd()
    settings = _without_config(given, surroundings)
    stored = _read_config(settings.home)
    return settings if stored is None else _parsed(settings.home, given, stored)


_VARIABLES: Final = tuple([f"PROVGRAPH_{row.name.upper()}" for row in TABLE])


@functools.lru_cache(maxsize=16)
def _without_config(given: tuple[str | None, ...], _surroundings: str | None) -> Settings:
    """Return what holds where the home has no config.toml: the same from run to run."""
    home = Path(given[0] or TABLE[0].default).expanduser().absolute()
    return _parsed(home, given, {})


def _parsed(home: Path, given: tuple[str | None, ...], stored: Mapping[str, object]) -> Settings:
    values: dict[str, object] = {}
    for row, text in zip(TABLE, given, strict=True):
        values[row.name] = _parse(row, str(text or stored.get(row.name) or row.default))
    values["home"] = home
    return Settings(**values)  # type: ignore[arg-type]


def is_strict(settings: Settings, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether capture raises its own faults: by setting, or because pytest is running."""
    if settings.strict == "auto":
        return "PYTEST_CURRENT_TEST" in environ
    return settings.strict == "on"


def _parse(row: Setting, text: str) -> object:
    if row.unit == "seconds":
        return _number(row, text)
    if row.unit in {"MiB", "rows", "connections", "requests"}:
        return max(1, int(_number(row, text)))
    if row.unit == "folders":
        return tuple(Path(each).expanduser().absolute() for each in text.split(os.pathsep) if each)
    if "|" in row.unit:
        if text not in row.unit.split("|"):
            raise UsageError(f"setting {row.name}: expected one of {row.unit}, found {text!r}")
        return text == "on" if row.unit == "on|off" else text
    return text


def _number(row: Setting, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(
            f"setting {row.name}: expected a number above 0 of {row.unit}, found {text!r}"
        )
    return value


def _read_config(home: Path) -> Mapping[str, object] | None:
    """Return what config.toml says, None where there is none."""
    name = f"{home}/config.toml"
    try:
        os.stat(name)  # in most homes there is none: an open file and a Path would cost more
        text = Path(name).read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror}; mend its permissions") from error
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not valid TOML: {error}") from None
    unknown = sorted(set(data) - {row.name for row in TABLE if row.name != "home"})
    if unknown:
        raise UsageError(f"{name}: unknown setting {unknown[0]!r}; `provgraph settings` lists all")
    return data
