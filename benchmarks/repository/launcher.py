"""Runs one program and says what it cost: `launcher.py FD PROGRAM ...` writes one line of JSON to that descriptor.

The kernel carries the largest resident set over an exec, so a program started by a process of 70 MiB is said to need 70 MiB
at least. This one imports nothing, is started anew for each run, and forks: nothing is counted but its own 9 MiB.
"""

import os
import sys
import time


def main() -> None:
    """Write `[seconds, CPU seconds, peak KiB, wait status]`; the program inherits standard input and error."""
    told, argv = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(told, False)
    started = time.monotonic()
    child = os.fork()
    if not child:
        try:
            os.execvp(argv[0], argv)
        except OSError as error:
            print(f"{argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        finally:
            os._exit(127)
    os.close(0)
    _, status, usage = os.wait4(child, 0)
    wall = time.monotonic() - started
    os.write(told, f"[{wall}, {usage.ru_utime + usage.ru_stime}, {usage.ru_maxrss}, {status}]\n".encode())


if __name__ == "__main__":
    main()
