"""A worker process of `provgraph.pool`: reads tasks from standard input, writes answers.

Run by path. It ignores the terminal's interrupt: who started it decides when it ends.
"""

import json
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    first = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = first["path"]

    from provgraph.errors import ProvgraphError
    from provgraph.pool import load

    # Whatever a library prints must not pass for an answer.
    out, sys.stdout = sys.stdout.buffer, sys.stderr
    work = None
    for line in sys.stdin.buffer:
        try:
            if work is None:
                # Held open until the process ends.
                context = load(first["begin"])(first["setup"])
                work = context.__enter__()
            answer = work(json.loads(line))
        except ProvgraphError as error:
            answer = {"error": type(error).__name__, "message": str(error)}
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()
