"""Secrets leave the text, and nothing else does."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provgraph.capture.redact import REDACTED, is_secret_name, redact, redact_argv, redact_value

# Put together here, so that no scanner takes these for real ones.
BODY = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"
GITHUB = "ghp_" + BODY[:36]
JWT = "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJ" + "zdWIiOiIxMjM0In0" + "." + BODY
PEM = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow+/=\nIBAAKC\n-----END RSA " + "PRIVATE KEY-----"

TOKENS = {
    "aws": AWS,
    "aws-session": "ASIA" + "IOSFODNN7EXAMPLE",
    "github": GITHUB,
    "github-oauth": "gho_" + BODY[:36],
    "github-fine": "github_pat_" + BODY + "_" + BODY,
    "gitlab": "glpat-" + BODY[:20],
    "slack-bot": "xoxb-123456789012-" + BODY[:24],
    "slack-app": "xapp-1-A0123-" + BODY[:24],
    "openai": "sk-" + BODY,
    "openai-project": "sk-proj-" + BODY + "_" + BODY,
    "anthropic": "sk-ant-api03-" + BODY,
    "stripe": "sk_live_" + BODY[:24],
    "hugging-face": "hf_" + BODY[:34].replace("_", ""),
    "google": "AIza" + BODY[:35],
    "google-oauth": "ya29." + BODY,
    "npm": "npm_" + BODY[:36],
    "pypi": "pypi-AgEIcHlwaS5vcmc" + BODY,
    "jwt": JWT,
    "databricks": "dapi" + "0123456789abcdef" * 2,
    "sendgrid": "SG." + BODY[:22] + "." + BODY,
    "vault": "hvs." + BODY,
    "replicate": "r8_" + BODY[:37],
}


@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_a_token_is_known_by_its_form(token):
    assert redact(token) == REDACTED
    assert redact(f"failed with {token}, twice") == f"failed with {REDACTED}, twice"
    assert redact(f"x={token}") == f"x={REDACTED}"
    assert redact_value("note", f"'{token}'") == f"'{REDACTED}'"
    assert redact_argv(["train.py", token]) == ("train.py", REDACTED)


TEXTS = {
    "--password=hunter2": "--password=[redacted]",
    "--password hunter2 --epochs 3": "--password [redacted] --epochs 3",
    "train.py --api-key 'a b' out": "train.py --api-key '[redacted]' out",
    "DB_PASSWORD=hunter2 python train.py": "DB_PASSWORD=[redacted] python train.py",
    "password: hunter2": "password: [redacted]",
    "password=a&b,c;d": "password=[redacted]",
    'config {"password": "hunter2", "n": 3}': 'config {"password": "[redacted]", "n": 3}',
    'in json {\\"token\\": \\"x y\\"}': 'in json {\\"token\\": \\"[redacted]\\"}',
    "{'api_key': 'it\\'s', 'seed': 1}": "{'api_key': '[redacted]', 'seed': 1}",
    "secret => abc, next": "secret => [redacted], next",
    "(token=abc)": "(token=[redacted])",
    "password=b'hunter2', n=3": "password=[redacted], n=3",
    'password=Secret("a b") n=3': "password=[redacted]) n=3",
    '{"api_keys": ["k1", "k2"], "n": 3}': '{"api_keys": [redacted], "n": 3}',
    "{password:hunter2,'n':3}": "{password:[redacted],'n':3}",
    "--token --password x": "--token --password [redacted]",
    "--password -x1": "--password [redacted]",
    "--token -v data": "--token -v data",
    "postgres://user:pw@host/db": "postgres://user:[redacted]@host/db",
    "redis://:pw@host:6379/0": "redis://:[redacted]@host:6379/0",
    "mysql://u:p@ss:w#rd@host": "mysql://u:[redacted]@host",
    "ftp://u:a/b@host/x": "ftp://u:[redacted]@host/x",
    "see 'https://u:pw@h/x' there": "see 'https://u:[redacted]@h/x' there",
    "https://h/p?X-Amz-Signature=abc&X-Amz-Date=2024": (
        "https://h/p?X-Amz-Signature=[redacted]&X-Amz-Date=2024"
    ),
    "https://h/p?AWSAccessKeyId=x&Signature=a%2Bb%3D&Expires=1": (
        "https://h/p?AWSAccessKeyId=[redacted]&Signature=[redacted]&Expires=1"
    ),
    "https://a.blob/x?sv=2022&sig=abc%3D&se=2024": "https://a.blob/x?sv=2022&sig=[redacted]&se=2024",
    "https://h/#access_token=abc&state=1": "https://h/#access_token=[redacted]&state=1",
    "https://h/p?X-Amz-Credential=AK/20240101/eu&a=1": "https://h/p?X-Amz-Credential=[redacted]&a=1",
    "AccountName=a;AccountKey=Zm9v/+==;EndpointSuffix=core": (
        "AccountName=a;AccountKey=[redacted];EndpointSuffix=core"
    ),
    "Server=s;User Id=u;Password=p w;Encrypt=1": "Server=s;User Id=u;Password=[redacted] w;Encrypt=1",
    "Authorization: Bearer abc.def": "Authorization: [redacted]",
    "-H 'Authorization: Basic dXNlcjpwdw=='": "-H 'Authorization: [redacted]'",
    '{"Authorization": "token abc"}': '{"Authorization": "[redacted]"}',
    "Cookie: a=1; session=2\nHost: h": "Cookie: [redacted]\nHost: h",
    "sent Bearer 0a1b2c3d4e5f": "sent Bearer [redacted]",
    "X-Api-Key: abc": "X-Api-Key: [redacted]",
    "curl -u ada:hunter2 https://h": "curl -u ada:[redacted] https://h",
    "https://hooks.slack.com/services/T0/B0/" + BODY: "https://hooks.slack.com/services/[redacted]",
    f"key:\n{PEM}\nend": "key:\n[redacted]\nend",
    "cut -----BEGIN " + "PRIVATE KEY-----\nMIIE": "cut [redacted]",
    "https://" + BODY[:32] + "@sentry.io/1": "https://[redacted]@sentry.io/1",
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
def test_a_value_is_known_by_where_it_stands(text, expected):
    assert redact(text) == expected


@pytest.mark.parametrize("text", [*TEXTS, *TOKENS.values()])
def test_redacting_twice_changes_nothing(text):
    assert redact(redact(text)) == redact(text)


CLEAN = [
    "",
    "the model reached 0.93 on the holdout set",
    "The author kept the secret of the token economy; the password policy is in the handbook.",
    "Basic understanding of the bearer bond market is required.",
    "A key point: authors disagree about authority.",
    "max_tokens=512 tokenizer=bert n_tokens=3 token_count: 7",
    "--max-new-tokens 64 --pad-token-id 0 --tokenizer gpt2",
    '{"pad_token": "<pad>", "eos_token": "</s>", "num_tokens": 12}',
    "tokens_per_second=81.5 token_type_ids=[0, 0]",
    "primary_key=id partition_key=day key=value monkey=see keyboard=de",
    "commit d670460b4b4aece5915caf5c68d12f560a9fe3e4 on main",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "run 5f0c6b1e-8f6f-4c9e-9d6e-0f2b8e5c7a11 started",
    "/home/ada/projects/churn-model-2024/data/train_2024-01-01.parquet",
    "s3://bucket/secrets/training-data/part-00000-of-00128.parquet",
    "git+ssh://git@github.com/ada/churn.git@v1.0",
    "https://user.example.org:8080/path/a@b?x=1",
    "http://localhost:8888/user@example.org",
    "docker run -u 1000:1000 image",
    "use_auth_token=True token=None secret=null password=",
    "signature=ModelSignature(inputs=3)",
    "author=Ada secretary=Bob passed=3 forward_pass=2 low_pass=0.5",
    "if token == other:",
    "task-definition-with-a-long-name-2024-01-01",
    "sk-learn-contrib-imbalanced-learning-pipeline",
    "GOOGLE_APPLICATION_CREDENTIALS_FILE=/etc/gcp.json password_file=/run/pw",
    "PWD=/home/ada/churn",
    "ratio 3:2, at 10:45, dict {'a': 1}",
    "http://proxy:3128",
]


@pytest.mark.parametrize("text", CLEAN)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text
    assert redact_argv(text.split()) == tuple(text.split())


def _names(text):
    return text.split()


@pytest.mark.parametrize(
    "name",
    _names("""password PASSWORD db_password DB_PASS dbPassword userPasswd passphrase pwd secret
    client_secret clientSecret SECRET_KEY token HF_TOKEN github-token GITHUB_TOKEN_PROD token2
    access_tokens api_key apikey apiKey OPENAI_API_KEY X-Api-Key x-goog-api-key AWSAccessKeyId
    AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY awssecretaccesskey private_key ssh_key
    service_account_key AccountKey credential credentials creds auth basic_auth authorization
    Proxy-Authorization cookie session_cookie sessionid session_id jwt SharedAccessKey
    connection_string X-Amz-Signature X-Amz-Security-Token PRIVATE-TOKEN bot_token sig
    model.api_key"""),
)
def test_a_secret_name(name):
    assert is_secret_name(name) is True
    assert redact_value(name, "hunter2") == REDACTED


@pytest.mark.parametrize(
    "name",
    _names("""max_tokens maxTokens tokenizer tokenizer_name n_tokens token_count tokens token_ids
    token_type_ids pad_token pad_token_id eos_token num_tokens tokens_per_second token_embedding
    author authors authority secretary key keys primary_key public_key sort_key monkey passed
    forward_pass low_pass pass password_file password_length secret_name token_url api_key_env
    auth_type oauth_provider seed learning_rate PWD OLDPWD signature sign cookiecutter 3 _
    session compass"""),
)
def test_a_harmless_name(name):
    assert is_secret_name(name) is False
    assert redact_value(name, "hunter2") == "hunter2"


@pytest.mark.parametrize("value", ["", "True", "false", "None", "0", REDACTED])
def test_a_switch_under_a_secret_name_stays(value):
    assert redact_value("use_auth_token", value) == value


def test_a_value_under_a_plain_name_is_searched():
    assert redact_value("url", "postgres://u:pw@h") == "postgres://u:[redacted]@h"


def test_command_lines():
    assert redact_argv(
        [
            "train.py", "--password=a b c", "--api-key", "k 1", "--token", "--verbose",
            "--secret", "s", "data.csv", "-H", "X-Api-Key: k", "+model.api_key=q", "DB_PASSWORD=x=y",
            "--max-tokens", "512", "--url=https://u:pw@h/?sig=abc&x=1", "--password",
        ]
    ) == (
        "train.py", "--password=[redacted]", "--api-key", "[redacted]", "--token", "--verbose",
        "--secret", "[redacted]", "data.csv", "-H", "X-Api-Key: [redacted]",
        "+model.api_key=[redacted]", "DB_PASSWORD=[redacted]",
        "--max-tokens", "512", "--url=https://u:[redacted]@h/?sig=[redacted]&x=1", "--password",
    )  # fmt: skip


@given(
    st.text(alphabet="abcXYZ019+/._-!$%^*~", min_size=3, max_size=40).filter(lambda s: s[0] != "-")
)
def test_no_password_survives_in_any_position(password):
    if password.lower() in {"str", "off", "yes", "int", "nil"}:
        return
    secret = password + "Q9"  # no harmless word, no part of the text around it
    texts = [
        f"--password={secret}",
        f"--password {secret} x",
        f"password: {secret}",
        f'{{"password": "{secret}"}}',
        f"a=1&password={secret}&b=2",
        f"Authorization: Bearer {secret}",
    ]
    assert [text for text in map(redact, texts) if secret in text] == []
    assert secret not in " ".join(redact_argv(["x", "--password", secret]))


PIECES = [
    "password", "--token", "=", ": ", " ", '"', "'", "[", "]", ")", ",", "&a=", "://u:", "@", "/x",
    "x1", "Bearer ", "authorization", "\n", "\\", "-u ", "true", "=>",
]  # fmt: skip


NOISE = st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


@given(NOISE, st.sampled_from(list(TOKENS.values())), NOISE)
def test_no_token_survives_in_any_surroundings(before, token, after):
    text = redact(f"{before} {token} {after}")
    assert token not in text


HOSTILE = {
    "words": "a" * 200_000,
    "equals": "=" * 200_000,
    "names": "password" * 25_000,
    "urls": "://a:" * 40_000,
    "urls with an at": "://a:" * 40_000 + " @",
    "slashed urls": "://a:b/" * 30_000 + " @",
    "dashes": "-" * 200_000,
    "escapes": 'password="' + "\\" * 200_000,
    "dots": "eyJ" + "a." * 100_000,
    "web tokens": "eyJ-" * 50_000,
    "long web token": "eyJ-" * 256 + "." + "a" * 200_000,
    "sk": "sk-" * 70_000,
    "slack": "xoxb-" * 40_000,
    "colons": "token: " * 30_000,
    "headers": "authorization: " * 15_000,
    "private keys": "-----BEGIN PRIVATE KEY" * 10_000,
    "delimiters": "token=a" + "&;," * 60_000,
    "closing brackets": "token=a" + ")" * 200_000,
    "opening brackets": "token=[" * 30_000,
    "quotes": "token='" * 30_000,
    "two quotes": "token=a\"'" * 20_000,
    "spaces": "--token" + " " * 200_000,
    "schemes": "basic " * 40_000,
    "users": " -u a:" * 30_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_takes_linear_time(text):
    start = time.perf_counter()
    redact(text)
    assert time.perf_counter() - start < 2


def test_a_clean_text_is_cheap():
    text = "python train.py reads 4096 rows from /data/churn/train.parquet and writes the model" * 3
    start = time.perf_counter()
    for _ in range(2_000):
        redact(text[:200])
    # About 3 µs; the bound is wide for a busy machine and still shows a rule without its gate.
    assert (time.perf_counter() - start) / 2_000 < 40e-6
