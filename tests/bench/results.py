"""What a benchmark has to say: tables, targets with a verdict, and sentences made of its numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that was promised, and whether this run of the benchmark kept it."""

    what: str
    wanted: str
    found: str
    is_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a head."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The results on one subject. `method` says how they were got; `notes` what they say."""

    title: str
    method: str
    tables: tuple[Table, ...]
    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much work is done: enough for a result, or just enough to see that it all runs."""

    blocks: int  # of each side, in turns
    block_runs: int  # runs in a block
    records: int  # in the chain of lineage that is exported
    repeats: int  # of a single question or command
    verified: int  # entries of a ledger that is checked whole
    indexed: int  # entries of an index that is checked against its ledger
    leaves: int  # of a tree in which entries are proved
    serving_s: float  # that clients record over HTTP
    organisations: tuple[int, ...]  # quads of each synthetic organisation, smallest first
    stored_quads: int  # up to here an organisation is put into Oxigraph as well
    questions: tuple[int, ...]  # quads of each organisation that every question is asked of
    planted: tuple[int, int]  # layers and width of the lineage that all of them hold

    @property
    def runs(self) -> int:
        """Runs that each store holds after recording."""
        return self.blocks * self.block_runs


FULL = Scale(
    blocks=20,
    block_runs=50,
    records=100,
    repeats=15,
    verified=100_000,
    indexed=30_000,
    leaves=10_000_000,
    serving_s=60.0,
    organisations=(1_000_000, 10_000_000, 50_000_000),
    stored_quads=10_000_000,
    questions=(1_000_000, 10_000_000),
    planted=(200, 100),
)
QUICK = Scale(
    blocks=2,
    block_runs=6,
    records=4,
    repeats=2,
    verified=40,
    indexed=20,
    leaves=1_000,
    serving_s=1.0,
    organisations=(2_000, 4_000),
    stored_quads=4_000,
    questions=(20_000, 40_000),
    planted=(4, 5),
)
