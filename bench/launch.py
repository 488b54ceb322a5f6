"""Runs one command and prints its wall time and peak memory as JSON: `launch.py LOG COMMAND...`.

A program of its own, and forking instead of spawning, because Linux counts the memory that the forking process had
into the peak of the process it starts. This way that floor is a bare interpreter; run /bin/true to see how high it is.
"""

import os
import sys
import time


def main() -> None:
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    started = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.execv(sys.argv[2], sys.argv[2:])
        finally:
            os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    code = os.waitstatus_to_exitcode(status)
    print(f'{{"seconds": {seconds}, "peak_kib": {usage.ru_maxrss}, "code": {code}}}')


if __name__ == "__main__":
    main()
