"""Processes as /proc shows them: which are a kernel's, and what is said of each.

Read thousands of times a minute, so with the plain calls; what has ended meanwhile reads as empty.
Standard library only: the warden runs without installed packages.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

#: Threads of one process that are looked at for one that lives.
_MOST_THREADS = 64

#: PF_EXITING of <linux/sched.h>, and where a thread's flags are in its `stat`, after its name.
_EXITING = 0x4
_FLAGS = 6


def all_pids() -> Iterator[int]:
    """Ids of all processes."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 - see above


def processes_of(users: set[int | None]) -> dict[int, list[int]]:
    """Ids of processes by user id, for these users, and by brand, as a negative number."""
    found: dict[int, list[int]] = {}
    me = os.geteuid()
    for pid in all_pids():
        with suppress(OSError):
            owner = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 - thousands of times a minute
            if owner in users:
                found.setdefault(owner, []).append(pid)
            elif owner == me and None in users and (brand := brand_of(pid)):
                found.setdefault(-brand, []).append(pid)
    return found


def _read(pid: int, name: str) -> str:
    return text_of(f"/proc/{pid}/{name}")


def text_of(path: str) -> str:
    """What a file of /proc says."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123 - see above
            return file.read()
    except OSError:
        return ""


def _field(text: str, name: str) -> str:
    """A line of a file of /proc, without its name."""
    start = text.find(f"{name}")
    return text[start + len(name) :].partition("\n")[0] if start >= 0 else ""


def kibibytes(text: str, name: str) -> int:
    """Bytes that a line of a file of /proc gives in kB; 0 without the line."""
    words = _field(text, name).split()
    return int(words[0]) * 1024 if words else 0


def capabilities(name: str) -> int:
    """A set of this process' capabilities, a bit for each, by its name in `status`."""
    return int(_field(text_of("/proc/self/status"), f"\n{name}:") or "0", 16)


def brand_of(pid: int) -> int:
    """The brand that a process carries, which cannot be shed; 0 is none."""
    words = _field(_read(pid, "limits"), "Max realtime timeout").split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def real_user_of(pid: int) -> int:
    """The real user id of a process."""
    words = _field(_read(pid, "status"), "\nUid:").split()
    return int(words[0]) if words else -1


def has_ended(pid: int) -> bool:
    """Whether a process has ended, and only waits for its parent to ask."""
    return _field(_read(pid, "status"), "\nState:").strip()[:1] in {"Z", "X", ""}


def is_ending(pid: int) -> bool:
    """Whether a process runs no more: all it does is to give back what it has, which takes a while.

    Where that is much memory, a second and more.
    """
    return _thread_ends(_read(pid, "stat")) and all(
        _thread_ends(_read(pid, f"task/{thread}/stat")) for thread in _names(f"/proc/{pid}/task")
    )


def _thread_ends(stat: str) -> bool:
    """What a thread's `stat` says, after its name, which can be anything; nothing of one gone."""
    words = stat.rpartition(")")[2].split()
    return not words or words[0] in {"Z", "X"} or bool(int(words[_FLAGS]) & _EXITING)


def parent_of(pid: int) -> int:
    """The id of the process that made this one."""
    words = _field(_read(pid, "status"), "\nPPid:").split()
    return int(words[0]) if words else 0


def read_living(pid: int, name: str, wanted: str) -> str:
    """Read a process' file; of a living thread where its first has ended, which hides the rest."""
    text = _read(pid, name)
    if wanted in text:
        return text
    for thread in _names(f"/proc/{pid}/task")[:_MOST_THREADS]:
        if wanted in (text := _read(pid, f"task/{thread}/{name}")):
            return text
    return ""


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)  # noqa: PTH208 - thousands of times a minute
    except OSError:
        return []


def descriptors_of(pid: int) -> list[str]:
    """The names of a process' open descriptors below its `fd`."""
    found = _names(f"/proc/{pid}/fd")
    if found:
        return found
    # Of a process whose first thread has ended those of another.
    threads = _names(f"/proc/{pid}/task")[:_MOST_THREADS]
    return next((names for each in threads if (names := _names(f"/proc/{pid}/task/{each}/fd"))), [])


def is_hidden(pid: int) -> bool:
    """Whether a process shows nothing of itself: its program cannot be read by its user."""
    try:
        os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 - see above
    except PermissionError:
        return True
    except OSError:
        pass
    return False
