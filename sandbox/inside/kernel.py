"""The Jupyter kernel that runs cells: ipykernel's, with output, errors and interrupts of our own.

It speaks the plain protocol over ipc. A cell's whole output (prints, displays, last expression,
error) goes out as `stream` messages when the cell ends: at most two, whose second carries in `cut`
how many characters are missing before it.
"""

import builtins
import codeop
import getpass
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from signal import SIGKILL
from subprocess import CalledProcessError
from types import FrameType, ModuleType, TracebackType
from typing import Any, NoReturn

from ipykernel import ipkernel
from ipykernel.ipkernel import IPythonKernel
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.compilerop import CachingCompiler
from IPython.core.error import UsageError
from traitlets import Type, default

from sandbox.inside.alarms import CellAlarm
from sandbox.inside.awaiting import CellLoop, may_await, wants_running_loop
from sandbox.inside.capture import CellCapture, Streams, give_streams
from sandbox.inside.children import CellChildren
from sandbox.inside.commands import run_command, run_in_shell
from sandbox.inside.displays import PlainDisplayHook, PlainDisplayPublisher, show_texts
from sandbox.inside.handlers import CellHandlers
from sandbox.inside.pools import is_waiting_worker
from sandbox.inside.reserve import MemoryReserve
from sandbox.inside.threads import CellThreads
from sandbox.inside.tracebacks import (
    CELL_NAME,
    error_message,
    error_name,
    format_error,
)

#: What Python's tokenizer calls its input.
_TOKENIZER = "<tokenize>"

_NO_INPUT = "input() is not available here: write the value into the code"
#: Of a kernel whose cell has broken its machinery (EX_SOFTWARE of <sysexits.h>).
_BROKEN_EXIT_CODE = 70

#: Of a cell's forked workers, when the cell is interrupted; shells say the same of a program.
_INTERRUPTED_EXIT_CODE = 130

_NO_BACKGROUND = "a command in the background ends with no cell: leave the & out"
_NO_EXIT = "the session goes on; there is no need to exit"


#: What sys.exc_info() returns while an error is handled.
ErrorTriple = tuple[type[BaseException], BaseException, TracebackType | None]


class CellCompiler(CachingCompiler):
    """Names code objects by the cell's number, so that tracebacks can tell cells from libraries."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # For a prompt that may go on; here "'(' was never closed" says more than "incomplete".
        self.flags &= ~getattr(codeop, "PyCF_ALLOW_INCOMPLETE_INPUT", 0)

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:  # noqa: ARG002
        """See the base class."""
        return CELL_NAME.format(number=number)


class CellShell(ZMQInteractiveShell):
    """IPython's shell with short tracebacks and plain displays."""

    displayhook_class: Any = Type(PlainDisplayHook)
    display_pub_class: Any = Type(PlainDisplayPublisher)

    #: Set by the kernel, which is made after a template's shell.
    cell_loop: CellLoop

    #: The last error shown in the running cell, also one that IPython does not put in its result.
    shown_error: BaseException | None = None
    #: Of the running cell, whose execution count IPython raises before all is told.
    cell_number = 0
    #: How the last error of all cells was shown. Not the error: it holds its frames' variables.
    shown_text = "No traceback available to show.\n"

    def init_hooks(self) -> None:
        """Have what `name?` and `%pdoc` say written out; the base class sends it to a pager."""
        super().init_hooks()  # type: ignore[no-untyped-call]
        self.set_hook("show_in_pager", _show_page, 0)  # type: ignore[no-untyped-call]

    def init_environment(self) -> None:
        """Leave the environment alone: the base class asks children for colours."""

    def init_display_formatter(self) -> None:
        """Compute plain text only: LaTeX and images cost time and are never read."""
        super().init_display_formatter()  # type: ignore[no-untyped-call]
        formatter: Any = self.display_formatter
        formatter.active_types = ["text/plain"]
        show_texts(formatter.formatters["text/plain"])

    @default("loop_runner")
    def _default_loop_runner(self) -> Callable[[Coroutine[Any, Any, object]], object]:
        return self.cell_loop.run

    def should_run_async(self, raw_cell: str, **transformed: Any) -> bool:  # noqa: ANN401 - IPython's
        """Whether a cell awaits, or needs a running loop without awaiting."""
        if not may_await(raw_cell):
            return False
        return wants_running_loop(raw_cell) or bool(
            super().should_run_async(raw_cell, **transformed)
        )

    def showtraceback(self, exc_tuple: ErrorTriple | None = None, *_: object, **__: object) -> None:
        """Write the error in its short form."""
        error = exc_tuple[1] if exc_tuple else sys.exc_info()[1]
        kernel: Any = self.kernel
        if kernel.is_fork and issubclass(type(error), SystemExit):
            return  # a worker that a cell has forked has done its work
        kernel.reserve.give()
        kernel.capture.begin_line()
        if error is None:  # `%tb`
            kernel.streams.errors.write(self.shown_text)
            return
        self.shown_error = error
        self._name_cell_of(error)
        _tell_end_of_script(error)
        # Of a magic used wrongly the place says nothing. A model's error may lie about its class.
        is_misuse = issubclass(type(error), UsageError)
        text = (
            f"{error_name(error)}: {error_message(error)}\n" if is_misuse else format_error(error)
        )
        kernel.streams.errors.write(text)
        self.shown_text = text

    def _name_cell_of(self, error: BaseException) -> None:
        """Tell the cell of an error in its indentation, which comes before it has a name."""
        if type(error) is IndentationError and error.filename == _TOKENIZER:
            error.filename = CELL_NAME.format(number=self.cell_number)

    def showsyntaxerror(self, *_: object, **__: object) -> None:
        """Write the error in its short form."""
        self.showtraceback()

    def showindentationerror(self) -> None:
        """Write the error in its short form."""
        self.showtraceback()

    def _format_exception_for_storage(self, *_: object, **__: object) -> dict[str, object]:
        """Nothing reads the history: IPython's formatting takes a second for a deep recursion."""
        return {}

    def system_piped(self, cmd: str) -> None:
        """Run a command of a cell; the base class would want a terminal for it."""
        if cmd.rstrip().endswith("&"):
            raise OSError(_NO_BACKGROUND)
        self.user_ns["_exit_code"] = run_command(self.var_expand(cmd, depth=1))  # type: ignore[no-untyped-call]

    system = system_piped

    def let_script_thread_go(self) -> None:
        """Have the next `%%bash` begin a thread of its own: what an old one prints is not shown."""
        with suppress(Exception):
            magics = self.magics_manager.registry["ScriptMagics"]
            loop = getattr(magics, "event_loop", None)
            if loop is not None:
                magics.event_loop = None
                loop.call_soon_threadsafe(loop.stop)

    def ask_exit(self) -> NoReturn:
        """exit() and quit() end the cell, not the kernel."""
        raise SystemExit(_NO_EXIT)


class CellKernel(IPythonKernel):
    """Runs one cell at a time in the main thread, with its output captured."""

    shell_class: Any = Type(CellShell)
    shell: Any
    #: Set by the application before any message comes.
    capture: CellCapture
    #: Not those that cells have, with which they can do anything.
    streams: Streams
    _in_cell = False
    #: The running cell was, also one that has caught it.
    _is_interrupted = False
    #: This one's id, which forks of it do not have.
    _process = 0
    #: ipykernel sleeps half a millisecond so that output comes before the reply; the pool waits for
    #: both.
    _execute_sleep: Any = 0.0

    def __init__(self, **options: object) -> None:
        with _no_module_list():
            super().__init__(**options)  # type: ignore[no-untyped-call]
        self._alarm = CellAlarm()
        self._handlers = CellHandlers()
        self._threads = CellThreads()
        self._children = CellChildren()
        self.reserve = MemoryReserve()

    @default("user_module")
    def _default_user_module(self) -> ModuleType | None:
        application: Any = self.parent
        return getattr(application, "user_module", None)

    @property
    def is_fork(self) -> bool:
        """Whether this is a process that a cell has forked."""
        return os.getpid() != self._process

    def pre_handler_hook(self) -> None:
        """Signals are handled here; the base class would raise KeyboardInterrupt between cells."""

    def post_handler_hook(self) -> None:
        """See pre_handler_hook."""

    async def execute_request(self, *message: object) -> None:
        """Run a cell and send its reply, or end.

        A cell can break what the machinery needs, built-in names too. Then no reply would ever
        come, while the end of the process is noticed at once.
        """
        answered = False
        try:
            await super().execute_request(*message)  # type: ignore[no-untyped-call]
            answered = True
        finally:
            if not answered:
                os._exit(_BROKEN_EXIT_CODE)

    async def do_execute(
        self,
        code: str,
        silent: bool,
        store_history: bool = True,
        user_expressions: object = None,  # noqa: ARG002
        allow_stdin: bool = False,  # noqa: ARG002
        *,
        cell_meta: object = None,  # noqa: ARG002
        cell_id: object = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Run a cell and answer with its status; see the module for its output."""
        self._process = os.getpid()
        builtins.input = getpass.getpass = _refuse_input
        os.system = run_in_shell
        self.capture.begin()
        self._threads.begin()
        self._children.begin()
        self._is_interrupted = False
        try:
            error = self._run(code, silent, store_history)
            if self._is_interrupted and not self.is_fork:
                self._end_what_it_has_begun()
        finally:
            if self.is_fork:
                # A fork in the cell came out of it: it must not touch the parent's sockets.
                os._exit(0)
            self._publish_output()
        self.shell.payload_manager.clear_payload()
        reply = {
            "status": "ok" if error is None else "error",
            "execution_count": self.shell.execution_count - 1,
            "payload": [],
            "user_expressions": {},
        }
        if error is not None:
            reply |= {"ename": error_name(error), "evalue": error_message(error), "traceback": []}
        return reply

    def _run(self, code: str, silent: bool, store_history: bool) -> BaseException | None:
        shell = self.shell
        shell.shown_error, shell.cell_number = None, shell.execution_count
        try:
            # Interrupts come between its two ends, never in the middle of one.
            with shell.cell_loop.in_place_of_the_kernels(code):
                try:
                    self._in_cell = True
                    self.reserve.keep()
                    with self._handlers.in_cell(self._interrupt_cell), self._alarm.in_cell():
                        result = shell.run_cell(code, store_history=store_history, silent=silent)
                finally:
                    self._in_cell = False
                    self.reserve.give()
                    _stop_tracing()
                    shell.let_script_thread_go()
        except KeyboardInterrupt as interrupt:
            # It came while IPython was busy before or after the cell's own code.
            self._in_cell = False
            return interrupt
        error = result.error_before_exec or result.error_in_exec or shell.shown_error
        return error if isinstance(error, BaseException) else None

    def _interrupt_cell(self, _: int, frame: FrameType | None) -> None:
        if self.is_fork:
            if is_waiting_worker(frame):
                return
            # A worker that a cell has forked. A traceback of each would bury what the cell printed,
            # and a pool's worker would take the error for its task's, and go on with the next.
            os._exit(_INTERRUPTED_EXIT_CODE)
        if self._in_cell:
            self._is_interrupted = True
            raise KeyboardInterrupt

    def _end_what_it_has_begun(self) -> None:
        for begun in (self._threads, self._children):
            # They look at much that a cell may have put something else in the place of.
            with suppress(Exception):
                begun.end_those_of_the_cell()

    def _publish_output(self) -> None:
        for name in ("stdout", "stderr"):
            # A cell's own stream can be closed, or anything at all, or deleted.
            with suppress(Exception):
                getattr(sys, name).flush()
        give_streams(self.capture)
        captured = self.capture.end()
        for text, cut in ((captured.head, 0), (captured.tail, captured.cut)):
            if text or cut:
                content = {"name": "stdout", "text": text, "cut": cut}
                self.send_response(self.iopub_socket, "stream", content)  # type: ignore[no-untyped-call]


def _show_page(shell: CellShell, data: dict[str, str] | str, *_: object, **__: object) -> None:
    """Print what was meant for a pager, as one of IPython's hooks."""
    text = data if isinstance(data, str) else data.get("text/plain", "")
    kernel: Any = shell.kernel
    kernel.streams.output.write(f"{text.rstrip()}\n")


def _tell_end_of_script(error: BaseException) -> None:
    """Complete the error of an interrupted `%%bash`: without an exit code it cannot be printed.

    IPython does not wait for the end of what heeds no interrupt; this kernel kills it.
    """
    if type(error) is not CalledProcessError:
        return
    code: int | None = error.returncode  # typed as a number always
    if code is None:
        error.returncode = -SIGKILL


def _stop_tracing() -> None:
    """Have nothing of a cell's called on every line of later ones and of the kernel's own code."""
    for stop in (sys.settrace, sys.setprofile):
        # A profiler hears of this very call, and may raise: then Python drops it.
        with suppress(BaseException):
            stop(None)


class _WithoutModules:
    """Python's sys, for ipykernel, with no module loaded."""

    modules: dict[str, ModuleType] = {}  # noqa: RUF012 - copied, never changed

    def __getattr__(self, name: str) -> object:
        return getattr(sys, name)


@contextmanager
def _no_module_list() -> Iterator[None]:
    """Keep ipykernel from listing the file of every module for a debugger that is not there.

    That touches each of 2,000 modules, so a forked kernel copies their pages: a third of all that
    it copies at its start.
    """
    names = vars(ipkernel)
    original = names["sys"]
    names["sys"] = _WithoutModules()
    try:
        yield
    finally:
        names["sys"] = original


def _refuse_input(*_: object, **__: object) -> NoReturn:
    raise RuntimeError(_NO_INPUT)
