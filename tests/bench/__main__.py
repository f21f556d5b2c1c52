"""`make bench`: everything that is measured, one after the other. About ten minutes.

python -m tests.bench [speed|lateness|memory|offload …]
"""

import sys

from tests.bench import freeze, lateness, memory, missed, offload, read, speed, stream

BENCHES = {
    "speed": speed,
    "lateness": lateness,
    "memory": memory,
    "offload": offload,
    "read": read,
    "missed": missed,
    "stream": stream,
    "freeze": freeze,
}


def main() -> int:
    """Run the named benches, or all."""
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"bench: no such bench: {', '.join(unknown)}; there are {', '.join(BENCHES)}")
        return 2
    for name in names:
        bench = BENCHES[name]
        print(bench.report(bench.measure()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
