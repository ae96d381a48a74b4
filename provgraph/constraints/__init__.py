"""PROV-CONSTRAINTS: is a provenance document possible at all?

Specification: Constraints of the PROV Data Model (W3C Recommendation, 30 April 2013). `check` brings
a document to its normal form (missing arguments become unknowns, statements that must be about one
thing are unified), draws the order of its events, and names what cannot be, with the number of the
constraint and the statements that offend. Beside these it says where recorded times
contradict that order, under the same numbers; the recommendation leaves clocks out of validity, so
these are told apart from violations.
"""

from provgraph.constraints.checking import check
from provgraph.constraints.statements import Document, Finding, Statement

__all__ = ["Document", "Finding", "Statement", "check"]
