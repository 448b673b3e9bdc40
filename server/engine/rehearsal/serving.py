"""What the rehearsal's process does: it builds the service, loads as long as the machine would."""

import asyncio
import os
import sys
from pathlib import Path

import orjson

from server.dialect.base import DialectOptions
from server.dialect.catalogue import open_dialect
from server.engine.rehearsal.child import ChildConfig
from server.engine.rehearsal.faults import FaultKind, Schedule, parse_faults
from server.engine.rehearsal.http import Connection
from server.engine.rehearsal.machine import read_machine
from server.engine.rehearsal.player import Player
from server.engine.rehearsal.problems import read_answers
from server.engine.rehearsal.scheduler import Clock, Scheduler
from server.engine.rehearsal.service import Service, ServiceOptions
from server.heap import settle
from server.vocabulary import Vocabulary

#: Exit status of a death that the schedule asked for.
DIED = 70


async def serve(config: ChildConfig) -> None:
    """Serve for ever.

    Raises:
        QuorumServerError: something is configured wrongly.
    """
    clock = Clock(config.begun, config.speed)
    began = clock.now()
    faults = Schedule(parse_faults(config.faults), config.life, began)
    service = _service(config, clock, faults)
    await _load(config, clock, faults, began)
    settle()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service.handle), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.buffer.write(orjson.dumps({"url": f"http://127.0.0.1:{port}"}) + b"\n")
    sys.stdout.buffer.flush()
    async with server:
        await service.scheduler.run()


def _service(config: ChildConfig, clock: Clock, faults: Schedule) -> Service:
    """Build what serves requests; raises the errors of whatever is configured wrongly."""
    vocabulary = Vocabulary.load(Path(config.model_path))
    dialect = open_dialect(config.dialect, vocabulary, DialectOptions(think=config.think))
    machine = read_machine(config.machine).grained(config.grain)
    known = {} if config.problems == "none" else read_answers(Path(config.problems).expanduser())
    traces = None if config.traces == "none" else Path(config.traces).expanduser()
    player = Player(
        vocabulary, dialect, machine.habits, seed=config.seed, known=known, traces=traces
    )
    scheduler = Scheduler(machine, clock, faults, die, together=config.together)
    options = ServiceOptions(
        model=Path(config.model_path).name,
        api_key=config.api_key,
        context_tokens=config.context_tokens,
        vocabulary_size=vocabulary.size,
    )
    return Service(options, player, scheduler, faults, clock)


async def _load(config: ChildConfig, clock: Clock, faults: Schedule, began: float) -> None:
    """Take as long as the machine's load does, unless this start fails."""
    if faults.load(FaultKind.LOAD_DIE):
        die("load")
    if faults.load(FaultKind.LOAD_NEVER):
        await asyncio.Event().wait()
    slow = faults.load(FaultKind.LOAD_SLOW)
    load_s = read_machine(config.machine).load_s + (slow.seconds if slow else 0)
    await asyncio.sleep(max(load_s - (clock.now() - began), 0) / clock.speed)


def die(where: str) -> None:
    """End as a crash would."""
    os.write(sys.stderr.fileno(), f"the rehearsal died, as scheduled: {where}\n".encode())
    os._exit(DIED)
