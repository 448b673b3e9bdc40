"""Which mechanisms a machine seems to have; the probe sees whether they work."""

import os
import stat
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from sandbox.confinement.identities import Identities, reading_capability
from sandbox.inside.confinement import Mechanism
from sandbox.inside.landlock import version
from sandbox.inside.system import NUMBERS


class Candidates(NamedTuple):
    """The mechanisms that are worth a try, and why the others are not."""

    mechanisms: frozenset[Mechanism]
    notes: tuple[str, ...]
    #: To be kept by kernels with a user of their own (`ConfinementPlan.capability`).
    capability: int | None = None


def candidates(identities: Identities, python: str, directory: Path) -> Candidates:
    """What can be tried here.

    Args:
        identities: users for kernels.
        python: the kernels' interpreter.
        directory: the folder in which kernels get theirs.
    """
    if sys.platform != "linux" or not NUMBERS:
        return Candidates(frozenset(), ("confinement needs Linux on x86-64 or aarch64",))
    found = {Mechanism.SYSTEM_CALLS}
    notes = []
    capability = None
    if version():
        found.add(Mechanism.LANDLOCK)
    else:
        notes.append("Landlock: the kernel has none, or it is off (add landlock to lsm=)")
    if not identities.available:
        notes.append("own user, own mounts: they need root, with the capabilities of Docker's root")
    else:
        found.add(Mechanism.MOUNTS)
        closed = [path for path in _needed(python, directory) if not _open_to_others(path)]
        if closed and Mechanism.LANDLOCK in found:
            capability = reading_capability()
        if closed and capability is None:
            notes.append(
                f"own user: {closed[0]} is closed to other users; open it (chmod o+rx), or put"
                " interpreter and temporary folder elsewhere"
            )
        else:
            found.add(Mechanism.IDENTITY)
    return Candidates(frozenset(found), tuple(notes), capability)


def _needed(python: str, directory: Path) -> list[Path]:
    """What a kernel's own user must be able to reach."""
    package = Path(__file__).resolve().parent.parent
    paths = [Path(python), Path(python).resolve(), Path(os.__file__), package]
    if python == sys.executable:
        paths.append(Path(sysconfig.get_path("purelib")))
    return [path for path in (*paths, directory) if path.exists()]


def _open_to_others(path: Path) -> bool:
    """Whether a user who owns nothing here gets to a path, and can read what it leads to."""
    for folder in path.absolute().parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return False
    mode = path.stat().st_mode
    return bool(mode & (stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH))
