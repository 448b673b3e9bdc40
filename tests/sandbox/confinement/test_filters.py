"""Filters of system calls, judged by the kernel that runs them, in a process of their own."""

import errno
import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.inside import bpf, seccomp, system
from sandbox.inside.system import NUMBERS

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux'")

_PREFIX = """
import ctypes, json, os, resource, signal, socket, sys, threading
sys.path.insert(0, {root!r})
from sandbox.inside.bpf import Differs, Equals, HasAny, NotNull, Rule
from sandbox.inside.seccomp import EARLY_RULES, LATE_RULES, OWNER_RULES
from sandbox.inside.seccomp import forbid_new_privileges, install
from sandbox.inside.system import call
forbid_new_privileges()
results = {{}}
def attempt(name, function):
    try:
        function()
        results[name] = 0
    except OSError as error:
        results[name] = error.errno
    except ValueError:
        # What the resource module makes of it.
        results[name] = 1
"""


def outcomes(code: str) -> dict[str, int]:
    """The errors of attempts (0: none) that a program makes."""
    program = _PREFIX.format(root=str(ROOT)) + code + "\nprint(json.dumps(results))\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_rule_without_tests_fails_the_call_and_no_other() -> None:
    found = outcomes("""
install((Rule("sethostname", error=99),))
attempt("denied", lambda: call("sethostname", None, 0))
attempt("other", os.getppid)
""")
    assert found == {"denied": 99, "other": 0}


def test_tests_look_at_the_low_word_of_an_argument() -> None:
    found = outcomes("""
install((
    Rule("prctl", (Equals(0, 1),), 91),
    Rule("prctl", (HasAny(1, 6), Differs(0, 4)), 92),
    Rule("prctl", (NotNull(4),), 93),
))
GET_DUMPABLE = 3
attempt("equals", lambda: call("prctl", 1, 0, 0, 0, 0))
attempt("equals, with high bits", lambda: call("prctl", 1 | 1 << 40, 0, 0, 0, 0))
attempt("has a bit", lambda: call("prctl", GET_DUMPABLE, 2, 0, 0, 0))
attempt("has another bit", lambda: call("prctl", GET_DUMPABLE, 12, 0, 0, 0))
attempt("has none", lambda: call("prctl", GET_DUMPABLE, 8, 0, 0, 0))
attempt("the second test fails", lambda: call("prctl", 4, 1, 0, 0, 0))
attempt("a pointer", lambda: call("prctl", GET_DUMPABLE, 0, 0, 0, 1))
attempt("a high pointer", lambda: call("prctl", GET_DUMPABLE, 0, 0, 0, 1 << 32))
""")
    assert found == {
        "equals": 91, "equals, with high bits": 91, "has a bit": 92, "has another bit": 92,
        "has none": 0, "the second test fails": 0, "a pointer": 93, "a high pointer": 93,
    }  # fmt: skip


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is an ABI of x86-64")
def test_calls_of_the_x32_abi_do_not_exist() -> None:
    found = outcomes("""
install(())
library = ctypes.CDLL(None, use_errno=True)
def x32():
    if library.syscall(0x40000000 | 39) < 0:
        raise OSError(ctypes.get_errno(), "x32")
attempt("getpid of x32", x32)
""")
    assert found == {"getpid of x32": errno.ENOSYS}


def test_no_call_of_the_early_rules_works_whatever_its_arguments() -> None:
    found = outcomes("""
install(EARLY_RULES)
for rule in EARLY_RULES:
    if not rule.tests:
        attempt(rule.call, lambda: call(rule.call, 0, 0, 0, 0, 0, 0))
""")
    denied = {rule.call: rule.error for rule in seccomp.EARLY_RULES if not rule.tests}
    assert found == {name: error for name, error in denied.items() if name in NUMBERS} | {
        # Named by the table of another architecture alone.
        name: errno.ENOSYS
        for name in denied
        if name not in NUMBERS
    }
    assert len(found) > 70


def test_before_the_seal_unix_sockets_alone_can_be_made() -> None:
    found = outcomes("""
install(EARLY_RULES)
attempt("unix", lambda: socket.socket(socket.AF_UNIX).bind(chr(0) + "quorum-%d" % os.getpid()))
attempt("pair", lambda: socket.socketpair())
attempt("internet", lambda: socket.socket(socket.AF_INET))
attempt("thread", lambda: threading.Thread(target=print).start())
attempt("own limit", lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
attempt("other's limit", lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0)))
attempt("reads other's limit", lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CORE))
attempt("own cores", lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)))
attempt("other's cores", lambda: os.sched_setaffinity(os.getppid(), os.sched_getaffinity(0)))
attempt("own niceness", lambda: os.setpriority(os.PRIO_PROCESS, 0, 5))
attempt("user's niceness", lambda: os.setpriority(os.PRIO_USER, 0, 5))
attempt("user namespace", lambda: call("clone", 0x10000000 | signal.SIGCHLD, 0, 0, 0, 0))
attempt("parent's child", lambda: call("clone", 0x8000 | signal.SIGCHLD, 0, 0, 0, 0) or os._exit(0))
""")
    allowed = {"unix", "pair", "thread", "own limit", "own cores", "own niceness"}
    allowed.add("reads other's limit")
    assert {name for name, error in found.items() if error == 0} == allowed
    assert {error for error in found.values() if error} == {errno.EPERM}


def test_shared_memory_without_a_file_can_be_withheld() -> None:
    found = outcomes("""
import mmap, tempfile
from sandbox.inside.seccomp import UNSHARED_RULES
install(UNSHARED_RULES)
file = tempfile.TemporaryFile()
file.truncate(4096)
attempt("shared", lambda: mmap.mmap(-1, 4096))
attempt("private", lambda: mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
attempt("of a file", lambda: mmap.mmap(file.fileno(), 4096))
attempt("of a thread", lambda: threading.Thread(target=print).start())
""")
    assert found == {"shared": errno.EPERM, "private": 0, "of a file": 0, "of a thread": 0}


def test_copies_and_pipes_work_before_the_seal(tmp_path: Path) -> None:
    found = outcomes(f"""
import fcntl, shutil, subprocess
install(EARLY_RULES)
source, target = {str(tmp_path / "source")!r}, {str(tmp_path / "target")!r}
with open(source, "wb") as file: file.write(bytes(10**6))
def send():
    with open(source, "rb") as file, open(target, "wb") as copy:
        assert os.sendfile(copy.fileno(), file.fileno(), 0, 10**6) == 10**6
reader, writer = os.pipe()
attempt("copy", lambda: shutil.copyfile(source, target))
attempt("send", send)
attempt("pipe", lambda: subprocess.run(["cat"], input=bytes(10**6), stdout=-3, check=True))
attempt("size of a pipe", lambda: fcntl.fcntl(reader, 1032))
attempt("larger pipe", lambda: fcntl.fcntl(reader, 1031, 2**20))
""")
    refused = found.pop("larger pipe")
    assert refused == errno.EPERM
    assert set(found.values()) == {0}


def test_attributes_and_flags_of_files_are_out_of_reach(tmp_path: Path) -> None:
    """Also of those that are only open for reading; what copies files does without."""
    (tmp_path / "file").write_text("x")
    found = outcomes(f"""
import fcntl, pathlib, shutil, subprocess, tempfile
os.chdir({str(tmp_path)!r})
try: os.setxattr("file", "user.quorum", b"x")
except OSError: pass
install(EARLY_RULES)
descriptor = os.open("file", os.O_RDONLY)
for act in ("get", "remove"):
    function = getattr(os, act + "xattr")
    attempt(act, lambda: function("file", "user.quorum"))
    attempt(act + " of a link", lambda: function("file", "user.quorum", follow_symlinks=False))
    attempt(act + " by descriptor", lambda: function(descriptor, "user.quorum"))
attempt("set", lambda: os.setxattr("file", "user.other", b"x"))
attempt("list", lambda: os.listxattr("file"))
for name, number in (("get flags", 0x80086601), ("set flags", 0x40086602),
                     ("set flags, 32 bits", 0x40046602), ("set project", 0x401C5820)):
    attempt(name, lambda: fcntl.ioctl(descriptor, number, bytes(32)))
attempt("type into a terminal", lambda: fcntl.ioctl(descriptor, 0x5412, b"x"))
attempt("copy2", lambda: shutil.copy2("file", "copy2"))
attempt("copytree", lambda: shutil.copytree(".", tempfile.mkdtemp(), dirs_exist_ok=True))
attempt("path", lambda: pathlib.Path("copy2").rename("moved"))
for command in ("ls -l file", "cp -a file copy", "cp --reflink=auto file clone", "mv copy moved",
                "test ! -t 0", "tar cf archive file"):
    attempt(command, lambda: subprocess.run(command.split(), check=True, stdout=-3))
attempt("waiting bytes", lambda: fcntl.ioctl(os.pipe()[0], 0x541B, bytes(4)))
""")
    typed = found.pop("type into a terminal")
    assert typed == errno.EPERM
    refused = {"get", "get of a link", "get by descriptor", "list", "set", "get flags", "set flags",
               "remove", "remove of a link", "remove by descriptor", "set flags, 32 bits",
               "set project"}  # fmt: skip
    assert {name for name, error in found.items() if error} == refused
    assert {error for error in found.values() if error} == {errno.EOPNOTSUPP}


def test_the_seal_holds_for_threads_that_ran_before() -> None:
    found = outcomes("""
go, done = threading.Event(), threading.Event()
def work():
    go.wait()
    attempt("in a thread", lambda: socket.socket(socket.AF_UNIX))
    done.set()
threading.Thread(target=work, daemon=True).start()
datagrams = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
listener = socket.socket(socket.AF_UNIX)
listener.bind(chr(0) + "quorum-%d" % os.getpid())
install(EARLY_RULES)
install(LATE_RULES, all_threads=True)
go.set()
done.wait()
attempt("socket", lambda: socket.socket(socket.AF_UNIX))
attempt("listen", listener.listen)
attempt("connect", lambda: datagrams[0].connect(chr(0) + "quorum"))
attempt("a pair of streams", lambda: socket.socketpair())
attempt("a pair of datagrams", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
attempt("death signal", lambda: call("prctl", 1, 0, 0, 0, 0))
attempt("inspection", lambda: call("prctl", 4, 0, 0, 0, 0))
attempt("orphans", lambda: call("prctl", 36, 0, 0, 0, 0))
attempt("send buffer", lambda: datagrams[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 9))
attempt("receive buffer", lambda: datagrams[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 9))
attempt("brand", lambda: resource.setrlimit(resource.RLIMIT_RTTIME, (1, 1)))
attempt("stack", lambda: resource.setrlimit(resource.RLIMIT_STACK, (2**23, -1)))
pair = socket.socketpair()
attempt("bytes", lambda: pair[0].send(b"x"))
attempt("a descriptor", lambda: socket.send_fds(pair[0], [b"x"], [0]))
attempt("two messages", lambda: call("sendmmsg", pair[0].fileno(), 0, 0, 0))
attempt("rules of its own", lambda: call("landlock_create_ruleset", None, 0, 1))
""")
    assert {name for name, error in found.items() if error == 0} == {
        "a pair of streams", "receive buffer", "stack", "bytes",
    }  # fmt: skip


def test_an_owner_can_change_nothing_of_a_file_but_its_content(tmp_path: Path) -> None:
    found = outcomes(f"""
path = {str(tmp_path / "file")!r}
descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
install(OWNER_RULES)
import fcntl
attempt("mode", lambda: os.chmod(path, 0o777))
attempt("mode by descriptor", lambda: os.fchmod(descriptor, 0o777))
attempt("mode in a folder", lambda: call("fchmodat", -100, 0, 0, 0))
attempt("mode, newer", lambda: call("fchmodat2", -100, 0, 0, 0))
attempt("owner", lambda: os.chown(path, os.getuid(), -1))
attempt("owner by descriptor", lambda: os.fchown(descriptor, os.getuid(), -1))
attempt("owner of a link", lambda: os.lchown(path, os.getuid(), -1))
attempt("time", lambda: os.utime(path, (0, 0)))
attempt("present time", lambda: os.utime(descriptor))
attempt("lease", lambda: fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK))
attempt("use", lambda: fcntl.fcntl(descriptor, 1036, (2).to_bytes(8, "little")))
attempt("flags", lambda: fcntl.fcntl(descriptor, fcntl.F_GETFD))
attempt("content", lambda: os.write(descriptor, b"x"))
""")
    assert {name for name, error in found.items() if error == 0} == {"flags", "content"}
    assert {error for error in found.values() if error} == {errno.EPERM}


def test_every_rule_s_call_has_its_number() -> None:
    """Or the rule would be left out without a word."""
    rules = (*seccomp.EARLY_RULES, *seccomp.LATE_RULES, *seccomp.OWNER_RULES)
    named = {rule.call for rule in rules}
    assert named - set(system._NUMBERS) == set()


def test_the_table_of_numbers_is_the_systems() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if platform.machine() != "x86_64" or not header.exists():
        pytest.skip("no header of this architecture's system calls")
    lines = (line.split() for line in header.read_text(encoding="ascii").splitlines())
    names = {words[1]: words[2] for words in lines if len(words) == 3 and words[0] == "#define"}
    there = {name: int(names[f"__NR_{name}"]) for name in NUMBERS if f"__NR_{name}" in names}
    assert len(there) > 90
    assert there == {name: NUMBERS[name] for name in there}


def test_an_unknown_machine_is_an_error_not_an_open_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(OSError, match="unknown machine vax"):
        bpf.assemble(seccomp.EARLY_RULES)
