"""Rows that attack by what they print, show or raise."""

from sandbox.types import CellResult, CellStatus
from tests.hostile.row import Row, Then, raised, shows, stopped, unbreached

#: The table's pools keep so many characters of an output (`tests.hostile.pools`), and a notice.
LONGEST_OUTPUT = 2_000 + 400


def _bounded(results: list[CellResult]) -> bool:
    """Each cell ended in its time, and what is kept of it says how much is missing."""
    last = results[-1]
    kept = len(last.output) <= LONGEST_OUTPUT and last.truncated and " cut ...]" in last.output
    return kept and last.status in {CellStatus.OK, CellStatus.ERROR} and unbreached(results)


def _flood(name: str, code: str) -> Row:
    return Row(name, "head and tail are kept, and the cut is told", _bounded, (code,))


FLOODS = (
    _flood("print of a gigabyte", "for _ in range(100): print('x' * 10**7)"),
    _flood("flood of prints", "for number in range(50_000): print(number)"),
    _flood("flood on descriptor 1", "for _ in range(2_000): os.write(1, b'x' * 10_000)"),
    _flood("flood of a child", "os.system('yes | head -c 30000000')"),
    _flood("flood on the binary stream", "sys.stdout.buffer.write(bytes(10**8))"),
    _flood(
        "flood on both streams",
        "for n in range(10_000): print(n, file=(sys.stdout, sys.stderr)[n % 2])",
    ),
    _flood("20,000 displays", "for number in range(20_000): display(number)"),
    _flood("repr of 50 MB", "class Long:\n    def __repr__(self): return 'x' * 50_000_000\nLong()"),
    _flood("list of ten million", "['x' * 100] * 10**7"),
    _flood("string without a line end", "'x' * 10**8"),
    _flood(
        "flood of warnings",
        "import warnings\nwarnings.simplefilter('always')\n"
        "for number in range(20_000): warnings.warn(str(number))",
    ),
    _flood(
        "progress bar of many steps",
        "for n in range(10**5): sys.stdout.write(f'\\r{n}')\nprint('\\n' + 'x' * 10**4)",
    ),
    Row(
        "endless print",
        "stopped at its time-out with the head of its output",
        lambda results: stopped(results) and len(results[-1].output) <= LONGEST_OUTPUT,
        ("while True: print('x' * 1000)",),
        timeout_s=0.5,
    ),
    Row(
        "endless flood on descriptor 1",
        "stopped; the file that holds it is bounded",
        unbreached,
        ("while True: os.write(1, b'x' * 10**6)",),
        then=Then.EITHER,
        timeout_s=0.5,
    ),
)

ERRORS = (
    Row(
        "message of a megabyte",
        "the error, short",
        lambda results: raised("ValueError")(results) and len(results[-1].output) <= LONGEST_OUTPUT,
        ("raise ValueError('x' * 10**6)",),
    ),
    Row(
        "message of a million lines",
        "the error, short",
        lambda results: raised("ValueError")(results) and len(results[-1].output) <= LONGEST_OUTPUT,
        ("raise ValueError('x\\n' * 10**6)",),
    ),
    Row(
        "traceback of a thousand frames",
        "the error, short",
        lambda results: (
            raised("RecursionError")(results) and len(results[-1].output.splitlines()) < 40
        ),
        ("def f(n): return g(n)\ndef g(n): return f(n + 1)\nf(0)",),
    ),
    Row(
        "chain of a thousand errors",
        "the last error, short",
        lambda results: raised("KeyError")(results) and len(results[-1].output.splitlines()) < 40,
        (
            """
error = None
for number in range(1000):
    link = KeyError(number)
    link.__cause__ = error
    error = link
raise error
""",
        ),
    ),
    Row(
        "circle of errors",
        "the error, short",
        raised("KeyError"),
        (
            (
                "first, second = KeyError(1), KeyError(2)\n"
                "first.__cause__, second.__cause__ = second, first\nraise first"
            ),
        ),
    ),
    Row(
        "error whose name is a megabyte",
        "an error with a bounded name",
        lambda results: (
            len(results[-1].error_name or "") in range(1, 200)
            and len(results[-1].output) <= LONGEST_OUTPUT
        ),
        ("raise type('X' * 10**6, (Exception,), {})('y')",),
    ),
    Row(
        "error whose methods raise",
        "the error",
        raised("Odd"),
        (
            """
class Odd(Exception):
    def __str__(self): raise SystemExit
    __repr__ = __str__
    def __getattribute__(self, name): raise MemoryError(name)
raise Odd
""",
        ),
        then=Then.EITHER,
    ),
    Row(
        "error with notes of a megabyte",
        "the error, short",
        lambda results: raised("KeyError")(results) and len(results[-1].output) <= LONGEST_OUTPUT,
        ("error = KeyError(1)\nfor _ in range(100): error.add_note('x' * 10**6)\nraise error",),
    ),
    Row(
        "error group of ten thousand",
        "the error, short",
        lambda results: (
            raised("ExceptionGroup")(results) and len(results[-1].output) <= LONGEST_OUTPUT
        ),
        ("raise ExceptionGroup('x' * 10**5, [ValueError(n) for n in range(10**4)])",),
    ),
    Row(
        "pickle bomb as an error",
        "the error; nothing of it runs outside",
        raised("Bomb"),
        (
            """
class Bomb(Exception):
    def __reduce__(self):
        return os.system, ("touch " + targets["folder"] + "/pickled",)
raise Bomb()
""",
        ),
    ),
)

TEXT = (
    Row(
        "lone surrogates",
        "shown as escapes",
        shows("\\udc80", "end"),
        ("print('\\udc80\\ud800 end')",),
    ),
    Row("lone surrogate as a result", "shown as an escape", shows("udc80"), ("'\\udc80'",)),
    Row(
        "terminal sequences",
        "left out",
        lambda results: results[-1].output == "red title\n",
        ("print('\\x1b[31mred\\x1b[0m \\x1b]0;owned\\x07title\\x1b[2J\\x1b[1;1H')",),
    ),
    Row(
        "strings for the terminal without an end",
        "the error after them is shown",
        lambda results: results[-1].output.endswith("ZeroDivisionError: division by zero\n"),
        ("for kind in ']PX^_': print('\x1b' + kind + 'x' * 900)\n1 / 0",),
    ),
    Row(
        "control characters",
        "left out",
        lambda results: results[-1].output == "ab\n",
        ("print('a' + ''.join(map(chr, (*range(9), *range(14, 32), *range(127, 160)))) + 'b')",),
    ),
    Row(
        "binary",
        "shown, bounded",
        lambda results: results[-1].status is CellStatus.OK and "\x00" not in results[-1].output,
        ("sys.stdout.buffer.write(os.urandom(1000)); print()",),
    ),
    Row(
        "text that imitates a notice",
        "told apart by the status",
        shows("[stopped after 6 s"),
        ("print('[stopped after 6 s; variables are kept]')",),
    ),
)

LATE = (
    Row(
        "timer that sets itself anew",
        "its output does not come in another cell",
        lambda results: results[-1].output == "next\n",
        (
            """
turns = threading.Semaphore(0)
def tick():
    print("late")
    turns.release()
    timer = threading.Timer(0.02, tick)
    timer.daemon = True
    timer.start()
tick()
""",
            "for _ in range(4): turns.acquire()\nprint('next')",
        ),
    ),
    Row(
        "thread that prints after its cell",
        "not shown in the next cell",
        lambda results: results[-1].output == "clean\n",
        (
            """
go, done = threading.Event(), threading.Event()
def speak():
    go.wait()
    for _ in range(1000): print("late")
    done.set()
threading.Thread(target=speak, daemon=True).start()
""",
            "go.set(); _ = done.wait(); print('clean')",
        ),
    ),
    Row(
        "child that prints after its cell",
        "not shown in the next cell",
        lambda results: results[-1].output == "clean\n",
        (
            "child = subprocess.Popen('read line; echo late', shell=True, stdin=subprocess.PIPE)",
            "child.communicate(b'go\\n'); print('clean')",
        ),
    ),
    Row(
        "asks for input",
        "an error at once",
        lambda results: results[-1].error_name is not None and results[-1].seconds < 3,
        ("input('name? ')",),
    ),
    Row("reads standard input", "nothing to read", shows("''"), ("sys.stdin.read()",)),
)

ROWS = (*FLOODS, *ERRORS, *TEXT, *LATE)
