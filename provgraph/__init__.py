"""provgraph: a verifiable lineage store for machine learning, on W3C PROV.

    import provgraph

    with provgraph.run("train", project="churn", owner="ada@example.org") as run:
        data = run.use("customers.csv", role="train", licence="CC-BY-4.0")
        run.log_params(depth=6)
        model = run.generate("model.joblib", role="model", name="churn", version="3")
        run.evaluate(model, data, metric="roc_auc", value=0.91, n=1000)

    for row in provgraph.ask("Q19", dataset="customers.csv"):
        print(row["kind"], row["label"])

Importing this is light: nothing but the standard library is loaded before a run is sealed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Consent",
    "IntendedUse",
    "__version__",
    "approve",
    "ask",
    "assess_change",
    "assign",
    "current_run",
    "deploy",
    "describe",
    "drift_origin",
    "gate",
    "gate_decision",
    "observe",
    "register",
    "remediate",
    "respond",
    "retract",
    "run",
    "undeploy",
    "validate",
    "waive",
    "withdraw",
]

if TYPE_CHECKING:
    from provgraph.capture.described import Consent, IntendedUse
    from provgraph.capture.run import current_run
    from provgraph.service.api import observe, run
    from provgraph.service.drift_api import drift_origin
    from provgraph.service.gating import gate
    from provgraph.service.governed import (
        approve,
        assess_change,
        assign,
        deploy,
        describe,
        gate_decision,
        register,
        remediate,
        respond,
        retract,
        undeploy,
        validate,
        waive,
        withdraw,
    )
    from provgraph.service.notebook import ask

_WHERE = {
    "run": "provgraph.service.api",
    "deploy": "provgraph.service.governed",
    "observe": "provgraph.service.api",
    "approve": "provgraph.service.governed",
    "retract": "provgraph.service.governed",
    "describe": "provgraph.service.governed",
    "Consent": "provgraph.capture.described",
    "IntendedUse": "provgraph.capture.described",
    "ask": "provgraph.service.notebook",
    "drift_origin": "provgraph.service.drift_api",
    "current_run": "provgraph.capture.run",
    "assess_change": "provgraph.service.governed",
    "assign": "provgraph.service.governed",
    "gate": "provgraph.service.gating",
    "gate_decision": "provgraph.service.governed",
    "register": "provgraph.service.governed",
    "remediate": "provgraph.service.governed",
    "respond": "provgraph.service.governed",
    "undeploy": "provgraph.service.governed",
    "validate": "provgraph.service.governed",
    "waive": "provgraph.service.governed",
    "withdraw": "provgraph.service.governed",
}


def __getattr__(name: str) -> Any:
    """Load the public functions when they are first asked for (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'provgraph' has no attribute {name!r}")
    import importlib

    from provgraph.loading import import_lock

    with import_lock:
        value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value
