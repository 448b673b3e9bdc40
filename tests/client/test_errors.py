"""Foreign errors and refusals become ours, all of them."""

import httpx
import httpx_sse
import pytest

from client import errors
from client.errors import HTTPX_ERRORS, error_of, translate, translated

URL = "http://127.0.0.1:8642"

#: Every exception that httpx and httpx-sse define, and what it becomes. None: never raised at us
#: (the first is our own misuse of `raise_for_status`, which the client does not call).
EXPECTED: dict[str, type[Exception]] = {
    "CloseError": errors.ConnectionLost,
    "ConnectError": errors.ServerUnreachable,
    "ConnectTimeout": errors.ServerUnreachable,
    "CookieConflict": errors.InvalidResponse,
    "DecodingError": errors.InvalidResponse,
    "HTTPError": errors.InvalidResponse,
    "HTTPStatusError": errors.InvalidResponse,
    "InvalidURL": errors.BadServerAddress,
    "LocalProtocolError": errors.UsageError,
    "NetworkError": errors.ConnectionLost,
    "PoolTimeout": errors.ServerUnreachable,
    "ProtocolError": errors.InvalidResponse,
    "ProxyError": errors.ServerUnreachable,
    "ReadError": errors.ConnectionLost,
    "ReadTimeout": errors.ServerTimeout,
    "RemoteProtocolError": errors.ConnectionLost,
    "RequestError": errors.InvalidResponse,
    "RequestNotRead": errors.ConnectionLost,
    "ResponseNotRead": errors.ConnectionLost,
    "SSEError": errors.InvalidResponse,
    "StreamClosed": errors.ConnectionLost,
    "StreamConsumed": errors.ConnectionLost,
    "StreamError": errors.ConnectionLost,
    "TimeoutException": errors.ServerTimeout,
    "TooManyRedirects": errors.InvalidResponse,
    "TransportError": errors.InvalidResponse,
    "UnsupportedProtocol": errors.BadServerAddress,
    "WriteError": errors.ConnectionLost,
    "WriteTimeout": errors.ServerTimeout,
}


def foreign_exceptions() -> dict[str, type[Exception]]:
    return {
        name: value
        for module in (httpx, httpx_sse)
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }


def test_every_exception_of_httpx_has_a_translation() -> None:
    assert sorted(foreign_exceptions()) == sorted(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_translation(name: str) -> None:
    foreign = foreign_exceptions()[name]
    error = foreign.__new__(foreign)
    Exception.__init__(error, "broken pipe")
    assert issubclass(foreign, HTTPX_ERRORS)

    ours = translate(error, URL)

    assert type(ours) is EXPECTED[name]
    assert URL in str(ours)
    assert ours.is_user_error


def test_what_quotes_the_request_s_headers_is_not_passed_on() -> None:
    error = httpx.LocalProtocolError("Illegal header value b'Bearer secret '")
    assert "secret" not in str(translate(error, URL))


def test_translated_keeps_the_cause() -> None:
    cause = httpx.ReadError("reset")
    with pytest.raises(errors.ConnectionLost) as caught, translated(URL):
        raise cause
    assert caught.value.__cause__ is cause


def test_translate_refuses_what_is_not_of_httpx() -> None:
    with pytest.raises(TypeError, match="not an error of httpx"):
        translate(KeyError("x"), URL)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, errors.InvalidResponse),
        (400, errors.RequestRefused),
        (404, errors.NotFound),
        (413, errors.RequestTooLarge),
        (422, errors.InvalidRequest),
        (429, errors.ServerBusy),
        (500, errors.ServerFailed),
        (502, errors.ServerFailed),
        (503, errors.ServerUnavailable),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[Exception]) -> None:
    response = httpx.Response(status, request=httpx.Request("GET", URL))
    assert type(error_of(response)) is kind


@pytest.mark.parametrize(("status", "doubted"), [(404, True), (405, True), (502, False)])
def test_what_has_no_problem_details_may_be_another_server(status: int, doubted: bool) -> None:
    response = httpx.Response(status, request=httpx.Request("GET", URL))
    assert str(error_of(response)).endswith("is it Quorum?") is doubted


def refusal(body: str, headers: dict[str, str] | None = None) -> errors.ServerError:
    response = httpx.Response(
        429,
        content=body,
        headers={"content-type": "application/problem+json; charset=utf-8", **(headers or {})},
        request=httpx.Request("POST", URL),
    )
    error = error_of(response)
    assert isinstance(error, errors.ServerError)
    return error


def test_problem_details_name_the_fields() -> None:
    error = refusal(
        '{"title": "t", "status": 429, "detail": "bad", "retry_after_s": 1.5,'
        '"errors": [{"field": "agree", "message": "too many"}]}'
    )
    assert str(error) == "bad: agree: too many"
    assert error.retry_after_s == 1.5


def test_fields_that_the_detail_tells_of_are_not_told_twice() -> None:
    error = refusal(
        '{"title": "t", "status": 429, "detail": "agree 9: must be at most 4; lower it",'
        '"errors": [{"field": "agree", "message": "agree 9: must be at most 4; lower it"}]}'
    )
    assert str(error) == "agree 9: must be at most 4; lower it"


@pytest.mark.parametrize(("value", "seconds"), [("7", 7.0), ("Fri, 21 Nov", None), ("-1", None)])
def test_retry_after_is_read_from_the_header(value: str, seconds: float | None) -> None:
    assert refusal("{broken", {"retry-after": value}).retry_after_s == seconds
