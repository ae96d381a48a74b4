"""Which container image: every place that may tell, and what is said when none does."""

from __future__ import annotations

from pathlib import Path

import pytest

from provgraph.capture.container import Container, probe_container
from provgraph.records import Missing

ID = "0123456789abcdef" * 4
IMAGE = f"registry.example.org/churn@sha256:{'ab' * 32}"
NOT_EXPOSED = Missing(
    field="container_image",
    reason="in a container, whose image is not exposed to it; set PROVGRAPH_CONTAINER_IMAGE",
)
NO_DIGEST = Missing(
    field="container_image",
    reason="the image is known by a name without digest, which can move;"
    " set PROVGRAPH_CONTAINER_IMAGE",
)


def write(root: Path, name: str, text: str = "") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def test_no_container_is_a_fact(tmp_path: Path) -> None:
    write(tmp_path, "proc/self/cgroup", "0::/user.slice/session-1.scope\n")
    # What a Docker host shows of its containers, seen from outside.
    line = f"45 30 0:9 / /var/lib/docker/containers/{ID}/mounts/shm rw - tmpfs shm rw"
    write(tmp_path, "proc/self/mountinfo", f"{line}\n")
    assert probe_container({}, tmp_path) == Container()


@pytest.mark.parametrize(
    ("name", "text", "expected_id"),
    [
        (".dockerenv", "", None),
        ("run/.containerenv", "", None),
        ("proc/self/cgroup", f"4:memory:/docker/{ID}\n", ID),
        ("proc/self/cgroup", f"0::/kubepods.slice/cri-containerd-{ID}.scope\n", ID),
        ("proc/self/mountinfo",
         f"9 8 254:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/vda rw\n",
         ID),
    ],
)  # fmt: skip
def test_inside_without_a_name(
    tmp_path: Path, name: str, text: str, expected_id: str | None
) -> None:
    write(tmp_path, name, text)
    assert probe_container({}, tmp_path) == Container(id=expected_id, missing=(NOT_EXPOSED,))


def test_inside_by_a_variable(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert probe_container(environ, tmp_path) == Container(missing=(NOT_EXPOSED,))


def test_the_variable_is_believed_anywhere(tmp_path: Path) -> None:
    assert probe_container({"PROVGRAPH_CONTAINER_IMAGE": IMAGE}, tmp_path) == Container(image=IMAGE)


def test_a_tag_is_recorded_and_the_digest_missing(tmp_path: Path) -> None:
    environ = {"PROVGRAPH_CONTAINER_IMAGE": "churn:1.2"}
    assert probe_container(environ, tmp_path) == Container(image="churn:1.2", missing=(NO_DIGEST,))


def test_a_pod_annotation(tmp_path: Path) -> None:
    write(tmp_path, ".dockerenv")
    text = f'app="churn"\nprovgraph/container-image="{IMAGE}"\n'
    write(tmp_path, "etc/podinfo/annotations", text)
    assert probe_container({}, tmp_path) == Container(image=IMAGE)


def test_podman(tmp_path: Path) -> None:
    text = f'engine="podman-5.0"\nimage="docker.io/library/python:3.11"\nimageid="{"cd" * 32}"\n'
    write(tmp_path, "run/.containerenv", text)
    expected = f"docker.io/library/python:3.11 sha256:{'cd' * 32}"
    assert probe_container({}, tmp_path) == Container(image=expected)


def test_a_job_system_names_it(tmp_path: Path) -> None:
    environ = {"CI_JOB_IMAGE": "python:3.11"}
    # Outside a container the name says nothing: a shell runner ignores it.
    assert probe_container(environ, tmp_path) == Container()
    write(tmp_path, ".dockerenv")
    expected = Container(image="python:3.11", missing=(NO_DIGEST,))
    assert probe_container(environ, tmp_path) == expected


def test_credentials_do_not_stay(tmp_path: Path) -> None:
    environ = {"PROVGRAPH_CONTAINER_IMAGE": f"https://me:hunter2@{IMAGE}"}
    assert probe_container(environ, tmp_path) == Container(image=f"https://{IMAGE}")
