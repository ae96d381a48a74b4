"""A token of an OpenID provider, at a running server."""

import json
import time
from datetime import UTC, datetime

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from serving_process import serving

from provgraph.access.store import AccessStore

ISSUER = "https://login.example.org"
KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})
ASK = "/sparql?query=ASK%20%7B%7D"


@pytest.fixture(scope="module")
def openid_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openid")
    (folder / "jwks.json").write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))
    store = AccessStore(folder / "home" / "access.db", clock=lambda: datetime.now(UTC))
    store.set_roles("ada@example.org", ["reader"])
    store.close()
    settings = {"openid_issuer": ISSUER, "openid_keys": str(folder / "jwks.json")}
    with serving(folder / "home", **settings) as running:
        yield running


def status_of(server, email):
    claims = {
        "iss": ISSUER,
        "aud": "provgraph",
        "exp": int(time.time()) + 60,
        "email": email,
        "email_verified": True,
    }
    token = jwt.encode({"alg": "ES256", "kid": "one"}, claims, KEY)
    return server.ask("GET", ASK, headers={"Authorization": f"Bearer {token}"}).status


def test_somebody_with_a_role_is_admitted_and_others_are_not(openid_server):
    # Nothing is recorded in this home, which is found out only after the guard has let one in.
    assert status_of(openid_server, "ada@example.org") == 404
    assert status_of(openid_server, "eve@example.org") == 403
    assert openid_server.ask("GET", ASK).status == 401
