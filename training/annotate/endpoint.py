"""A model behind any endpoint that speaks OpenAI's chat completions."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from anyio import sleep

from client.schema import bearer, read_address, without_password
from training.errors import ServiceFailed

#: Seconds for one reply: a long trace, a model that thinks.
REPLY_S = 900.0
CONNECT_S = 10.0
#: Statuses after which asking again may help, how often that is tried, and seconds before it.
BUSY = frozenset({408, 409, 429, 500, 502, 503, 504})
MOST_TRIES = 5
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0

#: What reading a reply of another form raises.
_MALFORMED = (
    AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError,
)  # fmt: skip

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    """How a model is asked. `more` is sent as it stands, such as `{"reasoning_effort": "high"}`."""

    model: str
    temperature: float | None = None
    max_tokens: int | None = None
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said, and how many tokens that took where the endpoint counts them."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ChatEndpoint:
    """Asks `{base_url}/chat/completions`; open it in `async with`.

    Raises `ServiceFailed` for whatever goes wrong; the key is in no error.
    """

    def __init__(self, base_url: str, key: str, asked: Asked) -> None:
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._shown = without_password(self._url)
        self._asked, self._key = asked, key.strip()
        try:
            read_address(self._url)
        except ValueError as error:
            raise ServiceFailed(
                f"{self._shown}: {error}; give an address such as http://127.0.0.1:8000/v1"
            ) from None
        try:
            headers = bearer(key)
        except ValueError as error:
            raise ServiceFailed(f"the key of the endpoint: {error}; correct it") from None
        self._http = httpx.AsyncClient(
            headers=headers, timeout=httpx.Timeout(REPLY_S, connect=CONNECT_S)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def reply(self, messages: Sequence[Message]) -> Reply:
        """Return the model's reply to a conversation; busy endpoints are asked again."""
        asked = self._asked
        body: dict[str, Any] = {"model": asked.model, "messages": list(messages), **asked.more}
        if asked.temperature is not None:
            body["temperature"] = asked.temperature
        if asked.max_tokens is not None:
            body["max_tokens"] = asked.max_tokens
        wait_s = FIRST_WAIT_S
        for last in [False] * (MOST_TRIES - 1) + [True]:
            response = await self._post(body, last=last)
            if response is not None and response.status_code == httpx.codes.OK:
                return self._read(response)
            told_s = 0.0 if response is None else _told(response.headers.get("retry-after"))
            await sleep(max(wait_s * random.uniform(0.8, 1.2), told_s))
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        raise AssertionError("the last try returns or raises")

    async def _post(self, body: dict[str, Any], *, last: bool) -> httpx.Response | None:
        """Return the response, also one after which asking again may help; None: there was none."""
        try:
            response = await self._http.post(self._url, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if last or not isinstance(error, httpx.TransportError):
                raise ServiceFailed(
                    f"{self._shown}: does not answer ({type(error).__name__}); check the address, "
                    "or run the same command again later: it goes on where it was"
                ) from None
            return None
        if response.status_code == httpx.codes.OK or (response.status_code in BUSY and not last):
            return response
        told = response.text.replace(self._key, "…") if self._key else response.text
        raise ServiceFailed(
            f"{self._shown}: answered with {response.status_code}: {told[:300]!r}; correct "
            "what it says, or run the same command again later"
        )

    def _read(self, response: httpx.Response) -> Reply:
        try:
            # the standard parser takes halves of characters, which some endpoints cut off
            told = json.loads(response.content)
            text = told["choices"][0]["message"]["content"]
            usage = told.get("usage") or {}
            counts = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
        except _MALFORMED as error:
            raise ServiceFailed(
                f"{self._shown}: its reply is no chat completion ({type(error).__name__}); is it "
                "one of OpenAI's chat completions?"
            ) from None
        whole = text.encode(errors="replace").decode() if isinstance(text, str) else ""
        return Reply(whole, *counts)


def _told(retry_after: str | None) -> float:
    """Return the seconds that an endpoint asks to wait, at most `LONGEST_WAIT_S`."""
    known = (retry_after or "").strip()
    return min(float(known), LONGEST_WAIT_S) if known.isascii() and known.isdigit() else 0.0
