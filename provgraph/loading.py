"""One lock around our late imports, so that no process is forked in the middle of one.

Parts of provgraph are imported when they are first needed, which may be in a thread. A child that
another thread forks meanwhile would find the module locked by a thread that it does not have, and
wait for ever (https://docs.python.org/3/library/os.html#os.fork). So a fork waits for our imports,
which take some ten milliseconds, once.
"""

from __future__ import annotations

import os
import threading
from typing import Final

import_lock: Final = threading.RLock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=import_lock.acquire,
        after_in_parent=import_lock.release,
        after_in_child=import_lock.release,
    )
