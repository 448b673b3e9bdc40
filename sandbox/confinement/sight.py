"""How the warden sees what only a process' own user may see, without the right to see all.

Root has that right (CAP_SYS_PTRACE), root of a container has not. Standard library only, like
`sandbox.confinement.processes`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sandbox.confinement.processes import capabilities
from sandbox.inside.identity import set_capabilities

#: Of <linux/capability.h>.
_CAP_SYS_PTRACE = 19


@contextmanager
def eyes_of(user: int | None) -> Iterator[None]:
    """Be this user where that shows more, with all rights kept.

    Its processes can neither signal nor inspect this one: its real and saved user stay another.
    """
    if user is None or _sees_all():
        yield
        return
    group = os.getegid()
    # Kernels' groups have the numbers of their users.
    os.setegid(user)
    os.seteuid(user)
    try:
        # A process shows itself only to those who have the capabilities that it has.
        permitted = capabilities("CapPrm")
        set_capabilities(permitted, permitted, capabilities("CapInh"))
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


@cache
def _sees_all() -> bool:
    return bool(capabilities("CapEff") >> _CAP_SYS_PTRACE & 1)
