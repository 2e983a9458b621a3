"""What the fork server of the tests runs: says what it finds, or does what `DO` asks."""

import os
import signal
import sys
import time

FIELDS = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigIgn")

LOOK = f"""
import os
for line in open("/proc/self/status"):
    if line.split(":")[0] in {FIELDS!r}:
        print(" ".join(line.split()))
print("cwd", os.getcwd())
print("env", sorted((name, value) for name, value in os.environ.items() if name not in ("PWD", "SHLVL", "_", "LC_CTYPE")))
print("root", sorted(os.listdir("/")))
print("processes", sorted(int(name) for name in os.listdir("/proc") if name.isdigit())[:2])
print("descriptors", sorted(os.listdir("/proc/self/fd"))[:3])
print("groups", sorted(line.split(":", 1)[1].strip() for line in open("/proc/self/cgroup") if "memory" in line))
print("out", open("/dev/stdout", "w").write("") == 0, os.umask(0o22))
"""


def main(words: list[str]) -> int:
    print("forked", words, sys.argv[0], flush=True)
    what = os.environ.get("DO", "look")
    if what == "look":
        exec(LOOK)
    if what == "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))
        print("up", flush=True)
        time.sleep(60)
    if what == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    print("said and not flushed", end="")
    with open("/dev/termination-log", "w") as file:
        file.write("last words")
    return 3
