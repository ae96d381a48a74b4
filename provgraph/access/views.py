"""Which projects a caller sees: the name of the snapshot that it is served from.

A view says what it leaves out, never what the policy was when it was made. So a snapshot of a view is
right whatever the policy becomes: when a project is made private, callers get other views, and with
them other snapshots, at their next request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provgraph.access.roles import READ_PRIVATE, rights_of
from provgraph.access.verdict import Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What is shown: all records but those that need a hidden project, or those of some projects only.

    In any view but the full one, records of which nobody can tell are left out as well.
    """

    hidden: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    @property
    def is_full(self) -> bool:
        """Whether nothing is left out."""
        return not self.hidden and self.only is None

    def shows(self, project: str) -> bool:
        """Whether the records of a project are in it."""
        return project not in self.hidden and (self.only is None or project in self.only)

    def with_projects(self, projects: frozenset[str]) -> View:
        """Return the view that shows these projects as well."""
        only = None if self.only is None else self.only | projects
        return View(hidden=self.hidden - projects, only=only)


FULL: Final = View()


def view_of(caller: Caller, *, private: frozenset[str]) -> View:
    """Return what a caller sees where these projects are private: the rules 4 and 5 of `judge`."""
    hidden = private - caller.member_of
    if READ_PRIVATE in rights_of(caller.roles):
        hidden = frozenset()
    if caller.projects is not None:
        return View(only=caller.projects - hidden)
    return View(hidden=hidden)
