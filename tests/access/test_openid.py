"""OpenID tokens: what is believed, and each flaw that is not."""

import base64
import hmac
import http.server
import json
import threading
from datetime import UTC, datetime

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from provgraph.access.openid import KeySource, OpenIdVerifier
from provgraph.access.store import AccessStore
from provgraph.errors import StorageError, UntrustedError, UsageError

ISSUER, AUDIENCE = "https://login.example.org", "provgraph"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
KEY = ECKey.generate_key("P-256", parameters={"kid": "one"})
OTHER = ECKey.generate_key("P-256", parameters={"kid": "one"})
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "exp": NOW_S + 300,
    "iat": NOW_S,
    "sub": "17",
    "email": "ada@example.org",
    "email_verified": True,
}


def signed(key=KEY, header=None, **changes):
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    return jwt.encode({"alg": "ES256", "kid": "one", **(header or {})}, claims, key)


@pytest.fixture
def verify(tmp_path):
    store = AccessStore(tmp_path / "access.db", clock=lambda: NOW)
    store.set_roles("ada@example.org", ["auditor"])
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))
    keys = KeySource(str(path))
    keys.load()
    yield OpenIdVerifier(
        issuer=ISSUER, audience=AUDIENCE, keys=keys, store=store, clock=lambda: NOW
    )
    store.close()


def test_a_good_token_is_somebody_with_the_roles_that_this_home_gives(verify):
    caller = verify(signed(roles=["admin"]))
    assert (caller.name, caller.by, caller.roles) == (
        "ada@example.org",
        f"openid {ISSUER}",
        {"auditor"},
    )


def test_somebody_unknown_here_has_no_role(verify):
    assert verify(signed(email="eve@example.org")).roles == frozenset()


def part(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned():
    return f"{part({'alg': 'none', 'kid': 'one'})}.{part(CLAIMS)}."


def signed_with_the_public_key_as_a_secret():
    signed_part = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(CLAIMS)}"
    mac = hmac.digest(KEY.as_pem(private=False), signed_part.encode(), "sha256")
    return f"{signed_part}.{part(mac)}"


def key_in_the_header():
    own = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "jwk": own.as_dict(private=False)}
    return jwt.encode(header, CLAIMS, own)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (lambda: signed(OTHER), "does not verify"),
        (unsigned, "does not verify"),
        (signed_with_the_public_key_as_a_secret, "does not verify"),
        (key_in_the_header, "does not verify"),
        (lambda: signed(header={"kid": "two"}), "does not verify"),
        (lambda: signed()[:-8] + "AAAAAAAA", "does not verify"),
        (lambda: "a.b.c", "does not verify"),
        (lambda: "x" * 20_000, "too long"),
        (lambda: signed(iss="https://evil.example"), "not for here and now"),
        (lambda: signed(aud="another"), "not for here and now"),
        (lambda: signed(aud=None), "not for here and now"),
        (lambda: signed(exp=NOW_S - 61), "not for here and now"),
        (lambda: signed(exp=None), "not for here and now"),
        (lambda: signed(nbf=NOW_S + 120), "not for here and now"),
        (lambda: signed(email=None), "no claim email"),
        (lambda: signed(email_verified=False), "is not verified"),
        (lambda: signed(email_verified=None), "is not verified"),
        (lambda: signed(email=["ada@example.org"]), "no claim email"),
    ],
    ids=[
        *("another_key", "no_signature", "public_key_as_secret", "key_in_the_header"),
        *("unknown_key_id", "broken_signature", "no_token", "endless", "another_issuer"),
        *("another_audience", "no_audience", "expired", "never_expires", "not_yet"),
        *("no_name", "unchecked_address", "unsaid_address", "several_names"),
    ],
)
def test_a_token_with_a_flaw_is_nobody(verify, token, reason):
    with pytest.raises(UntrustedError, match=reason):
        verify(token())


@pytest.fixture
def web():
    """A server of keys on this machine; `pages` says what it answers."""
    pages = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = pages[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield pages, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_keys_come_over_http_and_a_failure_keeps_the_old_ones(web):
    pages, root = web
    jwks = json.dumps(KeySet([KEY]).as_dict(private=False)).encode()
    pages["/keys"] = 200, {}, jwks
    source = KeySource(f"{root}/keys")
    source.load()
    assert [key.kid for key in source.keys.keys] == ["one"]
    for answer in (
        (500, {}, b""),
        (200, {}, b"no json"),
        (200, {}, b"[]"),
        (200, {}, b" " * 300_000),
        (302, {"Location": f"{root}/elsewhere"}, b""),
    ):
        pages["/keys"] = answer
        pages["/elsewhere"] = 200, {}, jwks
        with pytest.raises(StorageError, match="cannot read the OpenID keys"):
            source.load()
        assert [key.kid for key in source.keys.keys] == ["one"]


def test_keys_over_plain_http_from_elsewhere_are_refused():
    with pytest.raises(UsageError, match="expected https"):
        KeySource("http://login.example.org/keys")
