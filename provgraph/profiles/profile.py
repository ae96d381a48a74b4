"""What a profile says: of a table, of its columns, of its columns by label, of pairs of columns.

A profile follows from the rows as a multiset: their order, their chunks and the library that held
them are not part of it, so the same data has the same profile, byte for byte. What was looked at in
part only (`sampled`, `joint_rows`) or left out (`notes`, `withheld`) is said.

A missing cell is a null; NaN counts as one, as in `table-v1`, since pandas cannot tell them apart.
Times are seconds since 1970 (UTC, or wall clock where there is no zone), times of day and durations
seconds, lists their lengths, texts are not numbers and have lengths.
"""

from __future__ import annotations

from typing import Final

from provgraph.frozen import dataclass
from provgraph.profiles.quantiles import Quantiles
from provgraph.profiles.values import Frequent, Value

MAX_BYTES: Final = 40_000
"""Of a profile as canonical JSON."""

TYPES: Final = (
    "null",  # not a single value
    "bool",
    "integer",
    "float",
    "string",
    "bytes",
    "date",
    "timestamp",
    "instant",
    "duration",
    "time",
    "decimal",
    "list",
    "struct",
    "mixed",
    "unreadable",
)
TIMES: Final = frozenset({"date", "timestamp", "instant"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Lengths of texts and bytes, in bytes of UTF-8; of lists in items."""

    minimum: int
    maximum: int
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """One column. Counts are rows; `distinct` counts values, nulls apart.

    `registers` are for merging (`.distinct`), `buckets` count rows by the hash of their value, so
    that two columns of text can be compared without a list of their values. `withheld` says why
    values are not listed. `patterns` are the shapes of texts (`9-9`, `a@a.a`) in the joint sample.
    """

    name: str
    type: str
    unit: str | None = None
    nulls: int = 0
    infinite: int = 0
    distinct: int | None = None
    is_distinct_exact: bool = True
    mean: float | None = None
    variance: float | None = None  # over n - 1
    quantiles: Quantiles | None = None  # of the finite values
    frequent: Frequent | None = None
    registers: str | None = None
    buckets: tuple[int, ...] = ()
    lengths: Lengths | None = None
    patterns: tuple[tuple[str, int], ...] = ()
    withheld: str | None = None
    unreadable: str | None = None

    @property
    def is_constant(self) -> bool:
        """Whether no two rows differ."""
        return self.distinct == 0 or (self.distinct == 1 and not self.nulls)

    @property
    def minimum(self) -> float | None:
        """The smallest finite value."""
        return None if self.quantiles is None else self.quantiles.minimum

    @property
    def maximum(self) -> float | None:
        """The largest finite value."""
        return None if self.quantiles is None else self.quantiles.maximum


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One column among the rows of one class or bin of the label."""

    rows: int
    nulls: int = 0
    quantiles: Quantiles | None = None
    frequent: Frequent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The column that a model is to predict, and its classes or bins.

    Classes are listed with their counts over all rows that were looked at. A label with more than
    MAX_CLASSES numbers has bins instead: bin i holds what is above edge i - 1 and up to edge i.
    """

    name: str
    origin: str  # given | guessed: by the name of the column
    classes: tuple[tuple[Value, int], ...] = ()
    edges: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ByLabel:
    """A column by the label: one group per class or bin, in their order."""

    column: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Association:
    """How two columns go together, over the rows of the joint sample that have both.

    `spearman` is a rank correlation from -1 to 1; `eta` (0 to 1) is the correlation ratio of ranks,
    where one of the two has classes without an order.
    """

    one: str
    other: str
    measure: str  # spearman | eta
    value: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """Which rows were looked at: of `rows` every `step`-th, or those with the smallest hashes."""

    rows: int
    of: int
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableProfile:
    """A table or matrix. `columns` are its first ones; `column_count` counts all."""

    rows: int
    column_count: int
    columns: tuple[ColumnProfile, ...]
    sampled: Sampled | None = None  # None: every row was looked at
    joint: Sampled | None = None  # what labels and associations were taken from; None: all of it
    label: Label | None = None
    by_label: tuple[ByLabel, ...] = ()
    associations: tuple[Association, ...] = ()
    parts: int = 1  # how many profiles were merged into this one
    notes: tuple[str, ...] = ()

    @property
    def profiled_rows(self) -> int:
        """How many rows the figures of columns are about."""
        return self.rows if self.sampled is None else self.sampled.rows

    def column(self, name: str) -> ColumnProfile | None:
        """Return the first column of a name, None where there is none."""
        return next((column for column in self.columns if column.name == name), None)
