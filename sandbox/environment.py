"""The environment variables of a kernel: a short list, and nothing of the pool's secrets."""

import os
from pathlib import Path

from sandbox.directory import KernelDirectory
from sandbox.settings import PoolSettings

#: The pool's own variables that a kernel gets to see. Everything else may be a secret.
_PASSED_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TZ")

#: See its `sitecustomize`.
_PROGRAMS = Path(__file__).resolve().parent / "inside" / "programs"

_FIXED_VARIABLES = {
    # Numerical libraries start a thread a core at import; the attempts are the parallelism.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # As in any Jupyter kernel, which has it: figures are told, and closed with their cell.
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    # The order of a set of strings is the same in every run of a solve.
    "PYTHONHASHSEED": "0",
    # Each arena of glibc's malloc reserves 64 MiB of the address space that is limited.
    "MALLOC_ARENA_MAX": "2",
    # A user that a kernel has to itself has no name; `getpass` asks here first.
    "LOGNAME": "quorum",
    # There is no network: pip says at once that it finds nothing, instead of trying for 10 s.
    "PIP_NO_INDEX": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_NO_INPUT": "1",
}


def kernel_environment(settings: PoolSettings, directory: KernelDirectory) -> dict[str, str]:
    """All variables of a kernel's process."""
    passed = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
    own = {
        "HOME": str(directory.home),
        "TMPDIR": str(directory.home),
        "IPYTHONDIR": str(directory.profile),
    }
    # `!python` and `!pip` of a cell are those of its kernel, whatever the pool's caller has first.
    folders = [str(Path(settings.python).parent), passed.get("PATH", os.defpath)]
    passed["PATH"] = os.pathsep.join(folders)
    # First, so that no other module of its name takes its place; it lets that run too.
    imported = [str(_PROGRAMS), settings.environment.get("PYTHONPATH", "")]
    own["PYTHONPATH"] = os.pathsep.join(filter(None, imported))
    return {**passed, **_FIXED_VARIABLES, **settings.environment, **own}
