"""CI systems, clusters, variables: what the environment variables of each are taken to mean."""

from __future__ import annotations

import pytest

from provgraph.capture import ci, cluster
from provgraph.capture.ci import CiJob, probe_ci
from provgraph.capture.cluster import Placement, probe_cluster
from provgraph.capture.variables import MAX_CHARACTERS, probe_variables
from provgraph.records import Missing


# ---- CI ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("environ", "system", "job", "actor"),
    [
        ({"GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com",
          "GITHUB_REPOSITORY": "team/churn", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2",
          "GITHUB_ACTOR": "ana", "GITHUB_TRIGGERING_ACTOR": "bo", "CI": "true"},
         "GitHub Actions", "https://github.com/team/churn/actions/runs/7/attempts/2", "bo"),
        ({"GITHUB_ACTIONS": "true", "GITEA_ACTIONS": "true", "GITHUB_SERVER_URL": "https://git.example",
          "GITHUB_REPOSITORY": "team/churn", "GITHUB_RUN_NUMBER": "7", "GITHUB_ACTOR": "ana"},
         "Gitea Actions", "https://git.example/team/churn/actions/runs/7", "ana"),
        ({"GITLAB_CI": "true", "CI_JOB_URL": "https://gitlab.com/a/-/jobs/1",
          "GITLAB_USER_LOGIN": "ana"}, "GitLab CI", "https://gitlab.com/a/-/jobs/1", "ana"),
        ({"JENKINS_URL": "https://ci/", "BUILD_URL": "https://ci/job/churn/3/",
          "BUILD_USER_ID": "ana"}, "Jenkins", "https://ci/job/churn/3/", "ana"),
        ({"CIRCLECI": "true", "CIRCLE_BUILD_URL": "https://circleci.com/gh/a/1",
          "CIRCLE_USERNAME": "ana"}, "CircleCI", "https://circleci.com/gh/a/1", "ana"),
        ({"TF_BUILD": "True", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/o/",
          "SYSTEM_TEAMPROJECT": "p", "BUILD_BUILDID": "9", "BUILD_REQUESTEDFOR": "Ana"},
         "Azure Pipelines", "https://dev.azure.com/o/p/_build/results?buildId=9", "Ana"),
        ({"BUILDKITE": "true", "BUILDKITE_BUILD_URL": "https://buildkite.com/o/p/builds/4",
          "BUILDKITE_JOB_ID": "0189", "BUILDKITE_BUILD_CREATOR": "Ana"},
         "Buildkite", "https://buildkite.com/o/p/builds/4#0189", "Ana"),
        ({"BITBUCKET_BUILD_NUMBER": "5", "BITBUCKET_GIT_HTTP_ORIGIN": "https://bitbucket.org/a/b",
          "BITBUCKET_STEP_TRIGGERER_UUID": "{u}"},
         "Bitbucket Pipelines", "https://bitbucket.org/a/b/pipelines/results/5", "{u}"),
        ({"CODEBUILD_BUILD_ID": "p:1", "CODEBUILD_BUILD_ARN": "arn:aws:codebuild:x",
          "CODEBUILD_INITIATOR": "ana"}, "AWS CodeBuild", "arn:aws:codebuild:x", "ana"),
        ({"CI_PIPELINE_FORGE_URL": "https://git/a", "CI_PIPELINE_URL": "https://wp/1",
          "CI_PIPELINE_AUTHOR": "ana"}, "Woodpecker CI", "https://wp/1", "ana"),
        ({"DRONE": "true", "DRONE_BUILD_LINK": "https://d/1", "DRONE_BUILD_TRIGGER": "ana"},
         "Drone", "https://d/1", "ana"),
    ],
)  # fmt: skip
def test_ci(environ: dict[str, str], system: str, job: str, actor: str) -> None:
    assert probe_ci(environ) == CiJob(system=system, job=job, actor=actor)


@pytest.mark.parametrize(
    ("environ", "system", "job"),
    [
        ({"TRAVIS": "true", "TRAVIS_JOB_WEB_URL": "https://t/1"}, "Travis CI", "https://t/1"),
        ({"TEAMCITY_VERSION": "2025.07", "BUILD_NUMBER": "8", "TEAMCITY_BUILDCONF_NAME": "Train"},
         "TeamCity", "Train #8"),
    ],
)  # fmt: skip
def test_ci_that_does_not_name_the_actor(environ: dict[str, str], system: str, job: str) -> None:
    reason = f"{system} does not say who started the job"
    missing = (Missing(field="ci_actor", reason=reason),)
    assert probe_ci(environ) == CiJob(system=system, job=job, missing=missing)


def test_ci_that_names_nothing() -> None:
    assert probe_ci({"GITLAB_CI": "true"}) == CiJob(
        system="GitLab CI",
        missing=(
            Missing(field="ci_job", reason="GitLab CI does not say which job it runs"),
            Missing(field="ci_actor", reason="GitLab CI does not say who started the job"),
        ),
    )


def test_no_ci_is_a_fact_and_an_unknown_one_is_not() -> None:
    assert probe_ci({"CI": "false", "GITHUB_ACTIONS": "0"}) == CiJob()
    reason = "CI is set, but by no system that is known here"
    assert probe_ci({"CI": "1"}) == CiJob(missing=(Missing(field="ci_system", reason=reason),))


def test_ci_job_without_credentials() -> None:
    environ = {
        "JENKINS_URL": "x",
        "BUILD_URL": "https://me:hunter2@ci/job/3",
        "BUILD_USER_ID": "me",
    }
    assert probe_ci(environ).job == "https://me:[redacted]@ci/job/3"


def test_ci_markers_are_distinct() -> None:
    markers = [each.marker for each in ci.SYSTEMS]
    assert len(set(markers)) == len(markers)


# ---- cluster -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("environ", "facts", "rank", "world_size"),
    [
        ({}, {}, None, None),
        ({"TORCHELASTIC_RUN_ID": "r", "RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"},
         {"torchrun.run_id": "r", "torchrun.local_rank": "1"}, 3, 8),
        ({"RANK": "3", "WORLD_SIZE": "8", "MASTER_ADDR": "n0"},
         {"torch.distributed.master": "n0"}, 3, 8),
        # A rank without the number of processes is somebody else's variable.
        ({"RANK": "3"}, {}, None, None),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, {}, 0, 2),
        ({"MV2_COMM_WORLD_RANK": "1", "MV2_COMM_WORLD_SIZE": "2"}, {}, 1, 2),
        ({"PMI_RANK": "1", "PMI_SIZE": "4"}, {}, 1, 4),
        ({"HOROVOD_RANK": "1", "HOROVOD_SIZE": "4"}, {}, 1, 4),
        # srun starts many processes; the batch script around it is one, whatever SLURM_NTASKS says.
        ({"SLURM_JOB_ID": "5", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_ID": "0"},
         {"slurm.job_id": "5", "slurm.step.step_id": "0"}, 2, 4),
        ({"SLURM_JOB_ID": "5", "SLURM_PROCID": "0", "SLURM_NTASKS": "4"},
         {"slurm.job_id": "5"}, None, None),
        # The innermost launcher says which process this is.
        ({"SLURM_JOB_ID": "5", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2",
          "TORCHELASTIC_RUN_ID": "r", "RANK": "3", "WORLD_SIZE": "8"},
         {"slurm.job_id": "5", "torchrun.run_id": "r"}, 3, 8),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "POD_NAME": "train-0", "JOB_COMPLETION_INDEX": "0"},
         {"kubernetes.pod": "train-0", "kubernetes.completion_index": "0"}, None, None),
        ({"RAY_JOB_ID": "01", "RAY_ADDRESS": "h:6379"},
         {"ray.job_id": "01", "ray.address": "h:6379"}, None, None),
        ({"TRAINING_JOB_NAME": "j", "SM_CURRENT_HOST": "algo-1"},
         {"sagemaker.job_name": "j", "sagemaker.host": "algo-1"}, None, None),
        ({"PET_NNODES": "2", "PET_NODE_RANK": "1"},
         {"kubeflow.node_count": "2", "kubeflow.node_rank": "1"}, None, None),
        ({"PBS_JOBID": "1.srv"}, {"pbs.job_id": "1.srv"}, None, None),
        ({"LSB_JOBID": "1"}, {"lsf.job_id": "1"}, None, None),
    ],
)  # fmt: skip
def test_cluster(
    environ: dict[str, str], facts: dict[str, str], rank: int | None, world_size: int | None
) -> None:
    found = probe_cluster(environ)
    assert (found.cluster, found.rank, found.world_size) == (facts, rank, world_size)
    assert found.missing == ()


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"RANK": "first", "WORLD_SIZE": "8"}, "RANK is 'first', not a number"),
        ({"RANK": "8", "WORLD_SIZE": "8"}, "RANK=8 is not below WORLD_SIZE=8"),
        ({"PMI_RANK": "1", "PMI_SIZE": "-4"}, "PMI_SIZE is '-4', not a number"),
    ],
)
def test_a_rank_that_cannot_be_is_missing(environ: dict[str, str], reason: str) -> None:
    assert probe_cluster(environ) == Placement(missing=(Missing(field="rank", reason=reason),))


def test_cluster_facts_are_redacted() -> None:
    environ = {"RAY_ADDRESS": "ray://me:hunter2@head:10001"}
    assert probe_cluster(environ).cluster == {"ray.address": "ray://me:[redacted]@head:10001"}


def test_every_fact_has_one_name() -> None:
    names = [f"{row.name}.{fact}" for row in cluster.SYSTEMS for fact in row.facts]
    assert len(set(names)) == len(names)


# ---- variables -----------------------------------------------------------------------------------
def test_variables_by_name_and_by_beginning() -> None:
    environ = {
        "NCCL_DEBUG": "INFO",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "HOME": "/home/ana",
        "CUDA_VISIBLE_DEVICES_OLD": "0",
        "TF_VAR_database": "prod",
        "SLURM_JOB_ID": "5",
    }
    assert probe_variables(environ, without={"SLURM_JOB_ID"}) == {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "NCCL_DEBUG": "INFO",
    }


def test_more_variables_can_be_allowed() -> None:
    environ = {
        "PROVGRAPH_ENV_ALLOW": "STAGE, TEAM_*,",
        "STAGE": "dev",
        "TEAM_NAME": "churn",
        "X": "1",
    }
    assert probe_variables(environ) == {"STAGE": "dev", "TEAM_NAME": "churn"}


def test_an_allowed_secret_is_redacted() -> None:
    environ = {
        "PROVGRAPH_ENV_ALLOW": "DB_PASSWORD,DATABASE",
        "DB_PASSWORD": "hunter2",
        "DATABASE": "postgres://ana:hunter2@db/churn",
        "SLURM_JWT": "abc.def.ghi",
        "PYTHONPATH": "/src",
    }
    assert probe_variables(environ) == {
        "DATABASE": "postgres://ana:[redacted]@db/churn",
        "DB_PASSWORD": "[redacted]",
        "PYTHONPATH": "/src",
        "SLURM_JWT": "[redacted]",
    }


def test_a_long_value_is_cut() -> None:
    found = probe_variables({"LD_LIBRARY_PATH": "x" * 5000})
    assert found == {"LD_LIBRARY_PATH": f"{'x' * MAX_CHARACTERS}… (5000 characters)"}
