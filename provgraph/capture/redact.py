"""Secrets out of text before it reaches the disk: values by their name, tokens by their form.

A secret is known by one of two things: by its form (the issuers' token prefixes, private key
blocks, JSON Web Tokens of RFC 7519, credentials in URLs of RFC 3986 section 3.2.1, Authorization
headers of RFC 9110 section 11.6.2), or by the name of the parameter, variable or option that holds
it. Machine learning has tokens of its own (`max_tokens`, `pad_token_id`), which stay readable.

What it does not do: find a password in prose, or tell random bytes from a digest. So what is not
needed is not captured in the first place (`provgraph.capture.invocation` has an allow-list). Where
it must choose, it takes away too much rather than too little.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from provgraph.patterns import pattern

REDACTED: Final = "[redacted]"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ---- names -----------------------------------------------------------------------------------------
_WORD = pattern(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")

# Anywhere in a name, also run together (`apikey`, `awsSecretAccessKey`); separators are taken out.
_ALWAYS = pattern(
    r"passw(?:or)?d|passphrase|passcode|credential|apikey|accesskey|privatekey|secretkey|accountkey"
    r"|signingkey|encryptionkey|sharedaccess|authtoken|accesstoken(?!i)|refreshtoken|apitoken"
    r"|sessiontoken|securitytoken|clientsecret|authorization|sessionid|connectionstring"
    r"|amzsignature|googsignature"
)
_SECRET_WORDS: Final = frozenset({"secret", "secrets", "creds", "pwd", "jwt", "bearer", "sig"})
_SECRET_LAST: Final = frozenset({"auth", "cookie", "cookies"})
# `_key` is a secret after these; a primary, partition or sort key is not.
_KEY_OF: Final = _words(
    "admin aes app auth cipher decryption deploy fernet gpg hmac license licence master pgp rsa"
    " service session ssh storage subscription webhook"
)
_PASS_OF: Final = _words(
    "admin db email ftp http imap ldap login mail mongo mysql my pg postgres proxy rabbitmq redis"
    " root smtp user"
)
# A name that ends so speaks about a secret and does not hold one.
_ABOUT: Final = _words(
    "age count counts dir enabled env expiration expires expiry field file folder len length limit"
    " max method min name names path policy provider rotation size source ttl type types url uri"
    " var version"
)
# Before `token`: words of a vocabulary or a model, not of an account.
_VOCABULARY: Final = _words(
    "additional audio begin blank bos class cls decoder each encoder end eod eos eot extra fim"
    " first image input last mask max min n new next num output pad patch per prompt query register"
    " sentence sep single source special start stop target text unk video vocab word"
)
_TOKENS_OF: Final = _words("access api auth bearer oauth refresh session")
_AFTER_TOKEN: Final = _words(
    "default dev main new old prod production read ro rw secret staging test value write"
)
# The shell's working folders, not passwords.
_WORKING_FOLDERS: Final = frozenset({"PWD", "OLDPWD"})

# Values that hide nothing: a switch, a missing value, a type in a signature, what was redacted.
_HARMLESS: Final = _words(
    "0 1 true false none null nil yes no on off str string int bool bytes *** [redacted]"
)

# ---- texts -------------------------------------------------------------------------------------------
# Cheap signs that a rule may fit, looked for first: most texts are clean, and stay so in 3 µs.
# Every token has 20 such characters in a row; ordinary words and short paths have not.
_LONG_WORD = re.compile(r"\b[\w\-]{20}", re.ASCII)
_NAME_MARKS: Final = (
    "pass", "pwd", "secret", "token", "key", "cred", "auth", "session", "cookie", "sig", "jwt",
    "bearer", "sharedaccess", "connection",
)  # fmt: skip

_PRIVATE_KEY = pattern(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
_TOKEN = pattern(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}"
    r"|gl(?:pat|dt|rt|cbt|ptt|ft|oas|agent|soat)-[A-Za-z0-9_\-.]{20,}"  # GitLab
    r"|xox[a-z]-[A-Za-z0-9\-]{16,}|xapp-[A-Za-z0-9\-]{16,}"  # Slack
    # OpenAI, Anthropic and others; a digit, so that a name made of words stays.
    r"|sk-(?=[A-Za-z_\-]{0,64}[0-9])[A-Za-z0-9_\-]{20,}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|hf_[A-Za-z0-9]{30,}"
    r"|AIza[A-Za-z0-9_\-]{35}|ya29\.[A-Za-z0-9_\-]{20,}|GOCSPX-[A-Za-z0-9_\-]{20,}"  # Google
    r"|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_\-]{40,}"
    r"|eyJ[A-Za-z0-9_\-]{8,1024}+\.[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]*"  # JSON Web Token
    r"|dapi[a-f0-9]{32}|dop_v1_[a-f0-9]{64}|hvs\.[A-Za-z0-9_\-]{20,}"
    r"|SG\.[A-Za-z0-9_\-]{20,}\.[A-Za-z0-9_\-]{16,}"
    r"|r8_[A-Za-z0-9]{30,}|xai-[A-Za-z0-9]{40,}|pplx-[A-Za-z0-9]{40,}"
    r")"
)
_SLACK_HOOK = pattern(r"(hooks\.slack\.com/[a-z]+/)[A-Za-z0-9/_\-]+")

# user:password@host. The password may hold @ and, unless it looks like a port, a slash.
_USERINFO = pattern(
    r"(://[^\s/:@\"'<>]*:)(?:[^\s/\"'<>]{1,1024}@|(?!\d{1,5}(?:[/?#]|$))[^\s@\"'<>]{1,1024}@(?:[^\s/\"'<>]{0,1024}@)?)"
)
# A token in the user's place; a plain user name is shorter, or has no digit.
_USER_TOKEN = pattern(r"(://)(?=[A-Za-z_\-]*[0-9])[A-Za-z0-9_\-]{20,}(?=@)")

# Up to the end of the line or of the string it stands in.
_HEADER = pattern(
    r"((?<![\w\-])(?:(?:proxy-)?authorization|(?:set-)?cookie)(?:\\?[\"'])?[ \t]*[:=][ \t]*(?:\\?[\"'])?)"
    r"[^\s\"'][^\r\n\"']*(?<!\\)",
    re.IGNORECASE,
)
# In prose a plain word follows; a credential has a digit, padding, or capitals inside.
_SCHEME = pattern(
    r"\b((?i:bearer|basic)[ \t]+)(?=[^\s\"']*(?:[0-9=]|[a-z][A-Z]))[A-Za-z0-9+/_.~\-]{8,}=*"
)
_CURL_USER = pattern(r"((?:^|\s)(?:-u|--user)[ =][^\s:]+:)(?!\d+(?:\s|$))\S+")

# name=value, "name": "value", name: value, --name value. Only an option takes the next word: in prose
# a word follows a word.
_NAME = pattern(
    r"(?<![\w.\-])(?P<name>-{0,2}[A-Za-z_][\w.\-]*+)"
    r"(?:\\?[\"']?[ \t]*(?:=>|:=|=(?!=)|:(?![:/]))[ \t]*|(?P<space>[ \t]+))"
)
# A string, a list, or a word that may hold strings (`b'x'`). A word ends at a space, before closing
# brackets, and where the next name of a query string, connection string or mapping begins.
_VALUE = pattern(
    r"(?P<quote>\\\"|\"|')(?P<quoted>(?:(?!(?P=quote))(?:\\.|[^\\]))*)"
    r"|(?P<bare>[\[({][^\])}]{0,1024}[\])}]"
    r"|(?:(?![&;,][\w.\-%]{1,64}=|,[\"']|[,;)\]}]{0,4}(?:\s|$))(?:[^\s\"']|\"[^\"]*\"|'[^']*'))+)",
    re.DOTALL,
)
_OPTION = pattern(r"--[A-Za-z]|-[A-Za-z](?:\s|$)")


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Tell whether what carries this name is a secret: `DB_PASSWORD`, `--api-key`, `authToken`.

    Names about secrets (`password_file`, `token_count`) and of a vocabulary (`pad_token`) are not.
    """
    if name in _WORKING_FOLDERS:
        return False
    words = [word.lower() for word in _WORD.findall(name)]
    if not words or (words[-1] in _ABOUT and len(words) > 1):
        return False
    if _ALWAYS.search("".join(words)) or not _SECRET_WORDS.isdisjoint(words):
        return True
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in _SECRET_LAST:
        return True
    if last in {"key", "keys"}:
        return before in _KEY_OF
    if last == "pass":
        return before in _PASS_OF
    if last == "tokens":
        return before in _TOKENS_OF
    if "token" not in words:
        return False
    position = words.index("token")
    if position and words[position - 1] in _VOCABULARY:
        return False
    return all(word.isdigit() or word in _AFTER_TOKEN for word in words[position + 1 :])


def redact(text: str) -> str:
    """Return a text with `[redacted]` in place of each secret in it."""
    if _LONG_WORD.search(text):
        text = _TOKEN.sub(REDACTED, text)
        text = _SLACK_HOOK.sub(rf"\1{REDACTED}", text)
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(REDACTED, text)
    if "://" in text and "@" in text:
        text = _USERINFO.sub(rf"\1{REDACTED}@", text)
        text = _USER_TOKEN.sub(rf"\1{REDACTED}", text)
    if "earer" in text or "asic" in text:
        text = _SCHEME.sub(rf"\1{REDACTED}", text)
    if "-u" in text:
        text = _CURL_USER.sub(rf"\1{REDACTED}", text)
    if "=" in text or ":" in text or "--" in text:
        text = _redact_named(text)
    return text


def redact_value(name: str, value: str) -> str:
    """Return the value of a named parameter or variable without secrets."""
    if is_secret_name(name):
        return value if _is_harmless(value) else REDACTED
    return redact(value)


def redact_argv(argv: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without secrets: `--password=x`, `--password x`, `API_KEY=x`, URLs."""
    result: list[str] = []
    before = ""
    for argument in argv:
        option, equals, value = argument.partition("=")
        if is_secret_name(before.lstrip("-")) and not _OPTION.match(argument):
            result.append(argument if _is_harmless(argument) else REDACTED)
        elif before in {"-u", "--user"}:
            result.append(_CURL_USER.sub(rf"\1{REDACTED}", f"-u {argument}")[3:])
        elif equals and _is_secret_assignment(option):
            result.append(argument if _is_harmless(value) else f"{option}={REDACTED}")
        else:
            result.append(redact(argument))
        before = argument if argument.startswith("-") and not equals else ""
    return tuple(result)


def _redact_named(text: str) -> str:
    lower = text.lower()
    if not any(map(lower.__contains__, _NAME_MARKS)):
        return text
    text = _HEADER.sub(rf"\1{REDACTED}", text)
    parts: list[str] = []
    start = position = 0
    # Not one substitution: what follows a harmless name is searched again, it may hold a secret.
    while match := _NAME.search(text, position):
        position = match.end()
        if not _names_secret(match):
            continue
        value = _VALUE.match(text, position)
        if value is None:
            continue
        group = "bare" if value["quote"] is None else "quoted"
        if not _is_harmless(value[group]):
            parts += (text[start : value.start(group)], REDACTED)
            start = value.end(group)
        position = value.end()
    return "".join((*parts, text[start:])) if parts else text


def _names_secret(match: re.Match[str]) -> bool:
    name = match["name"]
    if match["space"] is not None and (
        not name.startswith("-") or _OPTION.match(match.string, match.end())
    ):
        return False
    if is_secret_name(name.lstrip("-")):
        return True
    # `signature` is a secret in a signed URL; elsewhere it is that of a model or a function.
    return name.lower() == "signature" and match.string[max(match.start() - 1, 0)] in "?&"


def _is_secret_assignment(option: str) -> bool:
    name = option.lstrip("-+~")
    return is_secret_name(name) and all(char.isalnum() or char in "_-./@:" for char in name)


def _is_harmless(value: str) -> bool:
    return not value or (len(value) <= 10 and value.lower() in _HARMLESS)
