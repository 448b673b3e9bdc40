"""What confinement guarantees, and the names of sets of guarantees."""

from collections.abc import Set as AbstractSet
from enum import StrEnum

from sandbox.errors import SettingsError


class Guarantee(StrEnum):
    """What a kernel cannot do, whatever its cells try."""

    NETWORK = "network"
    """It reaches no network: no internet, local, netlink or raw socket can be made."""
    SOCKETS = "sockets"
    """It connects to no unix socket: not of other kernels, of the server, or of the system."""
    FILES = "files"
    """It reads no secret file and no other kernel's, and writes in its own folder alone."""
    SIGNALS = "signals"
    """It signals, inspects and slows down no process but its own."""
    MEMORY = "memory"
    """It is ended when one of its processes, or all together, take more memory than they may."""
    PROCESSES = "processes"
    """The number of its processes is bounded, and all of them end with it."""


class Tier(StrEnum):
    """A set of guarantees; each tier includes those above it in this list."""

    NONE = "none"
    """Separate processes with limits."""
    BASIC = "basic"
    """Network and sockets: nothing gets out."""
    STRICT = "strict"
    """Files and signals too: nothing outside is read or changed."""
    FULL = "full"
    """Memory and processes too: nothing is used up or left behind."""


GUARANTEES: dict[Tier, frozenset[Guarantee]] = {
    Tier.NONE: frozenset(),
    Tier.BASIC: frozenset({Guarantee.NETWORK, Guarantee.SOCKETS}),
    Tier.STRICT: frozenset(
        {Guarantee.NETWORK, Guarantee.SOCKETS, Guarantee.FILES, Guarantee.SIGNALS}
    ),
    Tier.FULL: frozenset(Guarantee),
}


def tier_of(guarantees: AbstractSet[Guarantee]) -> Tier:
    """The highest tier whose guarantees all hold."""
    return [tier for tier in Tier if GUARANTEES[tier] <= guarantees][-1]


def parse_requirement(text: str) -> frozenset[Guarantee]:
    """The guarantees that a setting asks for: a tier, or guarantees separated by commas.

    Raises:
        SettingsError: a word is neither.
    """
    words = [word.strip().lower() for word in text.split(",")]
    if len(words) == 1 and words[0] in set(Tier):
        return GUARANTEES[Tier(words[0])]
    wrong = [word for word in words if word not in set(Guarantee)]
    if wrong:
        raise SettingsError(
            f"sandbox requirement {text!r}: must be a tier ({', '.join(Tier)}) or guarantees"
            f" ({', '.join(Guarantee)}) separated by commas; set QUORUM_SANDBOX_REQUIRE"
        )
    return frozenset(map(Guarantee, words))
