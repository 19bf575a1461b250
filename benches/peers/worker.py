"""The loop of a peer: requests on standard input, answers on standard output, a line of JSON each."""

import json
import resource
import sys
import time
import traceback


def threads():
    return int(sys.argv[sys.argv.index("--threads") + 1]) if "--threads" in sys.argv else 2


def serve(prepare):
    """`prepare(name)` gives a function that does the work a number of times and returns its last figure, or None."""
    out, work = sys.stdout, None
    sys.stdout = sys.stderr  # whatever a library prints must not mix with the answers
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("quit"):
            return
        if request.get("prepare"):
            try:
                work = prepare(request["work"])
                if work is None:
                    answer = {"skip": "there is no such work here"}
                else:
                    first = work(1)
                    work(3)
                    answer = {"ready": True, "first": first}
            except Exception as e:  # a peer that fails is left out of the table, not the whole run
                traceback.print_exc()
                answer = {"skip": f"{type(e).__name__}: {e}"[:200]}
        else:
            start = time.perf_counter()
            work(request["steps"])
            seconds = time.perf_counter() - start
            answer = {"seconds": seconds, "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
        print(json.dumps(answer), file=out, flush=True)
