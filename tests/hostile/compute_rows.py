"""Rows that take time, memory, processes or threads."""

from sandbox.confinement.tiers import Guarantee
from tests.hostile.row import Row, Then, died, raised, ran, shows, stopped, unbreached

#: Long enough to begin, short enough for a table.
_SHORT_S = 0.3

_BOUNDED = frozenset({Guarantee.MEMORY, Guarantee.PROCESSES})


def _endless(name: str, code: str, then: Then = Then.EITHER) -> Row:
    return Row(name, "stopped at its time-out", stopped, (code,), then=then, timeout_s=_SHORT_S)


ENDLESS = (
    _endless("endless Python loop", "while True: pass", Then.STATE_KEPT),
    _endless("endless sleep", "time.sleep(10**6)", Then.STATE_KEPT),
    _endless("endless sum in C", "import itertools\nsum(itertools.count())", Then.STATE_LOST),
    _endless("endless max in C", "max(range(10**12))", Then.STATE_LOST),
    _endless(
        "endless exhaustion in C",
        "import collections, itertools\ncollections.deque(itertools.repeat(0), maxlen=0)",
        Then.STATE_LOST,
    ),
    _endless("power of integers", "10 ** (10 ** 9) % 7"),
    _endless("power by gmpy2", "import gmpy2\n[gmpy2.mpz(3) ** (4 * 10**8) for _ in range(99)]"),
    _endless(
        "eigenvalues by numpy", "import numpy\nnumpy.linalg.eig(numpy.random.rand(2500, 2500))"
    ),
    _endless("big sort", "import numpy\nnumpy.sort(numpy.random.rand(5 * 10**7)).tolist()"),
    _endless("regular expression", "import re\nre.match('(a*)*b', 'a' * 60)"),
    _endless(
        "swallows every exception",
        "while True:\n    try: time.sleep(60)\n    except BaseException: pass",
        Then.STATE_LOST,
    ),
    _endless(
        "ignores SIGINT",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        Then.STATE_LOST,
    ),
    _endless(
        "blocks all signals",
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True: pass",
        Then.EITHER,
    ),
    _endless(
        "loop in a repr", "class Odd:\n    def __repr__(self):\n        while True: pass\nOdd()"
    ),
    _endless(
        "loop in a finaliser",
        "class Odd:\n    def __del__(self):\n        while True: pass\nodd = Odd(); del odd",
    ),
    _endless(
        "loop while the error is shown",
        "class Odd(Exception):\n    def __str__(self):\n        while True: pass\nraise Odd",
    ),
    _endless("stops itself", "os.kill(os.getpid(), signal.SIGSTOP)", Then.STATE_LOST),
    _endless("waits for a child that waits", "subprocess.run(['sleep', '60'])"),
    _endless(
        "joins a thread that waits",
        "waiting = threading.Thread(target=time.sleep, args=(60,))\n"
        "waiting.start(); waiting.join()",
    ),
)

MEMORY = (
    Row(
        "memory bomb at once",
        "a MemoryError; variables are kept",
        raised("MemoryError"),
        ("hog = bytearray(10**12)",),
    ),
    Row(
        "memory bomb by pieces",
        "a MemoryError, or the end of the kernel",
        unbreached,
        ("hog = []\nwhile True: hog.append(bytearray(32 * 2**20))",),
        then=Then.EITHER,
    ),
    Row(
        "memory bomb of many processes",
        "all together stay under the bound, or are ended",
        unbreached,
        (
            """
for child in range(6):
    if os.fork() == 0:
        hog = bytearray(600 * 2**20)
        hog[::4096] = b"x" * len(hog[::4096])
        signal.pause()
signal.pause()
""",
        ),
        frozenset({Guarantee.MEMORY}),
        Then.EITHER,
        6.0,
    ),
    Row(
        "memory bomb in a thread",
        "a MemoryError, or the end of the kernel",
        unbreached,
        ("hog = threading.Thread(target=lambda: bytearray(10**12)); hog.start(); hog.join()",),
        then=Then.EITHER,
    ),
    Row(
        "memory of processes whose first thread has ended",
        "all together stay under the bound, or are ended",
        unbreached,
        (
            """
def hog():
    hog = bytearray(600 * 2**20)
    hog[::4096] = b"x" * len(hog[::4096])
    signal.pause() if threading.current_thread() is threading.main_thread() else time.sleep(60)
for child in range(3):
    if os.fork() == 0:
        threading.Thread(target=hog, daemon=True).start()
        system_call(60)
time.sleep(15)
print("BREACH: 1.8 GB in processes without a first thread")
""",
        ),
        frozenset({Guarantee.MEMORY}),
        Then.STATE_LOST,
        20.0,
    ),
    Row(
        "endless integers",
        "a MemoryError, a time-out, or the end of the kernel",
        unbreached,
        ("n = 2\nwhile True: n *= n",),
        then=Then.EITHER,
        timeout_s=_SHORT_S,
    ),
    Row(
        "deep recursion with a raised limit",
        "an error, a time-out, or the end of the kernel",
        unbreached,
        ("sys.setrecursionlimit(10**9)\nf = lambda n: f(n + 1)\nf(0)",),
        then=Then.EITHER,
        timeout_s=2.0,
    ),
    Row(
        "deep recursion in C",
        "an error, or the end of the kernel",
        unbreached,
        ("deep = []\nfor _ in range(10**6): deep = [deep]\nrepr(deep)",),
        then=Then.EITHER,
    ),
    Row(
        "source nested too deep",
        "an error, or the end of the kernel",
        lambda results: results[-1].error_name is not None or died(results),
        ("eval('(' * 10**5 + ')' * 10**5)",),
        then=Then.EITHER,
    ),
)

PROCESSES = (
    Row(
        "fork bomb",
        "bounded in number, and all of it ended",
        unbreached,
        (
            """
while True:
    try: os.fork()
    except OSError: pass
""",
        ),
        _BOUNDED,
        Then.EITHER,
        1.0,
    ),
    Row(
        "forks that leave their cell",
        "they end there; the cell goes on",
        shows("parent"),
        ("child = os.fork()\nif child: os.waitpid(child, 0); print('parent')",),
    ),
    Row(
        "thread bomb",
        "bounded in number; the cell gets an error",
        unbreached,
        (
            """
waiting = threading.Event()
for number in range(5000):
    threading.Thread(target=waiting.wait, daemon=True).start()
print("BREACH: 5000 threads")
""",
        ),
        _BOUNDED,
        Then.EITHER,
        8.0,
    ),
    Row(
        "background child",
        "it ends with the lease",
        shows("CHILD "),
        ("child = subprocess.Popen(['sleep', '600'])\nprint('CHILD', child.pid)",),
    ),
    Row(
        "double-forked daemon",
        "it ends with the lease",
        shows("CHILD "),
        (
            """
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        os.write(writer, str(os.getpid()).encode())
        time.sleep(600)
    os._exit(0)
print("CHILD", os.read(reader, 16).decode())
""",
        ),
    ),
    Row(
        "daemon that ignores signals",
        "it ends with the lease",
        shows("CHILD "),
        (
            """
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    for number in set(signal.valid_signals()) - {9, 19, 32, 33}:
        signal.signal(number, signal.SIG_IGN)
    os.write(writer, str(os.getpid()).encode())
    time.sleep(600)
print("CHILD", os.read(reader, 16).decode())
""",
        ),
    ),
    Row(
        "pool of worker processes",
        "it works, or is refused with an error",
        lambda results: results[-1].output == "[0, 1, 4]\n" or results[-1].error_name is not None,
        (
            """
import multiprocessing
def square(n): return n * n
with multiprocessing.get_context("fork").Pool(2) as workers:
    print(workers.map(square, range(3)))
""",
        ),
    ),
    Row(
        "lock of multiprocessing",
        "it works, or is refused with an error",
        lambda results: results[-1].output == "True\n" or results[-1].error_name is not None,
        ("import multiprocessing\nprint(multiprocessing.Lock().acquire())",),
    ),
    Row(
        "children at the end of the interpreter",
        "they end with the lease",
        ran,
        (
            """
import atexit
atexit.register(lambda: subprocess.Popen(['sleep', '600']))
atexit.register(time.sleep, 600)
""",
        ),
    ),
)

ROWS = (*ENDLESS, *MEMORY, *PROCESSES)
