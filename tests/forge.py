"""A true bundle, and the means to change its members and sign the list of them again."""

from __future__ import annotations

from pathlib import Path

from provgraph.seal.bundle import write_manifest
from provgraph.seal.charter import open_charter
from provgraph.seal.keys import Signer
from provgraph.seal.members import MANIFEST
from provgraph.seal.note import NoteSigner
from provgraph.service.asking import open_reader
from provgraph.service.exporting import export_bundle
from provgraph.service.home import log_signer
from provgraph.settings import load


class Forge:
    """The bundle's members, with the real log key: the strongest position of a forger."""

    def __init__(self, home: Path) -> None:
        self.settings = load({"PROVGRAPH_HOME": str(home)})
        with open_reader(self.settings) as reader:
            self.members = export_bundle(reader, "churn:2")
        self.origin = open_charter(self.members["charter"]).origin
        self.folders = sorted(
            {name.rpartition("/")[0] for name in self.members if name.endswith("/graph.nq")}
        )

    def signed(self, members: dict[str, bytes], signer: Signer | None = None) -> dict[str, bytes]:
        """Sign the list of members again, so that only a deeper step can object."""
        plain = {name: data for name, data in members.items() if name != MANIFEST}
        note = NoteSigner(name=self.origin, signer=signer or log_signer(self.settings))
        return {**plain, MANIFEST: write_manifest(plain, origin=self.origin, signer=note)}
