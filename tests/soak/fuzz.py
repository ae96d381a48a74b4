"""Fuzzes one parser with atheris, guided by coverage: `python tests/soak/fuzz.py NAME [-max_total_time=60]`.

`python tests/soak/fuzz.py` lists the names. Needs the extra `fuzz`. What ends it is a fault: an
exception that no parser may let out, or an input that takes longer than TIMEOUT_S. Arguments after the
name are libFuzzer's; the input that ended it is written to a file crash-… or timeout-….
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "seal"), str(TESTS)]

import atheris  # noqa: E402

TIMEOUT_S = 5
MAX_BYTES = 100_000

with atheris.instrument_imports(include=["provgraph"]):
    import parsers


def main() -> None:
    """Run until time is up or something falls out."""
    if len(sys.argv) < 2 or sys.argv[1] not in parsers.PARSERS:
        print("\n".join(parsers.PARSERS))
        sys.exit(2)
    name = sys.argv.pop(1)
    parser = parsers.PARSERS[name]

    def take(data: bytes) -> None:
        try:
            parser.parse(data)
        except parsers.EXPECTED:
            return
        if name in parsers.SIGNED and data not in parser.samples:
            raise AssertionError(f"{name}: a falsified sample verified")

    def change(data: bytes, max_bytes: int, seed: int) -> bytes:
        # Half by libFuzzer, which knows what was covered, half by what we know of the formats.
        if seed % 2:
            return atheris.Mutate(data, max_bytes)
        chance = random.Random(seed)
        return parsers.mutate(chance, data, chance.choice(parser.samples))[:max_bytes]

    with tempfile.TemporaryDirectory() as corpus:
        for number, sample in enumerate(parser.samples):
            (Path(corpus) / str(number)).write_bytes(sample)
        limits = [f"-timeout={TIMEOUT_S}", f"-max_len={MAX_BYTES}", "-rss_limit_mb=2048"]
        atheris.Setup([sys.argv[0], corpus, *limits, *sys.argv[1:]], take, custom_mutator=change)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
