"""A 5 GB file, really read: the digest is right, the bar moves, memory stays flat."""

import hashlib
import io
import resource
import time

from provgraph.capture.files import digest_with_progress

MIB = 1024 * 1024
SIZE = 5 * 1000**3 // MIB * MIB


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_file_of_five_gigabytes(tmp_path, capsys):
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(SIZE)
    expected = hashlib.sha256()
    zeros = bytes(MIB)
    for _ in range(SIZE // MIB):
        expected.update(zeros)

    stream = Terminal()
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = digest_with_progress(path, label="large.bin", stream=stream)
    seconds = time.perf_counter() - start
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib

    with capsys.disabled():
        print(f"\n{SIZE / 1e9:.2f} GB in {seconds:.1f} s: {SIZE / seconds / 1e6:.0f} MB/s")
    assert found.digest.value == expected.hexdigest()
    assert (found.size_bytes, found.file_count) == (SIZE, 1)
    assert grown_kib < 16 * 1024
    drawn = stream.getvalue().split("\r")
    if seconds > 2.5:
        assert drawn[1].startswith("provgraph: large.bin ")
        assert drawn[-2].strip() == ""
