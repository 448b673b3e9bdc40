"""Rows that hold memory which is no process' own: sockets, pipes, shared memory, nameless files."""

from sandbox.confinement.tiers import Guarantee
from tests.hostile.row import Row, Then, refused, unbreached

_MEMORY = frozenset({Guarantee.MEMORY})

ROWS = (
    Row(
        "shared memory that is let go of",
        "all together stay under the bound, or are ended",
        unbreached,
        (
            """
import mmap
mmap.mmap(-1, 4096)  # Refused where its size could not be asked for.
for child in range(2):
    if os.fork() == 0:
        shared, step = mmap.mmap(-1, 600 * 2**20), 16 * 2**20
        for at in range(0, 592 * 2**20, step):
            shared[at : at + step] = b"x" * step
            shared.madvise(mmap.MADV_DONTNEED, at, step)
        time.sleep(60)
time.sleep(20)
print("BREACH: 1.2 GB of shared memory")
""",
        ),
        _MEMORY,
        Then.EITHER,
        25.0,
    ),
    Row(
        "files without a name beside its own folder",
        "all together stay under the bound, or are ended",
        unbreached,
        (
            """
held = []
for _ in range(4):
    held.append(os.open("..", os.O_TMPFILE | os.O_RDWR))
    for _ in range(60): os.write(held[-1], bytes(2**20))
time.sleep(10)
print("BREACH: 240 MB in files without a name")
""",
        ),
        _MEMORY,
        Then.EITHER,
        15.0,
    ),
    Row(
        "memory maps by file descriptors",
        "an error, or the end of the kernel",
        unbreached,
        (
            """
maps = []
for _ in range(200):
    descriptor = os.memfd_create("hog")
    os.ftruncate(descriptor, 64 * 2**20)
    maps.append(descriptor)
    os.pwrite(descriptor, bytes(64 * 2**20), 0)
""",
        ),
        _MEMORY,
        Then.EITHER,
        6.0,
    ),
    Row(
        "memory in the buffers of sockets",
        "all together stay under the bound, or are ended",
        unbreached,
        (
            """
for child in range(8):
    if os.fork() == 0:
        pairs = []
        try:
            while True: pairs.append(socket.socketpair())
        except OSError:
            signal.pause()
signal.sigtimedwait([], 8)
print("BREACH: buffers for 1.7 GB")
""",
        ),
        _MEMORY,
        Then.STATE_LOST,
        10.0,
    ),
    Row(
        "shared memory of which one page stays mapped",
        "all together stay under the bound, or are ended",
        unbreached,
        (
            """
library = ctypes.CDLL(None, use_errno=True)
library.mmap.restype = ctypes.c_void_p
for _ in range(4):
    length = 400 * 2**20
    place = library.mmap(None, ctypes.c_size_t(length), 3, 0x21, -1, ctypes.c_long(0))
    if place == 2**64 - 1: raise OSError(ctypes.get_errno(), "mmap")
    ctypes.memset(place, 1, length)
    library.munmap(ctypes.c_void_p(place + 4096), ctypes.c_size_t(length - 4096))
time.sleep(15)
print("BREACH: 1.6 GB of shared memory, by four pages")
""",
        ),
        _MEMORY,
        Then.EITHER,
        25.0,
    ),
    Row(
        "shared memory of a device, of which one page stays mapped",
        "all together stay under the bound, or are ended",
        unbreached,
        (
            """
library = ctypes.CDLL(None, use_errno=True)
library.mmap.restype = ctypes.c_void_p
zeros, length = os.open("/dev/zero", os.O_RDWR), 400 * 2**20
for _ in range(4):
    place = library.mmap(None, ctypes.c_size_t(length), 3, 1, zeros, ctypes.c_long(0))
    ctypes.memset(place, 1, length)
    library.munmap(ctypes.c_void_p(place + 4096), ctypes.c_size_t(length - 4096))
time.sleep(15)
print("BREACH: 1.6 GB of shared memory, by four pages")
""",
        ),
        _MEMORY,
        Then.STATE_LOST,
        25.0,
    ),
    Row(
        "whole pages in pipes, and larger pipes",
        "refused with an error",
        refused,
        (
            """
import fcntl
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
page, (reader, writer), (other_reader, other) = bytearray(4096), os.pipe(), os.pipe()
vector = Vector(ctypes.addressof(ctypes.c_char.from_buffer(page)), 1)
file = os.open("file", os.O_CREAT | os.O_RDWR)
os.write(file, b"x"); os.lseek(file, 0, 0); os.write(writer, b"x")
attempt("vmsplice", lambda: system_call(278, writer, ctypes.byref(vector), 1, 0))
attempt("splice", lambda: os.splice(file, writer, 1))
attempt("tee", lambda: system_call(276, reader, other, 1, 0))
attempt("larger pipe", lambda: fcntl.fcntl(writer, 1031, 2**20))
""",
        ),
        _MEMORY,
    ),
    Row(
        "memory in the buffers of pipes",
        "all together stay under the bound, or are ended",
        unbreached,
        (
            """
for child in range(40):
    if os.fork() == 0:
        pipes = []
        try:
            while True: pipes.append(os.pipe())
        except OSError:
            signal.pause()
signal.sigtimedwait([], 15)
print("BREACH: buffers for 1.2 GB")
""",
        ),
        _MEMORY,
        Then.STATE_LOST,
        20.0,
    ),
    Row(
        "memory in the buffers of sockets of a program that cannot be read",
        "all together stay under the bound, or are ended",
        unbreached,
        (
            """
code = '''
import socket, time
pairs = []
try:
    while True: pairs.append(socket.socketpair())
except OSError:
    time.sleep(60)
'''
with open(sys.executable, "rb") as file: content = file.read()
program = os.open("../program", os.O_CREAT | os.O_WRONLY, 0o111)
os.write(program, content)
os.close(program)
environment = {**os.environ, "PYTHONHOME": sys.base_prefix}
hidden = [subprocess.Popen(["../program", "-S", "-c", code], env=environment) for _ in range(8)]
time.sleep(10)
if all(child.poll() is None for child in hidden): print("BREACH: buffers for 1.7 GB")
""",
        ),
        _MEMORY,
        Then.EITHER,
        15.0,
    ),
)
