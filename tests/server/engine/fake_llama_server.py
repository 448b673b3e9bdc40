"""Plays llama-server's protocol over real HTTP, faults included; a process like the real child.

The first id of a prompt chooses what happens: its place in `FAULTS`. Needs nothing but the standard
library, so that it starts quickly.
"""

import asyncio
import json
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable

Fault = Callable[[StreamWriter], Awaitable[None]]
FAULTS: dict[str, Fault] = {}

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#: Over the bound of `server.engine.sse`.
TOO_LONG = 17 * 1024 * 1024


def fault(play: Fault) -> Fault:
    """Add a fault by the name of its function."""
    FAULTS[play.__name__] = play
    return play


def token_event(token_id: object, **changes: object) -> bytes:
    event = {"content": "a", "tokens": [token_id], "stop": False, "tokens_predicted": 1}
    return b"data: " + json.dumps({**event, **changes}).encode() + b"\n\n"


def last_event(**changes: object) -> bytes:
    end = {"tokens": [], "content": "", "stop": True, "stop_type": "limit"}
    return token_event(0, **{**end, **changes})


def error_event(code: int) -> bytes:
    error = {"code": code, "message": "it says why", "type": "some_error"}
    return b"data: " + json.dumps({"error": error}).encode() + b"\n\n"


async def stream(writer: StreamWriter, *parts: bytes) -> None:
    writer.write(STREAM_HEAD)
    for part in parts:
        writer.write(part)
        await writer.drain()


async def answer(writer: StreamWriter, status: str, body: bytes, *headers: bytes) -> None:
    length = f"Content-Length: {len(body)}".encode()
    head = [f"HTTP/1.1 {status}".encode(), length, b"Connection: close", *headers, b"", b""]
    writer.write(b"\r\n".join(head) + body)
    await writer.drain()


def json_error(code: int) -> bytes:
    return json.dumps({"error": {"code": code, "message": "it says why"}}).encode()


@fault
async def works(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), last_event())


@fault
async def status_500(writer: StreamWriter) -> None:
    await answer(writer, "500 Internal Server Error", json_error(500))


@fault
async def status_503(writer: StreamWriter) -> None:
    await answer(writer, "503 Service Unavailable", json_error(503))


@fault
async def status_400(writer: StreamWriter) -> None:
    await answer(writer, "400 Bad Request", json_error(400))


@fault
async def status_404_in_html(writer: StreamWriter) -> None:
    await answer(writer, "404 Not Found", b"<h1>it says why</h1>\xff")


@fault
async def status_500_damaged_gzip(writer: StreamWriter) -> None:
    await answer(writer, "500 Oh", b"no gzip; it says why", b"Content-Encoding: gzip")


@fault
async def status_500_without_end(writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 Oh\r\nConnection: close\r\n\r\nit says why")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


@fault
async def no_http(writer: StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n\r\n")
    await writer.drain()


@fault
async def garbage_event(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), b"data: {garbage\n\n")


@fault
async def event_is_no_object(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), b"data: [1, 2]\n\n")


@fault
async def event_lacks_its_tokens(writer: StreamWriter) -> None:
    await stream(writer, b'data: {"content": "a", "stop": false}\n\n')


@fault
async def invalid_utf8(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), b'data: {"content": "\xff\xfe"}\n\n')


@fault
async def id_too_large(writer: StreamWriter) -> None:
    await stream(writer, token_event(10**6))


@fault
async def id_negative(writer: StreamWriter) -> None:
    await stream(writer, token_event(-1))


@fault
async def id_is_text(writer: StreamWriter) -> None:
    await stream(writer, token_event("1"))


@fault
async def id_is_a_fraction(writer: StreamWriter) -> None:
    await stream(writer, token_event(1.5))


@fault
async def id_is_a_truth_value(writer: StreamWriter) -> None:
    await stream(writer, token_event(True))


@fault
async def absurd_count(writer: StreamWriter) -> None:
    await stream(writer, token_event(1, tokens_predicted=10**15, content="a" * 100_000))


@fault
async def probabilities_too_many(writer: StreamWriter) -> None:
    entry = {"id": 1, "logprob": -1.0, "top_logprobs": []}
    await stream(writer, token_event(1, completion_probabilities=[entry, entry]))


@fault
async def probability_is_text(writer: StreamWriter) -> None:
    entry = {"id": 1, "logprob": "likely", "top_logprobs": []}
    await stream(writer, token_event(1, completion_probabilities=[entry]))


@fault
async def unknown_stop(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), last_event(stop_type="mood"))


@fault
async def error_event_400(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), error_event(400))


@fault
async def error_event_500(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), error_event(500))


@fault
async def error_event_503(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), error_event(503))


@fault
async def event_too_long(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), b"data: " + b"x" * TOO_LONG)


@fault
async def ends_before_the_last_event(writer: StreamWriter) -> None:
    await stream(writer, token_event(1))


@fault
async def closes_without_a_word(writer: StreamWriter) -> None:
    del writer


@fault
async def cut_in_mid_event(writer: StreamWriter) -> None:
    head = STREAM_HEAD.replace(b"Connection: close", b"Transfer-Encoding: chunked")
    event = token_event(1)
    writer.write(head + f"{len(event):x}\r\n".encode() + event + b"\r\nff\r\ndata: {")
    await writer.drain()


@fault
async def ends_in_mid_event(writer: StreamWriter) -> None:
    await stream(writer, token_event(1), token_event(2)[:20])


@fault
async def pings_in_mid_stream(writer: StreamWriter) -> None:
    await stream(writer, token_event(1))
    while True:
        writer.write(b": ping\n\n")
        await writer.drain()
        await asyncio.sleep(0.02)


@fault
async def never_ends(writer: StreamWriter) -> None:
    await stream(writer)
    total = 0
    while True:
        total += 1
        writer.write(token_event(1, tokens_predicted=total))
        await writer.drain()


@fault
async def silent_from_the_start(writer: StreamWriter) -> None:
    await writer.wait_closed()


@fault
async def silent_in_mid_stream(writer: StreamWriter) -> None:
    await stream(writer, token_event(1))
    await writer.wait_closed()


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer one request and close the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        if head.startswith("GET /slots "):
            await answer(writer, "200 OK", json.dumps([{"n_ctx": 512}]).encode())
            return
        length = next(int(v) for name, v in headers.items() if name.lower() == "content-length")
        body = json.loads(await reader.readexactly(length))
        if head.startswith("POST /completion "):
            await list(FAULTS.values())[body["prompt"][0]](writer)
        else:
            # A full disk: slots can be neither saved nor restored.
            await answer(writer, "400 Bad Request", json_error(400))
    except ConnectionError:
        return
    finally:
        writer.close()


async def main() -> None:
    """Serve until standard input ends."""
    sys.stdin.readline()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{port}"}) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
