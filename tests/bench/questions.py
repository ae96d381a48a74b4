"""Every written-down question in CPU time, of an organisation and of one ten times as large."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provgraph.service.indexing import reindex
from provgraph.settings import load
from tests.bench.audited import MODELS, SHARED, model_name, record_teams
from tests.bench.measure import digits, spread
from tests.bench.results import Scale, Section, Table, Target
from tests.bench.stores import Stores

_REPOSITORY = Path(__file__).resolve().parents[2]
_TEAM = 1
_MODEL = {"model": model_name(_TEAM)}
_RUN = {"run": model_name(_TEAM)}
_DATA = {"dataset": f"customers-{_TEAM}"}

# Of one team the answers are equal in every organisation; `all` marks those of the whole of it.
ASKED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "Q01": ("Q01", _MODEL),
    "Q02": ("Q02", _MODEL),
    "Q03": ("Q03", _DATA),
    f"Q03, {SHARED}": ("Q03", {"dataset": SHARED}),
    "Q04": ("Q04", _MODEL),
    "Q05": ("Q05", _MODEL),
    "Q06": ("Q06", _MODEL),
    "Q07": ("Q07", _MODEL),
    "Q08": ("Q08", {"feature": f"feature/tenure-{_TEAM}"}),
    "Q09": ("Q09", {"dataset": model_name(_TEAM)}),
    "Q10": ("Q10", _RUN),
    "Q11": ("Q11", _RUN),
    "Q12": ("Q12", _RUN),
    "Q13": ("Q13", {"experiment": f"spring-{_TEAM}"}),
    "Q14": ("Q14", _RUN),
    "Q15": ("Q15", _MODEL),
    "Q16": ("Q16", _MODEL),
    "Q17": ("Q17", _MODEL),
    "Q18": ("Q18", _MODEL),
    "Q19": ("Q19", _DATA),
    "Q20, all": ("Q20", {"package": "package-3", "versions": "<1.4"}),
    "Q22": ("Q22", {"before": model_name(_TEAM, MODELS - 1), "after": model_name(_TEAM)}),
    "Q23": ("Q23", _DATA | _MODEL),
    "Q24, all": ("Q24", {}),
    "Q25": ("Q25", {"at": "2026-02-01T00:00:00Z", "named": f"model-{_TEAM}"}),
    "Q25, all": ("Q25", {"at": "2026-02-01T00:00:00Z"}),
    "Q26, all": ("Q26", {}),
    "Q27, all": ("Q27", {}),
    "Q28, all": ("Q28", {}),
    "Q29": ("Q29", _MODEL),
    "Q30": ("Q30", _MODEL),
    "Q31": ("Q31", {"thing": model_name(_TEAM)}),
    "Q31, all": ("Q31", {}),
    "Q32": ("Q32", {"thing": model_name(_TEAM)}),
    "Q34": ("Q34", _MODEL),
    "Q36, all": ("Q36", {}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """A home, and how many quads its index has."""

    folder: Path
    quads: int


def run(stores: Stores, scale: Scale) -> Section:
    """Record the organisations, then ask each question of both."""
    homes = []
    for quads in scale.questions:
        folder = stores.folder / f"audited-{quads}"
        settings = load({"PROVGRAPH_HOME": str(folder), "PROVGRAPH_NAMESPACE": "acme"})
        record_teams(settings, quads=quads)
        reindex(settings)
        homes.append(Home(folder=folder, quads=quads))
    return section(homes, repeats=scale.repeats)


def section(homes: Sequence[Home], *, repeats: int) -> Section:
    """Ask every question of every home, each in a process of its own."""
    rows, slow, failed = [], [], []
    for name in ASKED:
        found = [ask(home, name, repeats) for home in homes]
        medians = [None if each is None else spread(each[0]).median for each in found]
        last, first = medians[-1], medians[0]
        cells = [
            "over the limits"
            if each is None
            else f"{spread(each[0]).text(scale=1000)}, {each[1]:,}"
            for each in found
        ]
        ratio = digits(last / first) if last is not None and first else ""
        rows.append((name, *cells, ratio))
        if last is None:
            failed.append(name)
        elif last >= 1:
            slow.append(f"{name} {digits(last)} s")
    largest = f"{homes[-1].quads / 1e6:g} M quads"
    missed = [*(f"{name} did not end" for name in failed), *slow]
    return Section(
        title="Written-down questions",
        method=_METHOD.format(repeats=repeats, models=MODELS, shared=SHARED),
        tables=(
            Table(
                title="CPU ms, and rows, of each question",
                head=(
                    "",
                    *(f"{home.quads / 1e6:g} M quads" for home in homes),
                    "largest / smallest",
                ),
                rows=tuple(rows),
            ),
        ),
        targets=(
            Target(
                what=f"Every canned query at {largest}",
                wanted="below 1 s of CPU",
                found=f"{len(ASKED) - len(missed)} of {len(ASKED)}"
                + (f"; not: {', '.join(missed)}" if missed else ""),
                is_met=not missed,
            ),
        ),
        notes=(
            "Q33 needs a served home and Q35 an export: neither asks the index for more than one thing.",
        ),
    )


def ask(home: Home, name: str, repeats: int) -> tuple[list[float], int] | None:
    """Ask over and over; None where it ran over the limits of time or memory."""
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.bench.one_question",
                str(home.folder),
                name,
                str(repeats),
            ],
            capture_output=True,
            cwd=_REPOSITORY,
            timeout=120,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        return None
    answer = json.loads(done.stdout)
    return answer["cpu_s"], answer["rows"]


_METHOD = """\
An organisation of teams that are alike (`tests/bench/audited.py`): each has prepared its data in steps,
trained {models} models, had them judged, approved and deployed, and watches them; every run of all uses one
dataset ({shared}) and says the same of it. Recorded through the converter, sealed, and
indexed with `provgraph reindex`; a quad is a statement in the index, which holds each twice. Each
question is asked {repeats} times in a process of its own after a first time that does not count: the
query and, where it goes on in Python, its report; without proofs. Those marked `all` are asked of the
whole organisation, and their answers grow with it. CPU time, since the machine is shared."""
