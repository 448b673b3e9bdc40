"""The rehearsal's routes, those of SGLang that `server.engine.sglang_http` uses."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from server.engine.rehearsal.faults import FaultKind, Schedule, later, parse_faults
from server.engine.rehearsal.http import Connection, Request
from server.engine.rehearsal.likely import Mood
from server.engine.rehearsal.player import Player
from server.engine.rehearsal.recordings import Recalled
from server.engine.rehearsal.scheduler import Clock, Scheduler, Stream

#: The protocol that is spoken is this version's.
SPOKEN_VERSION = "0.5.16"
#: As SGLang: this many tokens of the context are its own.
RESERVED_TOKENS = 6
#: Faults that one event of a stream is made of.
_EVENTS: dict[FaultKind, bytes] = {
    FaultKind.GARBAGE: b"{garbage",
    FaultKind.NOT_UTF8: b'{"text": "\xff\xfe"}',
}


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    """What the service says of itself, and what it asks of callers."""

    model: str
    api_key: str
    context_tokens: int
    vocabulary_size: int


class Service:
    """Answers requests."""

    def __init__(
        self,
        options: ServiceOptions,
        player: Player,
        scheduler: Scheduler,
        faults: Schedule,
        clock: Clock,
    ) -> None:
        self._options = options
        self._player = player
        self.scheduler = scheduler
        self._faults = faults
        self._clock = clock
        self._connections: dict[Stream, Connection] = {}
        self._routes: dict[str, Callable[[Request, Connection], None]] = {
            "/generate": self._generate,
            "/abort_request": self._abort,
            "/model_info": self._model_info,
            "/server_info": self._server_info,
            "/v1/loads": self._loads,
            "/rehearsal/faults": self._add_faults,
        }

    async def handle(self, request: Request, connection: Connection) -> None:
        """Answer one request."""
        key = self._options.api_key
        if key and request.authorization != f"Bearer {key}":
            connection.answer({"error": "Unauthorized"}, HTTPStatus.UNAUTHORIZED)
        elif self._faults.lasting(FaultKind.REFUSE, self._clock.now()):
            problem = {"message": "the schedule says to refuse", "code": 500}
            connection.answer({"error": problem}, HTTPStatus.INTERNAL_SERVER_ERROR)
        elif request.path not in self._routes:
            connection.answer({"error": {"message": "no such path"}}, HTTPStatus.NOT_FOUND)
        else:
            self._routes[request.path](request, connection)

    def _model_info(self, request: Request, connection: Connection) -> None:
        del request
        connection.answer({"model_path": self._options.model})

    def _server_info(self, request: Request, connection: Connection) -> None:
        del request
        context = self._options.context_tokens
        connection.answer(
            {
                "version": SPOKEN_VERSION,
                "context_length": context,
                "max_req_input_len": context - RESERVED_TOKENS,
                "enable_deterministic_inference": True,
                "rehearsal": {
                    "seconds": self._clock.now(),
                    "lost_seconds": self.scheduler.lost_s,
                    "steps": self.scheduler.steps,
                    "freed": [(each.at, each.given_at) for each in self.scheduler.freed],
                    "prefills": [*self.scheduler.prefills],
                },
            }
        )

    def _loads(self, request: Request, connection: Connection) -> None:
        del request
        scheduler = self.scheduler
        load = {"num_running_reqs": scheduler.running, "num_waiting_reqs": scheduler.waiting}
        connection.answer({"loads": [{"dp_rank": 0, **load}]})

    def _add_faults(self, request: Request, connection: Connection) -> None:
        """Take a schedule whose times count from now."""
        faults = parse_faults(str(request.body["faults"]))
        self._faults.add(later(faults, self._clock.now()))
        connection.answer({})

    def _abort(self, request: Request, connection: Connection) -> None:
        rid = "" if request.body.get("abort_all") else str(request.body["rid"])
        for stream in self.scheduler.abort(rid) if rid or request.body.get("abort_all") else ():
            streaming = self._connections.pop(stream, None)
            if streaming is not None:
                stream.finish = "abort"
                streaming.event(self._event(stream, 0, {}))
                streaming.end_stream()
        connection.answer({})

    def _generate(self, request: Request, connection: Connection) -> None:
        body = request.body
        prompt, sampling = list(body["input_ids"]), body["sampling_params"]
        most = int(sampling["max_new_tokens"])
        problem = self._problem(prompt, most)
        if problem:
            connection.answer({"error": {"message": problem}}, HTTPStatus.BAD_REQUEST)
        elif not body.get("stream"):
            connection.answer(self._scores(prompt, int(body.get("logprob_start_len", 0))))
        else:
            self._stream(body, prompt, sampling, connection)

    def _problem(self, prompt: list[int], most: int) -> str:
        context = self._options.context_tokens
        if not prompt or len(prompt) + most > context:
            return f"{len(prompt)} ids and {most} to come: must be from 1 to {context}"
        size = self._options.vocabulary_size
        return "" if min(prompt) >= 0 and max(prompt) < size else "an id is out of range"

    def _stream(
        self,
        body: dict[str, Any],
        prompt: list[int],
        sampling: dict[str, Any],
        connection: Connection,
    ) -> None:
        greedy = not sampling.get("temperature")
        reply = self._player.reply(prompt, 0 if greedy else int(sampling.get("sampling_seed") or 0))
        top = int(body.get("top_logprobs_num") or 0) if body.get("return_logprob") else 0
        stream = Stream(
            rid=str(body["rid"]),
            prompt=prompt,
            ids=reply.ids,
            most=int(sampling["max_new_tokens"]),
            emit=partial(self._emit, mood=reply.mood, top=top, connection=connection),
            blocked=lambda: connection.behind,
            end_ids=frozenset(sampling.get("stop_token_ids") or ()),
        )
        self._connections[stream] = connection
        connection.closed = partial(self._left, stream)
        connection.begin_stream()
        self.scheduler.add(stream)

    def _left(self, stream: Stream) -> None:
        """Free a stream whose reader went away, as SGLang does."""
        if self._connections.pop(stream, None) is not None:
            self.scheduler.abort(stream.rid)

    def _emit(
        self, stream: Stream, count: int, *, mood: Mood | Recalled, top: int, connection: Connection
    ) -> None:
        if self._spoilt(stream, connection):
            return
        meta: dict[str, Any] = {}
        if top:
            start = stream.sent - count
            begin, size = len(stream.prompt), self._options.vocabulary_size
            new = [(begin + n, stream.ids[n]) for n in range(start, stream.sent)]
            meta["output_token_logprobs"] = [
                (mood.logprob(place), token_id, None) for place, token_id in new
            ]
            meta["output_top_logprobs"] = [
                mood.likeliest(token_id, place, top, size) for place, token_id in new
            ]
        connection.event(self._event(stream, count, meta))
        if stream.finish:
            self._connections.pop(stream, None)
            connection.end_stream()

    def _spoilt(self, stream: Stream, connection: Connection) -> bool:
        """Send what a fault makes of an event, if one is due."""
        now = self._clock.now()
        if self._faults.due(FaultKind.CUT, now):
            connection.abort()
            return True
        for kind, data in _EVENTS.items():
            if self._faults.due(kind, now):
                connection.raw_event(data)
                return True
        if self._faults.due(FaultKind.OUT_OF_RANGE, now):
            event = self._event(stream, 1, {})
            connection.event(event | {"output_ids": [self._options.vocabulary_size + 7]})
            return True
        return False

    def _event(self, stream: Stream, count: int, more: dict[str, Any]) -> dict[str, Any]:
        finish = {"type": stream.finish} if stream.finish else None
        if stream.finish == "abort":
            finish = {"type": "abort", "message": "Abort by the user"}
        return {
            "text": "",
            "output_ids": stream.ids[stream.sent - count : stream.sent],
            "meta_info": {
                "id": stream.rid,
                "finish_reason": finish,
                "prompt_tokens": len(stream.prompt),
                "completion_tokens": stream.sent,
                "cached_tokens": stream.cached,
                **more,
            },
        }

    def _scores(self, ids: list[int], start: int) -> dict[str, Any]:
        mood = self._player.mood(ids)
        entries = [(mood.logprob(n), ids[n], None) for n in range(start, len(ids))]
        meta = {"finish_reason": {"type": "length"}, "input_token_logprobs": entries}
        return {"output_ids": [0], "meta_info": meta}
