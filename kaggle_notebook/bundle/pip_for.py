"""Runs pip as on another Python: `python pip_for.py 3.12 PLATFORM COMMAND …`.

`pip download --python-version` chooses wheels for another Python, but reads the markers of their
requirements (`; python_version >= "3.12"`) as this one's: what only the target needs would not be
fetched. Here the markers are the target's.
"""

import runpy
import sys
from importlib import import_module
from typing import Any

#: pip's own copy of `packaging`; a pip without it reads markers as this Python's.
MARKERS = "pip._vendor.packaging.markers"


def environment_of(python: str, platform: str) -> dict[str, str]:
    """Return what markers are read against on CPython of a version, such as 3.12, on Linux."""
    machine = "x86_64" if platform.endswith("x86_64") else platform.rpartition("_")[2]
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": machine,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def holds(marker: str, python: str, platform: str) -> bool:
    """Tell whether a marker holds on a target; True where it cannot be read."""
    try:
        markers: Any = import_module(MARKERS)
        return bool(markers.Marker(marker).evaluate(environment_of(python, platform)))
    except Exception:  # noqa: BLE001 - pip's own copy may be another one, or the marker none
        return True


def main() -> None:
    """Run pip with the rest of the command line."""
    python, platform = sys.argv[1:3]
    try:
        markers: Any = import_module(MARKERS)
        own = markers.default_environment
        markers.default_environment = lambda: {**own(), **environment_of(python, platform)}
    except (ImportError, AttributeError):
        sys.stderr.write("pip has no markers of its own: those of this Python hold\n")
    sys.argv[:3] = ["pip"]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
