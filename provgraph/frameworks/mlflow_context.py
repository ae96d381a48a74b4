"""The plugin that MLflow loads in every process (`mlflow.run_context_provider`): light, and never in the way.

Inside a run of ours it tags MLflow's runs with its id (`provgraph.run`). With PROVGRAPH_MLFLOW=record in the
environment it also has MLflow's runs recorded as they end (`provgraph.frameworks.mlflow`). It needs no class
of MLflow's: the registry asks for two methods.
"""

from __future__ import annotations

import os
import sys
from typing import Final

VARIABLE: Final = "PROVGRAPH_MLFLOW"
RUN_TAG: Final = "provgraph.run"


class RunContext:
    """What MLflow asks when it begins a run."""

    def in_context(self) -> bool:
        """Whether there is something to tag."""
        if os.environ.get(VARIABLE) == "record":
            from provgraph.frameworks.mlflow import record_runs

            record_runs()
        return _run() is not None

    def tags(self) -> dict[str, str]:
        """Return the tags of a run that begins now."""
        run = _run()
        return {} if run is None else {RUN_TAG: run}


def _run() -> str | None:
    """Return the id of the run of ours around this; nothing of capture is loaded to find out."""
    module = sys.modules.get("provgraph.capture.open_runs")
    if module is None:
        return os.environ.get("PROVGRAPH_PARENT_RUN") or None
    run = module.current_run()
    found: str | None = module.inherited_parent(os.environ) if run is None else run.id
    return found
