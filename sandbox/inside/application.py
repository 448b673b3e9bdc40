"""ipykernel's application as a pool's kernel uses it, and what can be made of it before a fork.

No configuration files, no redirected streams, no subshells, no heartbeat unless one is wanted.
"""

import logging
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from ipykernel import kernelapp
from ipykernel.iostream import IOPubThread
from ipykernel.kernelapp import IPKernelApp
from IPython.core.profiledir import ProfileDir
from traitlets import Type
from traitlets.config import Config

from sandbox.inside.awaiting import CellLoop
from sandbox.inside.capture import (
    CellCapture,
    capture_streams,
    give_streams,
    unbuffer_c_streams,
)
from sandbox.inside.kernel import CellCompiler, CellKernel, CellShell
from sandbox.inside.tracebacks import format_warning


class LocalOutputThread(IOPubThread):
    """The output thread without its TCP socket for forked children, whose output we capture."""

    def __init__(self, socket: object, pipe: bool = False, **options: object) -> None:  # noqa: ARG002
        super().__init__(socket, pipe=False, **options)  # type: ignore[no-untyped-call]


class _BareProfile(ProfileDir):
    """A profile of IPython without folders."""

    def _mkdir(self, *_: object, **__: object) -> bool:
        return False

    def check_startup_dir(self, *_: object) -> None:
        """Write no README there: IPython 7, which Kaggle has, writes it whatever `_mkdir` said."""


class CellApplication(IPKernelApp):
    """ipykernel's application without heartbeat, configuration files and stream redirection."""

    kernel_class: Any = Type(CellKernel)
    #: Set before `initialize`.
    capture: CellCapture
    heartbeat_wanted = False
    user_module: ModuleType | None = None
    #: Its shell was made ahead, whole.
    _has_whole_shell = False

    def parse_command_line(self, *_: object, **__: object) -> None:
        """A kernel has no arguments; the parser for a hundred options takes 10 ms to make."""

    def init_profile_dir(self) -> None:
        """Keep what `%store` is given; the folders and files of a user's profile are not made."""
        self.profile_dir: Any = _BareProfile(location=str(Path(self.ipython_dir) / "profile"))

    def init_config_files(self) -> None:
        """No file of the user or the system configures a kernel."""

    def load_config_file(self, *_: object, **__: object) -> None:
        """See init_config_files."""

    def write_connection_file(self, **_: object) -> None:
        """The pool has written it, with nothing left to be found out."""

    def init_heartbeat(self) -> None:
        """The pool watches the process itself; Jupyter's own tools listen for a heart."""
        if self.heartbeat_wanted:
            super().init_heartbeat()  # type: ignore[no-untyped-call]

    def init_crash_handler(self) -> None:
        """The launcher reports a failed start."""

    def init_io(self) -> None:
        """Send both streams to the capture."""
        # The original streams must not be collected: that would close descriptors 1 and 2.
        self._original_streams = (sys.stdout, sys.stderr)
        self.streams = capture_streams(self.capture)
        give_streams(self.capture)
        self.capture.late_threads.have_descendants()
        unbuffer_c_streams()
        # The base class sets an attribute on it; the shell has its own display hook.
        self.displayhook = SimpleNamespace()

    def init_path(self) -> None:
        """Let cells import the modules that they write; newer IPython does not, in a safe process.

        Such a module does not shadow one of the standard library.
        """
        if "" not in sys.path:
            sys.path.insert(_first_of_packages(), "")

    def init_kernel(self) -> None:
        """Make the kernel and give it the capture, the streams and the compiler."""
        shell = CellShell.instance() if CellShell.initialized() else None
        super().init_kernel()  # type: ignore[no-untyped-call]
        if shell is not None:
            self._adopt(shell)
        self.kernel.capture = self.capture
        self.kernel.streams = self.streams
        self.kernel.shell.cell_loop = CellLoop()
        # ipykernel passes its own compiler class to the shell, in old versions a fixed one.
        self.kernel.shell.compile = CellCompiler()

    def init_extensions(self) -> None:
        """Load those that IPython brings, once."""
        if not self._has_whole_shell:
            super().init_extensions()  # type: ignore[no-untyped-call]

    def init_code(self) -> None:
        """Take the names that there are for no cell's; no start-up file of the system is run."""
        if not self._has_whole_shell:
            shell: Any = self.shell
            shell.user_ns_hidden.update(shell.user_ns)
            # For `%reset`. Each name is touched: in a fork, 600 pages would be copied for it.
            shell._sys_modules_keys = set(sys.modules)  # noqa: SLF001 - IPython sets it here

    def make_shell(self, user_module: ModuleType) -> None:
        """Make the shell now, in the process that forks the kernels."""
        self.shell: Any = CellShell.instance(config=self.config, user_module=user_module)
        self.init_extensions()
        self.init_code()
        self._has_whole_shell = True

    def _adopt(self, shell: CellShell) -> None:
        """Bring a shell that was made elsewhere, perhaps in another process, to this kernel."""
        shell.parent = shell.kernel = self.kernel
        profile: Any = self.profile_dir
        shell.profile_dir = profile
        shell.ipython_dir = self.ipython_dir
        # Newer versions make it when it is needed. Whether it is empty may not be asked: it would
        # look into the other process's folder, where a user of its own is not allowed.
        store = vars(shell).get("db")
        if store is not None:
            shell.db = type(store)(Path(profile.location) / "db")
        shell.starting_dir = str(Path.cwd())
        shell.user_ns["_dh"][:] = [shell.starting_dir]


def make_ahead(user_module: ModuleType) -> None:
    """Make the application and the shell that this process's kernel will use, or that of a fork.

    They are much of its start. Cells start with the names of `user_module`.
    """
    CellApplication.instance(config=_configuration()).make_shell(user_module)
    _set_warnings()


def make_application(
    connection_file: str,
    capture: CellCapture,
    user_module: ModuleType | None = None,
    heartbeat: bool = False,
) -> CellApplication:
    """An initialised application: its sockets are bound, its loop is not yet running.

    Cells start with the names of `user_module`, if one is given. What `make_ahead` has made is
    used.
    """
    vars(kernelapp).update(IOPubThread=LocalOutputThread, ShellChannelThread=_no_thread)
    application = CellApplication.instance(config=_configuration())
    # Its level above is the handler's: four messages a cell would be made, and dropped there.
    application.log.setLevel(logging.CRITICAL)
    application.connection_file = connection_file
    application.capture = capture
    application.heartbeat_wanted = heartbeat
    application.user_module = user_module
    application.initialize([])  # type: ignore[no-untyped-call]
    _set_warnings()
    return application


def _set_warnings() -> None:
    warnings.formatwarning = _format_warning
    # IPython adds this to every SystemExit.
    warnings.filterwarnings("ignore", message="To exit: use")
    # Python 3.12 and later warn of every fork: the output thread is ours, not the cell's.
    warnings.filterwarnings("ignore", message=r".*multi-threaded, use of fork\(\)")


def _no_thread(*_: object, **__: object) -> None:
    """Have none that hands on each shell message and its reply; ipykernel 7 has, for subshells."""


def _first_of_packages() -> int:
    """Where the installed packages begin on the import path."""
    names = [Path(folder).name for folder in sys.path]
    found = (names.index(name) for name in ("site-packages", "dist-packages") if name in names)
    return min(found, default=0)


def _configuration() -> Config:
    config = Config()
    config.InteractiveShell.autoawait = True
    config.InteractiveShell.colors = "NoColor"
    config.InteractiveShell.banner1 = ""
    config.HistoryManager.enabled = False
    config.Application.log_level = logging.CRITICAL  # descriptor 2 is the cell's output
    config.IPKernelApp.exec_PYTHONSTARTUP = False
    return config


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,  # noqa: ARG001
) -> str:
    return format_warning(category, message, filename, lineno)
