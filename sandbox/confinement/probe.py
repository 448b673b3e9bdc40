"""Finds out what confinement guarantees on this machine, by attacking it.

Versions and settings say what should hold. What does hold is seen on throw-away processes that are
confined like kernels and try to get out (`sandbox.confinement.attack`).
"""

import importlib.util
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import anyio

from sandbox.confinement.canaries import ATTRIBUTE, Canaries, canaries
from sandbox.confinement.confinement import Bounds, Confinement
from sandbox.confinement.identities import Identities
from sandbox.confinement.mechanisms import Candidates, candidates
from sandbox.confinement.stage import Attack, attacking
from sandbox.confinement.tiers import Guarantee, parse_requirement
from sandbox.confinement.warden import open_warden
from sandbox.directory import KernelDirectory, PoolDirectory
from sandbox.errors import ConfinementError
from sandbox.inside.confinement import ConfinementPlan, Mechanism
from sandbox.settings import PoolSettings

_logger = logging.getLogger(__name__)

_MIB = 1024 * 1024

#: Bounds of the attackers: a bare interpreter maps 30 MiB.
_MEMORY = 96 * _MIB
_PROCESSES = 24

#: 160 MiB together, no process near the bound.
_BLOCKS, _BLOCK = 4, 40 * _MIB

#: Of sockets, which hold 102 MiB.
_PAIRS = 250

#: What the attacker's role puts to the test.
_ATTACKED = (Guarantee.NETWORK, Guarantee.SOCKETS, Guarantee.FILES, Guarantee.SIGNALS)


#: What this process has seen of its machine, by all that it depends on: seen once, it is known.
_seen: dict[tuple[Candidates, str, Path], "Findings"] = {}


class Findings(NamedTuple):
    """What a machine's mechanisms guarantee."""

    mechanisms: frozenset[Mechanism]
    failures: Mapping[Guarantee, str]
    notes: tuple[str, ...]


@dataclass
class Verdict:
    """The first attack that got through, by guarantee; or the mechanism that cannot be used."""

    failures: dict[Guarantee, str] = field(default_factory=dict)
    unusable: Mechanism | None = None
    reason: str = ""
    #: An attack did not come to its end.
    uncertain: bool = False

    def fail(self, guarantee: Guarantee, success: str) -> None:
        """Note a successful attack."""
        self.failures.setdefault(guarantee, success)

    async def take(self, attack: Attack, judged: tuple[Guarantee, ...]) -> bool:
        """Hear an attack to its end; False where it did not come so far."""
        done = await attack.hear("done")
        for name, successes in attack.successes.items():
            self.fail(Guarantee(name), successes[0])
        if "failed" in attack.said:
            self.unusable, self.reason = Mechanism(attack.said["failed"]), attack.said["reason"]
        if not done:
            self.uncertain = True
            for guarantee in judged:
                self.fail(guarantee, f"not seen: {attack.said.get('error', 'the attack ended')}")
        return done


@asynccontextmanager
async def open_confinement(settings: PoolSettings) -> AsyncIterator[Confinement]:
    """Confinement for a pool with these settings; open as long as its kernels live.

    Raises:
        SettingsError: `PoolSettings.require` names no tier and no guarantee.
        ConfinementError: what it requires does not hold here.
    """
    required = parse_requirement(settings.require)
    identities = Identities()
    directory = settings.directory or Path(tempfile.gettempdir())
    found = candidates(identities, settings.python, directory)
    confinement = Confinement(
        Bounds.of(settings), settings.python, found.mechanisms, identities, found.capability
    )
    async with AsyncExitStack() as stack:
        if sys.platform == "linux":
            own_uid = identities.draw() if Mechanism.IDENTITY in found.mechanisms else None
            warden = open_warden(own_uid, confinement.note_breach)
            confinement.use(await stack.enter_async_context(warden))
            await _examine(confinement, found, settings)
        else:
            failures = dict.fromkeys(
                Guarantee, "not tried: this system has nothing to confine with"
            )
            confinement.note(frozenset(), failures, found.notes)
        if missing := required - confinement.guarantees:
            raise ConfinementError(_shortfall(missing, confinement))
        _logger.info("kernels are confined: tier %s", confinement.tier)
        yield confinement


async def _examine(confinement: Confinement, found: Candidates, settings: PoolSettings) -> None:
    """Attack until no mechanism fails, unless that has been done, and note what holds."""
    key = (found, settings.python, settings.directory or Path(tempfile.gettempdir()))
    if (findings := _seen.get(key)) is not None:
        confinement.note(*findings)
        return
    needed = _needed_files(settings)
    notes = list(found.notes)
    while True:
        verdict = Verdict()
        async with PoolDirectory(settings.directory) as directory:
            try:
                await _Trial(confinement, directory, needed, verdict).run()
            except (OSError, ExceptionGroup) as error:
                cause = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
                raise ConfinementError(
                    f"confinement: must be tried before kernels start, and cannot be ({cause});"
                    " see whether processes, files and memory can be had"
                ) from error
        if verdict.unusable not in confinement.mechanisms:
            break
        confinement.mechanisms -= {verdict.unusable}
        notes.append(verdict.reason)
        _logger.info("confinement without %s", verdict.reason)
    findings = Findings(confinement.mechanisms, verdict.failures, tuple(notes))
    confinement.note(*findings)
    if not verdict.uncertain:
        _seen[key] = findings


class _Trial:
    """All attacks, once, on one set of mechanisms."""

    def __init__(
        self,
        confinement: Confinement,
        pool: PoolDirectory,
        needed: list[str],
        verdict: Verdict,
    ) -> None:
        self._confinement = confinement
        self._pool = pool
        self._needed = needed
        self._verdict = verdict

    async def run(self) -> None:
        """Set up what is attacked, a sibling too, and attack it."""
        with canaries(self._pool.kernel_directory()) as targets:
            async with self._planned() as (plan, directory):
                addresses = [str(directory.path / "socket"), f"@{targets.name}-sibling"]
                secret = str(directory.home / "secret")
                options = {"own_sockets": addresses, "secret": secret, "needed": self._needed}
                async with attacking("victim", plan, **options) as sibling:
                    if not await self._verdict.take(sibling, tuple(Guarantee)):
                        return
                    targets.sockets.extend(addresses)
                    targets.secrets.append(secret)
                    targets.processes.append(sibling.said["ready"])
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self._attack_others, targets)
                        blocks = {"count": _BLOCKS, "memory": _BLOCK}
                        more = "more memory in several processes"
                        tasks.start_soon(self._attack_memory, "memory", blocks, more)
                        pairs = {"count": _PAIRS}
                        more = "more memory in buffers of sockets"
                        tasks.start_soon(self._attack_memory, "buffers", pairs, more)
                    # Alone: it takes all processes that the others may have with the same user.
                    await self._attack_processes()

    async def _attack_others(self, targets: Canaries) -> None:
        options = {
            "foreign_sockets": targets.sockets,
            "foreign_processes": targets.processes,
            "secrets": targets.secrets,
            "forbidden": targets.forbidden,
            "victim": str(targets.victim),
            "marked": str(targets.marked),
            "attribute": ATTRIBUTE,
            "readable": self._needed,
            "memory": 2 * _MEMORY,
        }
        async with (
            self._planned() as (plan, _),
            attacking("attacker", plan, **options) as attack,
        ):
            await self._verdict.take(attack, _ATTACKED)
        if harm := targets.harmed():
            self._verdict.fail(Guarantee.FILES, harm)

    async def _attack_memory(self, role: str, options: Mapping[str, int], success: str) -> None:
        async with (
            self._planned() as (plan, _),
            attacking(role, plan, **options) as attack,
        ):
            started = await self._verdict.take(attack, (Guarantee.MEMORY,))
            ended = await attack.ended()
            if started and not (await self._confinement.release(plan) and ended):
                self._verdict.fail(Guarantee.MEMORY, success)

    async def _attack_processes(self) -> None:
        # Where what processes share is kept secret, each counts whole: not for that shall it end.
        async with (
            self._planned(_PROCESSES * _MEMORY) as (plan, _),
            attacking("processes", plan, count=1 + (plan.processes or 0)) as attack,
        ):
            started = await self._verdict.take(attack, (Guarantee.PROCESSES,))
            await self._confinement.release(plan)
            if started and _is_alive(attack.said["daemon"]):
                self._verdict.fail(Guarantee.PROCESSES, "a process that outlives its kernel")

    @asynccontextmanager
    async def _planned(
        self, memory: int = _MEMORY
    ) -> AsyncIterator[tuple[ConfinementPlan, KernelDirectory]]:
        directory = self._pool.kernel_directory()
        bounds = replace(self._confinement.bounds, memory_bytes=memory, processes=_PROCESSES)
        plan = self._confinement.plan(directory, bounds)
        try:
            yield plan, directory
        finally:
            await self._confinement.release(plan)


def _is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "State:\tZ" not in status


def _needed_files(settings: PoolSettings) -> list[str]:
    """Files that every kernel reads: of the standard library, of ours, of an installed package."""
    files = [os.__file__, __file__]
    specification = importlib.util.find_spec("ipykernel")
    if settings.python == sys.executable and specification and specification.origin:
        files.append(specification.origin)
    return files


def _shortfall(missing: frozenset[Guarantee], confinement: Confinement) -> str:
    seen = "; ".join(
        f"{guarantee}: {confinement.failures.get(guarantee, 'not on this system')}"
        for guarantee in Guarantee
        if guarantee in missing
    )
    notes = "".join(f"; {note}" for note in confinement.notes)
    return (
        f"confinement of kernels (tier {confinement.tier}): must guarantee what"
        f" sandbox.require names, and does not ({seen}{notes}); set QUORUM_SANDBOX_REQUIRE lower,"
        " or see docs/reference/confinement.md"
    )
