"""Records of any content for hypothesis: every field that a record has, from its type."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from provgraph.digests import Digest
from provgraph.records import Agent, Entity

TIMES = st.datetimes(
    min_value=datetime(1000, 1, 1),
    timezones=st.just(UTC),
).map(lambda time: time.replace(fold=0))

DIGESTS = st.sampled_from(
    [
        Digest(algorithm, digit * 64)
        for algorithm in ("sha256", "folder-v1", "table-v1", "weak-md5")
        for digit in "0af"
    ]
)

st.register_type_strategy(datetime, TIMES)
st.register_type_strategy(Digest, DIGESTS)
st.register_type_strategy(
    Agent,
    st.builds(Agent, name=st.text(), kind=st.sampled_from(["person", "organization", "software"])),
)

URIS = st.builds("{}://{}".format, st.sampled_from(["s3", "https", "hf+git"]), st.text(min_size=1))
KINDS = st.sampled_from(["dataset", "model", "feature-set", "file"])


def described(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[Entity]:
    """Entities as capture makes them: of a known kind, with a URI that is one."""
    return st.builds(
        Entity,
        kind=KINDS,
        uri=st.none() | URIS,
        media_type=st.none() | st.just("text/csv"),
        **fields,
    )


st.register_type_strategy(Entity, described())
