"""Cells for the soak: ordinary ones whose output is known, and hostile ones of every kind."""

import random
from dataclasses import dataclass

#: A hostile cell that would run on is stopped after this time.
_HOSTILE_LIMIT_S = 0.2
_ORDINARY_LIMIT_S = 30.0

#: Each leaves, breaks or uses up something that must not outlive its lease.
HOSTILE = (
    "while True: pass",
    "import itertools\nsum(itertools.count())",
    "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "import os\nos._exit(1)",
    "import os\nos.abort()",
    "import ctypes\nctypes.string_at(0)",
    "import sys\nsys.exit(1)",
    "print('x' * 10**6)",
    "import os\nfor _ in range(50): os.write(1, b'x' * 10**5)",
    "raise ValueError('x' * 10**6)",
    "hog = bytearray(10**12)",
    "import subprocess\nchildren = [subprocess.Popen(['sleep', '600']) for _ in range(5)]",
    (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        "    if os.fork() == 0: time.sleep(600)\n    os._exit(0)"
    ),
    (
        "import threading, time\nfor _ in range(20):\n"
        "    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    ),
    "import os\npipes = [os.pipe() for _ in range(200)]",
    "import socket\npairs = [socket.socketpair() for _ in range(50)]",
    "for n in range(300): open(f'file-{n}', 'w').write('x' * 1000)",
    "import os\nos.mkdir('closed'); open('closed/file', 'w').close(); os.chmod('closed', 0)",
    "import os\nos.symlink('/etc', 'etc'); os.mkfifo('fifo')",
    "open('/dev/shm/soak', 'wb').write(bytes(10**6))",
    "import os\nos.closerange(0, 1000)",
    "import builtins\nbuiltins.len = None\nimport math\nmath.sqrt = None",
    (
        "kernel = get_ipython().kernel\nfor _ in range(100):\n"
        "    kernel.iopub_socket.send_multipart([b'x' * 1000])"
    ),
    "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)",
    "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()",
)


@dataclass(frozen=True, slots=True)
class SoakCell:
    """A cell; `expected` is None for a hostile one, whose output does not matter."""

    code: str
    expected: str | None
    limit_s: float


def ordinary(chance: random.Random) -> SoakCell:
    """A calculation, in one of a few shapes, with its output."""
    n, m = chance.randrange(10, 500), chance.randrange(2, 50)
    code, value = chance.choice(
        (
            (f"sum(range({n}))", sum(range(n))),
            (f"x = {n}\nprint(x ** {m})\n", n**m),
            (f"[k for k in range({n}) if k % {m} == 0][-1]", (n - 1) // m * m),
            (f"def f(k):\n    return k * {m}\nf({n})", n * m),
        )
    )
    return SoakCell(code, f"{value}\n", _ORDINARY_LIMIT_S)


def hostile(chance: random.Random) -> SoakCell:
    """One of those above."""
    return SoakCell(chance.choice(HOSTILE), None, _HOSTILE_LIMIT_S)
