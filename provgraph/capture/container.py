"""Which container image this process runs in, as far as the inside can know.

A container runtime tells its inside that it is one, seldom which image it is. In this order:
`PROVGRAPH_CONTAINER_IMAGE`; the pod annotation `provgraph/container-image`, through a Kubernetes
downward API volume at /etc/podinfo; podman's /run/.containerenv; the variables that job systems
set. An image that is named without a digest is recorded, and the digest as missing: a tag can
move. Not asked: the network (task metadata, the Kubernetes API) and the runtime's own socket.

The id of the container is a fact of the run, not of the image, so it is kept apart: an environment
is named by its content, and two containers from one image are one environment. `root` stands for
`/` throughout.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from provgraph.capture.redact import redact
from provgraph.capture.remote_url import without_credentials
from provgraph.frozen import dataclass
from provgraph.records import Missing

IMAGE_VARIABLE: Final = "PROVGRAPH_CONTAINER_IMAGE"
POD_ANNOTATION: Final = "provgraph/container-image"

# Present in every container of Docker and of podman.
_MARKS: Final = (".dockerenv", "run/.containerenv")
# Set inside: Kubernetes pods, ECS tasks, Apptainer, and `container` by the convention of systemd
# ("Container Interface").
_INSIDE_VARIABLES: Final = (
    "KUBERNETES_SERVICE_HOST",
    "ECS_CONTAINER_METADATA_URI_V4",
    "APPTAINER_CONTAINER",
    "SINGULARITY_CONTAINER",
    "container",
)
# The image as a job system names it: GitLab CI by reference, Apptainer by its file.
_IMAGE_VARIABLES: Final = ("CI_JOB_IMAGE", "APPTAINER_CONTAINER", "SINGULARITY_CONTAINER")

_DIGEST = re.compile(r"\bsha256:[0-9a-f]{64}\b")
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
# Files that a runtime mounts from a folder named after the container (proc(5), mountinfo).
_MOUNTED_FILES: Final = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What is known of the container around this process; all empty when there is none."""

    image: str | None = None
    id: str | None = None
    missing: tuple[Missing, ...] = ()


def probe_container(environ: Mapping[str, str], root: Path) -> Container:
    """Return the image and id of the container. Not being in one is a fact, with nothing missing."""
    container_id = _container_id(root)
    is_inside = (
        container_id is not None
        or any(os.path.exists(root / mark) for mark in _MARKS)
        or any(environ.get(name) for name in _INSIDE_VARIABLES)
    )
    image = environ.get(IMAGE_VARIABLE)
    if not image and is_inside:
        image = (
            _pod_annotation(root)
            or _podman_image(root)
            or next((environ[name] for name in _IMAGE_VARIABLES if environ.get(name)), None)
        )
    if not image:
        if not is_inside:
            return Container()
        reason = f"in a container, whose image is not exposed to it; set {IMAGE_VARIABLE}"
        return Container(id=container_id, missing=(_missing(reason),))
    image = redact(without_credentials(image))
    if _DIGEST.search(image):
        return Container(image=image, id=container_id)
    reason = f"the image is known by a name without digest, which can move; set {IMAGE_VARIABLE}"
    return Container(image=image, id=container_id, missing=(_missing(reason),))


def _missing(reason: str) -> Missing:
    return Missing(field="container_image", reason=reason)


def _pod_annotation(root: Path) -> str | None:
    """Read the annotation from a downward API volume: `key="value"` lines, values quoted as in Go."""
    for line in _lines(root / "etc/podinfo/annotations"):
        key, _, value = line.partition("=")
        if key == POD_ANNOTATION:
            try:
                return str(json.loads(value))
            except ValueError:
                return value.strip('"')
    return None


def _podman_image(root: Path) -> str | None:
    """Read podman's own file; it is empty unless podman was told to fill it."""
    pairs = (line.partition("=") for line in _lines(root / "run/.containerenv"))
    facts = {key: value.strip('"') for key, _, value in pairs}
    image, image_id = facts.get("image"), facts.get("imageid", "")
    if not _ID.fullmatch(image_id) or (image and _DIGEST.search(image)):
        return image
    return f"{image or ''} sha256:{image_id}".strip()


def _container_id(root: Path) -> str | None:
    """Find the id in the control group's path (v1), or in what the runtime mounted (v2)."""
    for line in _lines(root / "proc/self/cgroup"):
        if found := _ID.findall(line):
            return str(found[-1])
    for line in _lines(root / "proc/self/mountinfo"):
        fields = line.split(" ", 5)
        if len(fields) > 4 and fields[4] in _MOUNTED_FILES and (found := _ID.findall(fields[3])):
            return str(found[-1])
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
