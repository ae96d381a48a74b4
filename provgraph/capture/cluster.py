"""Which scheduler or launcher started this process, and which of how many processes it is.

One table, from the documentation of each system. Several rows may be in force (torchrun under
Slurm on Kubernetes), so facts carry the system's name: `slurm.job_id`. The rank comes from the
first row that has one, innermost launcher first. Ranks of machines are not ranks of processes and
are left out. The values are copied, not interpreted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provgraph.capture.attempt import learn
from provgraph.capture.redact import redact_value
from provgraph.errors import CaptureError
from provgraph.frozen import dataclass, field
from provgraph.records import Missing


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSystem:
    """One row: how a system is known, its facts, and where it says rank and number of processes."""

    name: str
    markers: tuple[str, ...]  # any of them
    facts: Mapping[str, str]  # fact -> variable
    rank: str | None = None
    world_size: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where in a cluster this process runs; empty when in none."""

    cluster: dict[str, str] = field(default_factory=dict)
    variables: frozenset[str] = frozenset()  # those that became facts
    rank: int | None = None
    world_size: int | None = None
    missing: tuple[Missing, ...] = ()


# Innermost launcher first: its rank is that of this process.
SYSTEMS: Final = (
    ClusterSystem(
        name="torchrun",
        markers=("TORCHELASTIC_RUN_ID",),
        facts={
            "run_id": "TORCHELASTIC_RUN_ID",
            "restart_count": "TORCHELASTIC_RESTART_COUNT",
            "local_rank": "LOCAL_RANK",
            "group_rank": "GROUP_RANK",
        },
        rank="RANK",
        world_size="WORLD_SIZE",
    ),
    # The env:// rendezvous of torch.distributed, which other launchers (Ray Train, DeepSpeed,
    # Accelerate, the Kubeflow trainer) fill too.
    ClusterSystem(
        name="torch.distributed",
        markers=("WORLD_SIZE",),
        facts={"local_rank": "LOCAL_RANK", "master": "MASTER_ADDR"},
        rank="RANK",
        world_size="WORLD_SIZE",
    ),
    ClusterSystem(
        name="horovod",
        markers=("HOROVOD_RANK",),
        facts={"local_rank": "HOROVOD_LOCAL_RANK"},
        rank="HOROVOD_RANK",
        world_size="HOROVOD_SIZE",
    ),
    ClusterSystem(
        name="openmpi",
        markers=("OMPI_COMM_WORLD_RANK",),
        facts={"local_rank": "OMPI_COMM_WORLD_LOCAL_RANK"},
        rank="OMPI_COMM_WORLD_RANK",
        world_size="OMPI_COMM_WORLD_SIZE",
    ),
    ClusterSystem(
        name="mvapich",
        markers=("MV2_COMM_WORLD_RANK",),
        facts={"local_rank": "MV2_COMM_WORLD_LOCAL_RANK"},
        rank="MV2_COMM_WORLD_RANK",
        world_size="MV2_COMM_WORLD_SIZE",
    ),
    ClusterSystem(  # MPICH, Intel MPI
        name="pmi",
        markers=("PMI_RANK",),
        facts={"local_rank": "MPI_LOCALRANKID"},
        rank="PMI_RANK",
        world_size="PMI_SIZE",
    ),
    ClusterSystem(
        name="slurm.step",
        # Only srun sets these. In the batch script itself SLURM_PROCID is 0 of SLURM_NTASKS, though
        # it is one process.
        markers=("SLURM_STEP_NUM_TASKS",),
        facts={"step_id": "SLURM_STEP_ID", "local_rank": "SLURM_LOCALID", "node": "SLURM_NODEID"},
        rank="SLURM_PROCID",
        world_size="SLURM_STEP_NUM_TASKS",
    ),
    ClusterSystem(
        name="slurm",
        markers=("SLURM_JOB_ID",),
        facts={
            "job_id": "SLURM_JOB_ID",
            "job_name": "SLURM_JOB_NAME",
            "account": "SLURM_JOB_ACCOUNT",
            "partition": "SLURM_JOB_PARTITION",
            "qos": "SLURM_JOB_QOS",
            "cluster": "SLURM_CLUSTER_NAME",
            "nodes": "SLURM_JOB_NODELIST",
            "node_count": "SLURM_JOB_NUM_NODES",
            "gpus": "SLURM_JOB_GPUS",
            "array_job_id": "SLURM_ARRAY_JOB_ID",
            "array_task_id": "SLURM_ARRAY_TASK_ID",
            "restart_count": "SLURM_RESTART_COUNT",
            "submit_host": "SLURM_SUBMIT_HOST",
            "user": "SLURM_JOB_USER",
        },
    ),
    ClusterSystem(
        name="pbs",
        markers=("PBS_JOBID",),
        facts={
            "job_id": "PBS_JOBID",
            "job_name": "PBS_JOBNAME",
            "queue": "PBS_QUEUE",
            "array_index": "PBS_ARRAY_INDEX",
        },
    ),
    ClusterSystem(
        name="lsf",
        markers=("LSB_JOBID",),
        facts={
            "job_id": "LSB_JOBID",
            "job_name": "LSB_JOBNAME",
            "queue": "LSB_QUEUE",
            "array_index": "LSB_JOBINDEX",
        },
    ),
    ClusterSystem(
        name="ray",
        markers=("RAY_JOB_ID", "RAY_ADDRESS"),
        facts={
            "job_id": "RAY_JOB_ID",
            "submission_id": "RAY_JOB_SUBMISSION_ID",
            "address": "RAY_ADDRESS",
            "cluster": "RAY_CLUSTER_NAME",
        },
    ),
    ClusterSystem(
        name="sagemaker",
        markers=("TRAINING_JOB_NAME", "SM_CURRENT_HOST"),
        facts={
            "job_name": "TRAINING_JOB_NAME",
            "job_arn": "TRAINING_JOB_ARN",
            "host": "SM_CURRENT_HOST",
            "hosts": "SM_HOSTS",
            "instance_type": "SM_CURRENT_INSTANCE_TYPE",
        },
    ),
    ClusterSystem(
        name="kubeflow",
        markers=("KFP_POD_NAME", "PET_NNODES", "TF_CONFIG"),
        facts={
            "pod": "KFP_POD_NAME",
            "pod_uid": "KFP_POD_UID",
            "namespace": "KFP_NAMESPACE",
            "run_id": "KFP_RUN_ID",
            "node_count": "PET_NNODES",
            "node_rank": "PET_NODE_RANK",
            "tf_config": "TF_CONFIG",
        },
    ),
    ClusterSystem(
        name="kubernetes",
        markers=("KUBERNETES_SERVICE_HOST",),
        # What is not set by Kubernetes itself is named as in its downward API examples.
        facts={
            "pod": "POD_NAME",
            "pod_uid": "POD_UID",
            "namespace": "POD_NAMESPACE",
            "node": "NODE_NAME",
            "service_account": "POD_SERVICE_ACCOUNT",
            "completion_index": "JOB_COMPLETION_INDEX",
        },
    ),
)


def probe_cluster(environ: Mapping[str, str]) -> Placement:
    """Return where in a cluster this process runs. Being in none is a fact, nothing missing."""
    present = [row for row in SYSTEMS if any(environ.get(name) for name in row.markers)]
    facts: dict[str, str] = {}  # variable -> fact; the innermost launcher names it
    for row in present:
        for fact, name in row.facts.items():
            if environ.get(name):
                facts.setdefault(name, f"{row.name}.{fact}")
    missing: list[Missing] = []
    ranked = next((row for row in present if row.rank and environ.get(row.rank)), None)
    place = None
    if ranked is not None:
        place = learn("rank", lambda: _place(ranked, environ), missing)
    rank, world_size = place or (None, None)
    return Placement(
        cluster={fact: redact_value(name, environ[name]) for name, fact in facts.items()},
        variables=frozenset(facts),
        rank=rank,
        world_size=world_size,
        missing=tuple(missing),
    )


def _place(row: ClusterSystem, environ: Mapping[str, str]) -> tuple[int, int | None]:
    """Read rank and number of processes; refuse a pair that cannot be."""
    rank_name, size_name = row.rank or "", row.world_size or ""
    found = {name: environ[name] for name in (rank_name, size_name) if environ.get(name)}
    for name, text in found.items():
        if not (text.isascii() and text.isdigit()):
            raise CaptureError(f"{name} is {text!r}, not a number")
    rank = int(found[rank_name])
    world_size = int(found[size_name]) if size_name in found else None
    if world_size is not None and rank >= world_size:
        raise CaptureError(f"{rank_name}={rank} is not below {size_name}={world_size}")
    return rank, world_size
