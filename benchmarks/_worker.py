"""One side of a comparison: a process that has loaded the pack of one tree, and works when it is told to.

Each line of standard input is a row to prepare, as JSON, or empty for one turn of it. Each is answered by a line of
JSON: {}, {"seconds": ...} of the turn, or {"error": ...}.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from parts import host

LEAST = 0.3  # seconds of a turn: shorter work is repeated
WARM, LONG = 2, 3.0  # turns to warm up; after one that takes so many seconds there is no other


def main() -> None:
    parser = host.arguments(__doc__)
    parser.add_argument("--tree", type=Path, required=True)
    parser.add_argument("--base", required=True, help="ComfyUI's base directory, with the model files")
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what others print goes to the log
    host.import_comfyui(options, base_directory=options.base)
    import torch
    from parts import unets

    unets.shorten_text_attention()
    host.import_pack(options.tree)
    from parts import workloads

    with torch.inference_mode():
        work: Callable[[], float] | None = None
        for line in sys.stdin:
            try:
                if line.strip():
                    work = None  # its memory goes first
                    work = workloads.prepare(**json.loads(line))
                    answer = {}
                    for _ in range(WARM):
                        if work() > LONG:
                            break
                else:
                    answer = {"seconds": turn(work)}
            except Exception as error:  # the driver reports it, and goes on with another row
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=answers, flush=True)


def turn(work: Callable[[], float]) -> float:
    """Median seconds of the work, done as often as fits."""
    end, times = time.perf_counter() + LEAST, [work()]
    while time.perf_counter() < end:
        times.append(work())
    return statistics.median(times)


if __name__ == "__main__":
    main()
