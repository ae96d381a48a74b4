"""Remote URLs without credentials: for git remotes and for where a package was installed from.

A URL may carry a user, a password or a token in its authority (RFC 3986, section 3.2.1), its query
or its fragment. None of them says what the thing is, so all three go; `git@host:path` keeps `git`,
which is no secret. Local paths and `file:` URLs pass through.
"""

from __future__ import annotations

import re

# scheme://userinfo@host/path?query#fragment; userinfo may itself hold @, so it is taken greedily.
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)(?:(?P<user>[^/?#]*)@)?(?P<rest>[^?#]*)")
# user@host:path, the short form of ssh that git reads (git-fetch(1), "GIT URLS").
_SCP = re.compile(r"(?P<user>[^@/:]+)(?::[^@/]*)?@(?P<rest>[^@/:]+:.*)", re.DOTALL)

# Account names that hosting services give everybody.
_PUBLIC_USERS = frozenset({"git", "hg", "svn"})


def without_credentials(url: str) -> str:
    """Return the URL without user, password, query and fragment.

    >>> without_credentials("https://me:ghp_0123@example.org/team/churn.git?token=1")
    'https://example.org/team/churn.git'
    >>> without_credentials("git@example.org:team/churn.git")
    'git@example.org:team/churn.git'
    """
    match = _URL.match(url)
    scheme = match["scheme"] if match else ""
    match = match or _SCP.fullmatch(url)
    if match is None:
        return url
    user = match["user"] or ""
    return f"{scheme}{f'{user}@' if user in _PUBLIC_USERS else ''}{match['rest']}"
