"""A child process that behaves as told: `python fake_child.py BEHAVIOUR [FILE]`.

It speaks the engine child's protocol: reads one line, writes one line with an address, and lives
until standard input ends. Each start adds a line to FILE: its process id and the time.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path


def ready() -> None:
    sys.stdin.readline()
    say('{"url": "http://127.0.0.1:9"}')


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def until_input_ends() -> None:
    while sys.stdin.read(4096):
        pass


def serve() -> None:
    ready()
    until_input_ends()


def die_at_once() -> None:
    sys.stderr.write("first line\n" * 50 + "the tensors are damaged\nloading failed")
    sys.exit(3)


def die_when_ready() -> None:
    ready()
    sys.stderr.write("out of memory\n")
    sys.exit(4)


def never_ready() -> None:
    sys.stdin.readline()
    until_input_ends()


def write_garbage() -> None:
    sys.stdin.readline()
    say("llama.cpp says hello")
    until_input_ends()


def ignore_terminate() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready()
    while True:
        time.sleep(60)


def flood() -> None:
    sys.stderr.write("x" * 3_000_000 + "\n" + "line\n" * 10_000)
    ready()
    until_input_ends()


BEHAVIOURS: dict[str, Callable[[], None]] = {
    behaviour.__name__: behaviour
    for behaviour in (
        serve, die_at_once, die_when_ready, never_ready, write_garbage, ignore_terminate, flood,
    )
}  # fmt: skip

if __name__ == "__main__":
    if len(sys.argv) > 2:
        with Path(sys.argv[2]).open("a") as births:
            births.write(f"{os.getpid()} {time.monotonic()}\n")
    BEHAVIOURS[sys.argv[1]]()
