"""The state of random number generators, as far as it can be read without disturbing them.

Only libraries that the program has loaded are asked. A digest of a generator's state identifies
it: two runs with the same digest began with the same numbers to come. It does not reproduce them,
as a seed would; only `PYTHONHASHSEED` and `torch` are seeds. Generators that the program made for
itself (`numpy.random.default_rng`, `jax.random.key`) cannot be seen from outside: log their seeds
as parameters.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from provgraph.capture.attempt import learn
from provgraph.loading import import_lock
from provgraph.records import Missing


def probe_seeds() -> dict[str, str]:
    """Return generator -> seed, or digest of its state; what cannot be read is left out."""
    return read_seeds([])


def read_seeds(missing: list[Missing]) -> dict[str, str]:
    """Return what `probe_seeds` does, and append what could not be read to `missing`."""
    seeds: dict[str, str] = {}
    for name, (module, probe) in _GENERATORS.items():
        if module in sys.modules:
            value = learn(f"seeds {name}", partial(probe, sys.modules[module]), missing)
            if value is not None:
                seeds[name] = value
    return seeds


def _hash_seed(_: Any) -> str:
    seed = os.environ.get("PYTHONHASHSEED", "")
    return seed if seed.isdigit() and not sys.flags.ignore_environment else "random"


def _python_state(random: Any) -> str:
    return _python_digest(random.getstate())


@functools.lru_cache(maxsize=8)
def _python_digest(state: tuple[Any, ...]) -> str:
    # Hundreds of short runs that draw no number have one state: to compare it costs a tenth.
    return _digest(state)


def _numpy_state(numpy_random: Any) -> str:
    return _digest(numpy_random.get_state(legacy=False))


def _torch_seed(torch: Any) -> str:
    return str(torch.initial_seed())


# Name in the record -> (module that must be loaded, how it is asked).
_GENERATORS: Final[dict[str, tuple[str, Callable[[Any], str]]]] = {
    "PYTHONHASHSEED": ("sys", _hash_seed),
    "random.state": ("random", _python_state),
    "numpy.random.state": ("numpy.random", _numpy_state),
    "torch.seed": ("torch", _torch_seed),
}


def _digest(state: Any) -> str:
    with import_lock:
        import hashlib

    hasher = hashlib.sha256()
    _feed(hasher.update, state)
    return f"sha256:{hasher.hexdigest()}"


def _feed(update: Callable[[bytes], None], state: Any) -> None:
    """Feed a nested state, each part with its kind, so that no two states feed the same bytes."""
    if isinstance(state, dict):
        update(b"{%d" % len(state))
        for key in sorted(state):
            _feed(update, key)
            _feed(update, state[key])
    elif isinstance(state, tuple | list):
        # One text for the 625 numbers of a Mersenne Twister; it holds plain numbers and None.
        update(b"(" + repr(tuple(state)).encode() + b")")
    elif hasattr(state, "tolist"):  # numpy arrays and scalars
        _feed(update, state.tolist())
    else:
        update(repr(state).encode() + b";")
