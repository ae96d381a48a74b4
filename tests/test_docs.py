"""The commands in README.md and docs/*.md do what the pages say; see document_blocks.py."""

import re
from pathlib import Path

import pytest
from document_blocks import Block, matches, read_blocks, read_commands, run_page

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]

MIN_RUNNABLE_IN_README = 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path, tmp_path: Path) -> None:
    count = run_page(page.read_text("utf-8"), tmp_path)
    assert count >= (MIN_RUNNABLE_IN_README if page.name == "README.md" else 0)


def test_make_targets_named_in_pages_exist() -> None:
    targets = set(
        re.findall(r"^([a-z]+):", (CHECKOUT / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    named = {
        target
        for page in PAGES
        for block in read_blocks(page.read_text("utf-8"))
        if "no-run" in block.words
        for target in re.findall(r"^(?:\$ )?make ([a-z]+)", block.text, re.MULTILINE)
    }
    assert named - targets == set()


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ("one\ntwo\n", "one\ntwo\n", True),
        ("one\n", "one   \n\n", True),
        ("one\n", "one\ntwo\n", False),
        ("run 4…f ended\n", "run 41f ended\n", True),
        ("run 4…f ended\n", "run 4\n1f ended\n", False),
        ("first\n…\nlast\n", "first\nlast\n", True),
        ("first\n…\nlast\n", "first\n2\n3\nlast\n", True),
        ("first\n…\n", "second\nfirst\n", False),
        ("…\nlast\n", "1\nlast\n", True),
        ("a.c\n", "abc\n", False),
    ],
)
def test_matches(shown: str, printed: str, expected: bool) -> None:
    assert matches(shown, printed) is expected


def test_blocks_are_read_with_line_and_words() -> None:
    page = "# Title\n\n```python file=a.py\nx = 1\n```\n\n<!-- setup\ntouch b\n-->\n\n```json\n{}\n```\n"
    assert read_blocks(page) == [
        Block(line=4, language="python", words=("file=a.py",), text="x = 1\n"),
        Block(line=8, language="setup", text="touch b\n"),
        Block(line=12, language="json", text="{}\n"),
    ]


def test_commands_are_read_with_continuation_and_output() -> None:
    block = Block(line=5, language="console", text="$ cat <<.\n> a\n> .\na\n\n> b\n$ true\n")
    commands = [(each.line, each.text, each.shown) for each in read_commands(block)]
    assert commands == [(5, "cat <<.\na\n.", "a\n\n> b\n"), (11, "true", "")]


def test_a_page_runs_in_order_in_one_folder(tmp_path: Path) -> None:
    page = """
<!-- setup
echo 1 > number
-->
```python file=double.py
number = int(open("number").read())
open("number", "w").write(str(number * 2))
```
```console
$ python double.py
$ cat number; echo
2
$ mkdir -p below && cd below
$ pwd
…/below
$ false
$ echo $?
1
```
```bash
test "$(cat number)" = 2
```
```bash no-run
exit 1
```
```text
not looked at
```
"""
    assert run_page(page, tmp_path) == 2


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("```console\n$ echo two\none\n```\n", "line 2: \\$ echo two\n--- shown ---\none"),
        ("```console\n$ true\n$ false\n```\n", "line 3: \\$ false\nexit code 1"),
        ("```console\n$ exit 3\n```\n", "line 2: the session broke off"),
        ("```console\nno prompt\n```\n", "line 2: a console block begins with a command"),
        ("```python\nraise SystemExit(4)\n```\n", "line 2: exit code 4"),
        ("```bash\nfalse | true\n```\n", "line 2: exit code 1"),
        ("<!-- setup\nfalse\n-->\n", "line 2: exit code 1"),
        ("```bash\ntrue\n", "line 1: a block begins here and does not end"),
    ],
)
def test_a_page_that_is_wrong_is_found(page: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=said):
        run_page(page, tmp_path)
