"""The demo tells a true story: its figures are measured, and its forgeries are really caught."""

import re
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "work"
    command = "import sys; from provgraph.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", command, "demo", "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    return done.returncode, done.stdout, done.stderr, folder


def test_it_ends_well_and_says_nothing_on_stderr(story):
    code, _, errors, _ = story
    assert (code, errors) == (0, "")


def test_the_drop_is_measured_and_below_the_threshold(story):
    _, text, _, _ = story
    before = float(re.search(r"radiologists can read: ROC AUC (0\.\d+)", text)[1])
    after = float(re.search(r"monitoring sees ROC AUC (0\.\d+), below the threshold", text)[1])
    assert 0.95 < before < 1
    assert 0.5 < after < 0.95


def test_the_lineage_leads_to_both_clinics(story):
    _, text, _, _ = story
    tree = text[text.index("lineage tumour-screening:1.0 --up") :]
    tree = tree[: tree.index("Three questions")]
    for name in ("train.csv", "features", "clean table", "merged table", "north.csv", "south.csv"):
        assert tree.count(name) >= 1, name
    assert tree.count("CC-BY-4.0") == 2


def test_the_failed_attempt_is_kept_with_its_reason(story):
    _, text, _, _ = story
    assert text.count("ValueError: Input X contains NaN") == 1


def test_the_drop_is_explained_and_the_next_week_is_left_open(story):
    _, text, _, _ = story
    why = text[text.index("6  Why did the pilot get worse?") :]
    assert re.search(r"ORIGIN\s+It began in\s+data quality", why) is not None
    evidence = why[why.index("data quality: evidence") : why.index("what would settle it")]
    for name in ("mean_radius", "mean_perimeter"):
        assert re.search(rf"{name}: distance .* beyond\s+the former range", evidence) is not None
    later = why[why.index("it is too early") :]
    assert later.count("INSUFFICIENT_EVIDENCE") == 1
    assert re.search(r"measure on more than 18\s+rows", later) is not None


def test_both_forgeries_are_caught(story):
    _, text, _, folder = story
    caught = re.findall(r"caught: (step \d+: .*)", text)
    assert len(caught) == 2
    assert re.fullmatch(r"step 3: records/\d+/graph\.nq was changed after .*", caught[0])
    assert caught[1].startswith("step 3: note: ")
    assert (folder / "tumour-screening-1.0.zip").is_file()


def test_a_folder_that_exists_is_refused(tmp_path):
    command = "import sys; from provgraph.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", command, "demo", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert re.fullmatch(r"provgraph: cannot make the folder .*: File exists\n", done.stderr)
