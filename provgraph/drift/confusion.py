"""How right a model is class by class, read off the profile of its predictions by the true label.

The predictions of an evaluation are a table with the column `prediction` and the label; its profile by
label holds the confusion matrix. So it can be asked what a changed mix of labels alone would do.
"""

from __future__ import annotations

from provgraph.frozen import dataclass
from provgraph.profiles.profile import Group, TableProfile
from provgraph.profiles.values import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRates:
    """Per class of the label: its share of rows, and the share of them predicted as it."""

    shares: dict[str, float]
    right: dict[str, float]

    @property
    def accuracy(self) -> float:
        """Return the share of all rows predicted right."""
        return sum(share * self.right.get(name, 0.0) for name, share in self.shares.items())


def class_rates(profile: TableProfile) -> ClassRates | None:
    """Read the rates; None where the label has no classes or predictions are numbers."""
    if profile.label is None or not profile.label.classes:
        return None
    found = next((each for each in profile.by_label if each.column == "prediction"), None)
    if found is None or len(found.groups) != len(profile.label.classes):
        return None
    shares, right = {}, {}
    total = sum(count for _, count in profile.label.classes)
    for (value, count), group in zip(profile.label.classes, found.groups, strict=True):
        if total == 0:
            return None
        hit = _share_of(group, value)
        if hit is None:
            return None
        shares[_plain(value)] = count / total
        right[_plain(value)] = hit
    return ClassRates(shares=shares, right=right)


def _share_of(group: Group, value: Value) -> float | None:
    """Return the share of a group's rows that have a value; off by a gap where read off quantiles."""
    if group.frequent is not None:
        hits = sum(c for v, c in group.frequent.counts if _plain(v) == _plain(value))
        return hits / max(group.rows, 1)
    if group.quantiles is None or isinstance(value, str):
        return None
    number = float(value)
    return max(0.0, group.quantiles.share_up_to(number) - group.quantiles.share_below(number))


def reweighted(before: ClassRates, after: ClassRates) -> float | None:
    """Return the share of the drop that is gone once classes weigh what they did before.

    1: the classes are predicted as well as ever, only their shares changed. 0: the mix has no part.
    """
    drop = before.accuracy - after.accuracy
    if drop < 0.005:
        return None
    known = {name: rate for name, rate in after.right.items() if name in before.shares}
    weight = sum(before.shares[name] for name in known)
    if weight < 0.5:
        return None
    weighted = sum(before.shares[name] * rate for name, rate in known.items()) / weight
    return (weighted - after.accuracy) / drop


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
