"""Rows that reach for files, networks and sockets that are not theirs."""

from sandbox.confinement.tiers import Guarantee
from tests.hostile.row import Row, Then, ran, refused, unbreached

_FILES = frozenset({Guarantee.FILES})
_NETWORK = frozenset({Guarantee.NETWORK})
_SOCKETS = frozenset({Guarantee.SOCKETS})


def _refused(name: str, code: str, needs: frozenset[Guarantee]) -> Row:
    return Row(name, "refused with an error", refused, (code,), needs)


FILES = (
    _refused(
        "reads a file outside",
        """
attempt("read", lambda: open(targets["file"]).read())
attempt("list", lambda: os.listdir(targets["folder"]))
attempt("stat and map", lambda: os.open(targets["file"], os.O_PATH | os.O_NOFOLLOW) and
        open(f"/proc/self/fd/{os.open(targets['file'], os.O_PATH)}").read())
attempt("attributes", lambda: os.listxattr(targets["open_file"]))
attempt("an attribute", lambda: os.getxattr(targets["open_file"], targets["attribute"]))
""",
        _FILES,
    ),
    _refused(
        "writes and deletes outside",
        """
attempt("write", lambda: open(targets["file"], "a").write("x"))
attempt("create", lambda: open(targets["folder"] + "/new", "x"))
attempt("delete", lambda: os.unlink(targets["file"]))
attempt("rename", lambda: os.rename(targets["file"], targets["file"] + "2"))
attempt("truncate", lambda: os.truncate(targets["file"], 0))
attempt("chmod", lambda: os.chmod(targets["file"], 0o777))
attempt("touch", lambda: os.utime(targets["file"], (0, 0)))
attempt("link", lambda: os.link(targets["file"], "stolen"))
attempt("make a folder", lambda: os.mkdir(targets["folder"] + "/new"))
attempt("write what all may", lambda: open(targets["open_file"], "a").write("x"))
attempt("set an attribute", lambda: os.setxattr(targets["file"], "user.x", b"x"))
attempt("set one where all may", lambda: os.setxattr(targets["open_file"], "user.x", b"x"))
mark = targets["open_file"], targets["attribute"]
attempt("remove an attribute", lambda: os.removexattr(*mark))
attempt("remove one of a link", lambda: os.removexattr(*mark, follow_symlinks=False))
attempt("remove one, newer", lambda: system_call(
    466, -100, mark[0].encode(), 0, mark[1].encode()))
attempt("write to /tmp", lambda: open("/tmp/hostile-row-" + str(os.getpid()), "x"))
library = os.path.dirname(os.__file__)
attempt("write to the library", lambda: open(library + "/hostile-row.py", "x"))
""",
        _FILES,
    ),
    _refused(
        "changes flags of a file that it may read",
        """
import array, fcntl
file, flags = open(os.__file__), array.array("l", [0])
attempt("read them", lambda: fcntl.ioctl(file, 0x80086601, flags, True))
for name, number in {"set them": 0x40086602, "by 32 bits": 0x40046602}.items():
    attempt(name, lambda: fcntl.ioctl(file, number, flags))
attempt("project", lambda: fcntl.ioctl(file, 0x401C5820, bytes(28)))
""",
        _FILES,
    ),
    _refused(
        "reads secrets of the system",
        """
attempt("shadow", lambda: open("/etc/shadow").read())
attempt("root's home", lambda: os.listdir("/root"))
attempt("kernel log", lambda: open("/dev/kmsg").read(1))
attempt("memory", lambda: open("/dev/mem", "rb").read(1))
attempt("disks", lambda: [open("/dev/" + name, "rb") for name in ("sda", "vda", "nvme0n1")])
""",
        _FILES,
    ),
    _refused(
        "reads its sibling's folder",
        """
attempt("list", lambda: os.listdir(targets["sibling_folder"]))
attempt("read", lambda: open(targets["sibling_folder"] + "/secret").read())
attempt("key", lambda: open(targets["sibling_folder"] + "/../connection.json").read())
attempt("write", lambda: open(targets["sibling_folder"] + "/planted", "x"))
""",
        _FILES,
    ),
    _refused(
        "reads other kernels' message keys",
        """
import glob
def keys():
    found = glob.glob(os.path.dirname(os.path.dirname(os.getcwd())) + "/*/connection.json")
    own = os.path.dirname(os.getcwd())
    read = [open(path).read() for path in found if not path.startswith(own)]
    if not read:
        raise PermissionError("none seen")
    return read
attempt("keys", keys)
""",
        _FILES,
    ),
    _refused(
        "leaves by links",
        """
os.symlink(targets["file"], "link")
attempt("read through a link", lambda: open("link").read())
attempt("delete through a path", lambda: os.unlink("../" * 30 + targets["file"]))
os.symlink(targets["folder"], "folder")
attempt("create through a link", lambda: open("folder/new", "x"))
""",
        _FILES,
    ),
    Row(
        "leaves links for whoever cleans up",
        "what they name stays",
        ran,
        (
            """
import contextlib
os.symlink(targets["folder"], "folder")
with contextlib.suppress(OSError): os.symlink(targets["folder"], "../folder")
with contextlib.suppress(OSError): os.rename("folder", "../profile")
os.chmod(".", 0)
""",
        ),
        then=Then.EITHER,
    ),
    Row(
        "removes its own folder",
        "the kernel goes on, or is replaced",
        unbreached,
        (
            (
                "import shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\n"
                "shutil.rmtree(os.path.dirname(os.environ['HOME']), ignore_errors=True)"
            ),
            "1 + 1",
        ),
        then=Then.EITHER,
    ),
    Row(
        "fills the disk",
        "an error, or the end of the kernel, at the bound",
        unbreached,
        (
            """
for number in range(40):
    with open(f"big-{number}", "wb") as file:
        for _ in range(64): file.write(bytes(2**20))
print("BREACH: 2.5 GB written")
""",
        ),
        frozenset({Guarantee.MEMORY, Guarantee.FILES}),
        Then.EITHER,
        20.0,
    ),
    Row(
        "makes a hundred thousand files",
        "an error, a time-out, or gone with the lease",
        unbreached,
        ("for number in range(100_000): os.close(os.open(f'f{number}', os.O_CREAT))",),
        then=Then.EITHER,
        timeout_s=1.0,
    ),
    Row(
        "fills shared memory",
        "an error, or the end of the kernel, at the bound",
        unbreached,
        (
            """
for number in range(40):
    with open(f"/dev/shm/hostile-row-{number}", "wb") as file:
        for _ in range(64): file.write(bytes(2**20))
print("BREACH: 2.5 GB of shared memory")
""",
        ),
        frozenset({Guarantee.MEMORY, Guarantee.FILES}),
        Then.EITHER,
        20.0,
    ),
)

NETWORK = (
    _refused(
        "internet sockets",
        """
for family in (socket.AF_INET, socket.AF_INET6):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        attempt(f"{family!r} {kind!r}", lambda: socket.socket(family, kind))
canary = ("127.0.0.1", targets["port"])
attempt("connect to the canary", lambda: socket.create_connection(canary, 1))
""",
        _NETWORK,
    ),
    _refused(
        "raw, netlink and packet sockets",
        """
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("netlink", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
attempt("vsock", lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM))
attempt("bluetooth", lambda: socket.socket(31, socket.SOCK_RAW, 1))
attempt("kernel cryptography", lambda: socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET))
""",
        _NETWORK,
    ),
    _refused(
        "names and web",
        """
import urllib.request
attempt("name", lambda: socket.getaddrinfo("example.org", 80))
attempt("web", lambda: urllib.request.urlopen(f"http://127.0.0.1:{targets['port']}", timeout=1))
code = f"import socket; socket.create_connection(('127.0.0.1', {targets['port']}), 1)"
attempt("child", lambda: subprocess.run([sys.executable, "-c", code], check=True))
""",
        _NETWORK,
    ),
    _refused(
        "unix socket by its path",
        """
def connect(address, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as client: client.connect(address)
attempt("stream", lambda: connect(targets["socket"]))
datagrams = socket.SOCK_DGRAM
attempt("datagram", lambda: connect(targets["socket"] + "-datagrams", datagrams))
attempt("message", lambda: socket.socket(socket.AF_UNIX, datagrams).sendto(
        b"x", targets["socket"] + "-datagrams"))
attempt("sibling's shell", lambda: connect(targets["sibling_folder"] + "/../c-1"))
""",
        _SOCKETS,
    ),
    _refused(
        "unix socket by an abstract name",
        """
def connect():
    with socket.socket(socket.AF_UNIX) as client: client.connect(targets["abstract"])
attempt("abstract", connect)
""",
        _SOCKETS,
    ),
    _refused(
        "unix socket of its own, by a passed descriptor",
        """
def serve():
    server = socket.socket(socket.AF_UNIX)
    server.bind("\\0hostile-" + str(os.getpid()))
    server.listen()
attempt("listen", serve)
""",
        _SOCKETS,
    ),
    _refused(
        "connects by io_uring or by number",
        """
attempt("io_uring", lambda: system_call(425, 8, 0))
attempt("socket by number", lambda: system_call(41, 2, 1, 0))
""",
        _NETWORK,
    ),
)

ROWS = (*FILES, *NETWORK)
