"""Which continuous integration system runs this process, which job it is, and who started it.

One table, from each system's documentation of its predefined variables. A row is in force when its
marker is set; the first template whose variables are all set is the job, the first variable that is
set is the actor. Units: none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from provgraph.capture.redact import redact
from provgraph.frozen import dataclass
from provgraph.records import Missing


@dataclass(frozen=True, slots=True, kw_only=True)
class CiSystem:
    """One row: how a system is known, and where it says what it is doing."""

    name: str
    marker: str
    jobs: tuple[str, ...]
    actors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CiJob:
    """What is known of the CI job around this process; all None when there is none."""

    system: str | None = None
    job: str | None = None
    actor: str | None = None
    missing: tuple[Missing, ...] = ()


# Gitea and Forgejo set GitHub's variables too, so they stand before it.
SYSTEMS: Final = (
    CiSystem(
        name="Gitea Actions",
        marker="GITEA_ACTIONS",
        jobs=("{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_NUMBER}",),
        actors=("GITHUB_ACTOR",),
    ),
    CiSystem(
        name="GitHub Actions",
        marker="GITHUB_ACTIONS",
        jobs=(
            "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}/attempts/{GITHUB_RUN_ATTEMPT}",
            "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
            "{GITHUB_RUN_ID}",
        ),
        actors=("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"),
    ),
    CiSystem(
        name="GitLab CI",
        marker="GITLAB_CI",
        jobs=("{CI_JOB_URL}", "{CI_JOB_ID}"),
        actors=("GITLAB_USER_LOGIN", "GITLAB_USER_EMAIL"),
    ),
    CiSystem(
        name="Jenkins",
        marker="JENKINS_URL",
        jobs=("{BUILD_URL}", "{BUILD_TAG}"),
        # Set by the "build user vars" plugin; multibranch jobs know the change's author.
        actors=("BUILD_USER_ID", "CHANGE_AUTHOR"),
    ),
    CiSystem(
        name="CircleCI",
        marker="CIRCLECI",
        jobs=("{CIRCLE_BUILD_URL}", "{CIRCLE_WORKFLOW_JOB_ID}"),
        actors=("CIRCLE_USERNAME",),
    ),
    CiSystem(
        name="Azure Pipelines",
        marker="TF_BUILD",
        jobs=(
            "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
            "{BUILD_BUILDID}",
        ),
        actors=("BUILD_REQUESTEDFOREMAIL", "BUILD_REQUESTEDFOR"),
    ),
    CiSystem(
        name="Buildkite",
        marker="BUILDKITE",
        jobs=("{BUILDKITE_BUILD_URL}#{BUILDKITE_JOB_ID}", "{BUILDKITE_BUILD_URL}"),
        actors=(
            "BUILDKITE_UNBLOCKER_EMAIL",
            "BUILDKITE_BUILD_CREATOR_EMAIL",
            "BUILDKITE_BUILD_CREATOR",
        ),
    ),
    CiSystem(
        name="Travis CI",
        marker="TRAVIS",
        jobs=("{TRAVIS_JOB_WEB_URL}", "{TRAVIS_JOB_ID}"),
    ),
    CiSystem(
        name="Bitbucket Pipelines",
        marker="BITBUCKET_BUILD_NUMBER",
        jobs=(
            "{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
            "{BITBUCKET_REPO_FULL_NAME}#{BITBUCKET_BUILD_NUMBER}",
        ),
        actors=("BITBUCKET_STEP_TRIGGERER_UUID",),
    ),
    CiSystem(
        name="TeamCity",
        marker="TEAMCITY_VERSION",
        jobs=("{BUILD_URL}", "{TEAMCITY_BUILDCONF_NAME} #{BUILD_NUMBER}"),
    ),
    CiSystem(
        name="AWS CodeBuild",
        marker="CODEBUILD_BUILD_ID",
        jobs=("{CODEBUILD_BUILD_ARN}", "{CODEBUILD_BUILD_ID}"),
        actors=("CODEBUILD_INITIATOR",),
    ),
    CiSystem(
        name="Woodpecker CI",
        marker="CI_PIPELINE_FORGE_URL",
        jobs=("{CI_PIPELINE_URL}",),
        actors=("CI_PIPELINE_AUTHOR", "CI_COMMIT_AUTHOR"),
    ),
    CiSystem(
        name="Drone",
        marker="DRONE",
        jobs=("{DRONE_BUILD_LINK}", "{DRONE_REPO}#{DRONE_BUILD_NUMBER}"),
        actors=("DRONE_BUILD_TRIGGER", "DRONE_COMMIT_AUTHOR"),
    ),
)

_NO = frozenset({"", "0", "false", "no", "off"})


def probe_ci(environ: Mapping[str, str]) -> CiJob:
    """Return the CI job around this process. Not being in one is a fact, with nothing missing."""
    for system in SYSTEMS:
        if environ.get(system.marker, "").lower() not in _NO:
            return _job(system, environ)
    if environ.get("CI", "").lower() in _NO:
        return CiJob()
    reason = "CI is set, but by no system that is known here"
    return CiJob(missing=(Missing(field="ci_system", reason=reason),))


def _job(system: CiSystem, environ: Mapping[str, str]) -> CiJob:
    job = next((text for each in system.jobs if (text := _fill(each, environ))), None)
    actor = next((environ[name] for name in system.actors if environ.get(name)), None)
    missing = []
    if job is None:
        missing.append(
            Missing(field="ci_job", reason=f"{system.name} does not say which job it runs")
        )
    if actor is None:
        missing.append(
            Missing(field="ci_actor", reason=f"{system.name} does not say who started the job")
        )
    return CiJob(
        system=system.name,
        job=None if job is None else redact(job),
        actor=actor,
        missing=tuple(missing),
    )


def _fill(template: str, environ: Mapping[str, str]) -> str | None:
    """Put variables into a template; None where one of them is not set."""
    try:
        return template.format_map(environ)
    except KeyError:
        return None
