"""Rows that turn on their own kernel: its process, its streams, its modules, its messages."""

from sandbox.types import CellResult
from tests.hostile.row import Row, Then, died, raised, ran, shows, stopped, unbreached

_NEXT = "6 * 7"

_LIMIT_S = 10.0
#: Of cells after which a kernel may say nothing any more.
_SHORT_S = 2.0


def _next_is_right(results: list[CellResult]) -> bool:
    """The cell after the attack shows its result."""
    return "42\n" in results[-1].output and unbreached(results)


def _still_works(name: str, code: str, then: Then = Then.EITHER) -> Row:
    outcome = "the next cell shows its result"
    limit_s = _LIMIT_S if then is Then.STATE_KEPT else _SHORT_S
    return Row(name, outcome, _next_is_right, (code, _NEXT), then=then, timeout_s=limit_s)


def _suffers(name: str, code: str) -> Row:
    outcome = "its own lease may suffer, until its kernel is replaced"
    return Row(name, outcome, unbreached, (code, _NEXT), then=Then.EITHER)


def _ends(name: str, code: str) -> Row:
    return Row(
        name, "the end of the kernel, which is replaced", died, (code,), then=Then.STATE_LOST
    )


ENDINGS = (
    _ends("os._exit", "os._exit(0)"),
    _ends("abort", "os.abort()"),
    _ends("segmentation fault", "ctypes.string_at(0)"),
    _ends(
        "illegal instruction",
        "import mmap\ncode = mmap.mmap(-1, 4096, prot=7); code.write(b'\\x0f\\x0b')\n"
        "ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()",
    ),
    _ends("kills itself", "os.kill(os.getpid(), signal.SIGKILL)"),
    _ends("kills its group", "os.kill(0, signal.SIGKILL)"),
    _ends(
        "alarm",
        "signal.signal(signal.SIGALRM, signal.SIG_DFL)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01)\ntime.sleep(5)",
    ),
    _ends(
        "watchdog of faulthandler",
        "import faulthandler\n"
        "faulthandler.dump_traceback_later(0.05, exit=True, file=open('log', 'w'))\n"
        "time.sleep(5)",
    ),
    _ends("becomes another program", "os.execv('/bin/true', ['true'])"),
    _ends(
        "limits its own time", "resource.setrlimit(resource.RLIMIT_CPU, (1, 1))\nwhile True: pass"
    ),
    Row("sys.exit", "an error; the kernel goes on", raised("SystemExit"), ("sys.exit(3)",)),
    Row("exit", "an error; the kernel goes on", raised("SystemExit"), ("exit()",)),
    Row(
        "exit in a thread",
        "the kernel goes on",
        ran,
        ("thread = threading.Thread(target=sys.exit); thread.start(); thread.join()",),
    ),
    Row(
        "raises KeyboardInterrupt",
        "an error; the kernel goes on",
        raised("KeyboardInterrupt"),
        ("raise KeyboardInterrupt",),
    ),
    Row(
        "raises GeneratorExit",
        "an error; the kernel goes on",
        raised("GeneratorExit"),
        ("raise GeneratorExit",),
    ),
    Row(
        "cancels its task",
        "an error; the kernel goes on",
        raised("CancelledError"),
        ("import asyncio\nraise asyncio.CancelledError",),
        then=Then.EITHER,
    ),
    Row(
        "stops the loop",
        "the kernel goes on, or is replaced",
        lambda results: _next_is_right(results) or died(results),
        ("import asyncio\nasyncio.get_event_loop().stop()", _NEXT),
        then=Then.EITHER,
    ),
    Row(
        "closes the loop",
        "the kernel goes on, or is replaced",
        _next_is_right,
        ("import asyncio\nasyncio.get_event_loop().call_soon(lambda: 1 / 0)", _NEXT),
        then=Then.EITHER,
    ),
    Row(
        "awaits at the top level",
        "stopped at its time-out",
        stopped,
        ("import asyncio\nawait asyncio.sleep(60)",),
        timeout_s=0.5,
        then=Then.STATE_KEPT,
    ),
)

STREAMS = (
    _still_works("closes every descriptor", "os.closerange(0, 1000)"),
    _still_works(
        "closes the standard descriptors", "for n in range(3): os.close(n)", Then.STATE_KEPT
    ),
    _still_works(
        "replaces every descriptor",
        "null = os.open('/dev/null', os.O_RDWR)\n"
        "for name in os.listdir('/proc/self/fd'):\n    os.dup2(null, int(name))",
    ),
    _still_works(
        "replaces its streams", "sys.stdout = sys.stderr = open(os.devnull, 'w')", Then.STATE_KEPT
    ),
    _still_works(
        "streams that raise",
        "class Odd:\n    def __getattr__(self, name): raise MemoryError\n"
        "sys.stdout = sys.stderr = sys.__stdout__ = Odd()",
        Then.STATE_KEPT,
    ),
    _still_works("streams of no type", "sys.stdout = sys.stderr = None", Then.STATE_KEPT),
    _still_works(
        "deletes its streams", "del sys.stdout, sys.stderr, sys.__stdout__", Then.STATE_KEPT
    ),
    _still_works(
        "detaches its streams", "sys.stdout.detach(); sys.stderr.detach()", Then.STATE_KEPT
    ),
    _still_works(
        "changes its streams' encoding",
        "sys.stdout.reconfigure(encoding='utf-16', write_through=False)",
        Then.STATE_KEPT,
    ),
    _still_works("closes its streams", "sys.stdout.close(); sys.stderr.close()", Then.STATE_KEPT),
    _still_works("replaces the display hook", "sys.displayhook = lambda value: print('owned')"),
    _still_works("deletes the display hook", "del sys.displayhook"),
    _still_works(
        "replaces the exception hook",
        "sys.excepthook = None\n"
        "get_ipython().set_custom_exc((Exception,), lambda *a, **k: 1 / 0)\n1 / 0",
    ),
    _still_works(
        "puts a pipe in the place of its output", "os.unlink('../output'); os.mkfifo('../output')"
    ),
    _still_works(
        "traces every line",
        "def trace(*event): return trace\nsys.settrace(trace); sys.setprofile(trace)",
    ),
    _still_works(
        "dawdles in every traced line",
        "def trace(*event): time.sleep(0.005); return trace\nsys.settrace(trace)",
        Then.STATE_KEPT,
    ),
    _still_works(
        "raises in every traced line",
        "def trace(*event): raise MemoryError\nsys.settrace(trace); threading.settrace(trace)",
    ),
)

MODULES = (
    _still_works("empties its namespace", "globals().clear()"),
    _still_works(
        "poisons builtins",
        "import builtins\n"
        "builtins.len = builtins.isinstance = builtins.print = lambda *a, **k: 1 / 0",
    ),
    _still_works(
        "deletes builtins",
        "import builtins\nfor name in list(vars(builtins)): delattr(builtins, name)",
    ),
    _still_works(
        "poisons mathematics", "import math\nmath.sqrt = math.gcd = lambda *a: 666", Then.STATE_KEPT
    ),
    _still_works(
        "forgets all modules", "sys.modules.clear(); sys.path.clear(); sys.meta_path.clear()"
    ),
    _still_works(
        "turns warnings into errors",
        "import warnings\nwarnings.simplefilter('error')",
        Then.STATE_KEPT,
    ),
    _suffers("no recursion", "sys.setrecursionlimit(50)"),
    _still_works(
        "no collection of garbage", "import gc\ngc.disable(); gc.set_threshold(0)", Then.STATE_KEPT
    ),
    _suffers(
        "patches its shell",
        "shell = get_ipython()\nshell.run_cell = shell.kernel.do_execute = lambda *a, **k: 1 / 0",
    ),
    _still_works(
        "registers callbacks",
        "shell = get_ipython()\n"
        "for name in ('pre_execute', 'post_execute', 'pre_run_cell', 'post_run_cell'):\n"
        "    shell.events.register(name, lambda *a: os.system('echo owned') and 1 / 0)",
    ),
    _suffers(
        "rewrites what follows",
        "shell = get_ipython()\nshell.input_transformers_cleanup.append(lambda lines: ['1 / 0'])",
    ),
    _still_works(
        "rewrites every tree",
        "import ast\nclass Odd(ast.NodeTransformer):\n    def visit(self, node): raise KeyError\n"
        "get_ipython().ast_transformers.append(Odd())",
    ),
    _still_works("an old limit of digits", "sys.set_int_max_str_digits(640)", Then.STATE_KEPT),
    _still_works(
        "an environment of its own",
        "os.environ.clear(); os.environ['PYTHONSTARTUP'] = 'x'; os.chdir('/')",
        Then.STATE_KEPT,
    ),
    _suffers("no descriptors left", "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))"),
    _still_works("little memory left", "resource.setrlimit(resource.RLIMIT_AS, (2**28, 2**28))"),
    _still_works(
        "magics that change the session", "%reset -f\n%xmode Verbose\n%autocall 2", Then.EITHER
    ),
)

MESSAGES = (
    _still_works(
        "forged idle",
        """
kernel = get_ipython().kernel
for parent in (kernel.get_parent(), {}, {"header": {"msg_id": "x"}}):
    kernel.session.send(kernel.iopub_socket, "status", {"execution_state": "idle"}, parent=parent)
time.sleep(0.05)
print("not yet idle")
""",
    ),
    _still_works(
        "forged reply",
        """
kernel = get_ipython().kernel
parent = kernel.get_parent()
for status in ("ok", "error", None, [], 7):
    kernel.session.send(kernel.iopub_socket, "execute_reply", {"status": status}, parent=parent)
""",
    ),
    _still_works(
        "huge frame",
        """
kernel = get_ipython().kernel
kernel.iopub_socket.send_multipart([b"x" * (40 * 2**20)])
""",
    ),
    _still_works(
        "malformed frames",
        """
kernel = get_ipython().kernel
mark = b"<IDS|MSG>"
for frames in ([b""], [mark], [mark, b"key", b"{", b"}", b"[]", b"\\xff"], [os.urandom(99)] * 9):
    kernel.iopub_socket.send_multipart(frames)
many = {"name": "stdout", "text": "x", "cut": "many"}
for content in ({}, {"text": 7}, many, {"name": 3, "text": ["x"]}):
    kernel.session.send(kernel.iopub_socket, "stream", content, parent=kernel.get_parent())
""",
    ),
    _still_works(
        "message of many parts",
        "get_ipython().kernel.iopub_socket.send_multipart([b''] * 300_000)",
    ),
    _still_works(
        "flood of long messages",
        """
kernel = get_ipython().kernel
content = {"name": "stdout", "text": "x" * 5_000_000}
for _ in range(40):
    kernel.session.send(kernel.iopub_socket, "stream", content, parent=kernel.get_parent())
""",
    ),
    _still_works(
        "writes nonsense into its sockets",
        """
for name in os.listdir("/proc/self/fd"):
    if int(name) > 2:
        try:
            os.set_blocking(int(name), False)
            os.write(int(name), os.urandom(1000))
        except OSError:
            pass
""",
    ),
    _still_works(
        "flood of messages",
        """
kernel = get_ipython().kernel
for _ in range(3000):
    content = {"name": "stdout", "text": "x" * 9999}
    kernel.session.send(kernel.iopub_socket, "stream", content, parent=kernel.get_parent())
""",
    ),
    _still_works(
        "deeply nested message",
        """
kernel = get_ipython().kernel
deep = "[" * 100_000 + "]" * 100_000
kernel.iopub_socket.send_multipart([b"<IDS|MSG>", b"", deep.encode(), b"{}", b"{}", b"{}"])
""",
    ),
    _still_works(
        "closes its channels",
        """
kernel = get_ipython().kernel
kernel.iopub_socket.close()
""",
    ),
    _still_works(
        "ends the messaging context", "import zmq\nzmq.Context.instance().destroy(linger=0)"
    ),
    _still_works("shuts itself down", "get_ipython().kernel.do_shutdown(restart=False)"),
    _still_works(
        "forges a shutdown request",
        "get_ipython().kernel.shell_streams and get_ipython().ask_exit()",
    ),
    Row(
        "unpickles what it should not",
        "it hurts only itself",
        shows("0"),
        (
            (
                "import pickle\n"
                "class Bomb:\n    def __reduce__(self): return os.system, ('true',)\n"
                "print(pickle.loads(pickle.dumps(Bomb())))"
            ),
        ),
    ),
)

ROWS = (*ENDINGS, *STREAMS, *MODULES, *MESSAGES)
