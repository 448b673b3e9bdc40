"""Where weights come from: a file the user has, and the Hugging Face hub.

Every source gives the same bytes in order from any offset, so that one can go on where another
stopped. The third source, a package index, is in `server.weights.packages`.
"""

import re
from collections.abc import Generator
from pathlib import Path
from typing import Protocol

import httpx

from server.weights.errors import SourceUnavailable, WeightsDamaged
from server.weights.known import KnownWeights
from server.weights.observer import Observer

_CHUNK_BYTES = 1 << 20


class Source(Protocol):
    """A place that gives the bytes of weights."""

    label: str
    #: Space needed beside the file itself while it is fetched.
    scratch_bytes: int

    def chunks(
        self, weights: KnownWeights, offset: int, observer: Observer
    ) -> Generator[bytes | memoryview, None, None]:
        """Yield the bytes from `offset` on; closing the generator frees everything.

        Raises `SourceUnavailable` where another source should be tried, else a `WeightsError`.
        """
        ...


class GivenFile:
    """A file that the user names."""

    scratch_bytes = 0

    def __init__(self, path: Path) -> None:
        """Take the user's path, in which `~` is a home; raises `WeightsDamaged` for nobody's."""
        try:
            self._path = path.expanduser()
        except RuntimeError:
            raise WeightsDamaged(
                f"{path}: there is no such user's home; give another path"
            ) from None
        self.label = str(self._path)

    def check_size(self, weights: KnownWeights) -> None:
        """Raise `WeightsDamaged` unless the file is there and as long as published."""
        try:
            if not self._path.is_file():
                raise WeightsDamaged(f"{self._path}: no such file; give the path of {weights.name}")
            size = self._path.stat().st_size
        except OSError as error:
            raise WeightsDamaged(
                f"{self._path}: cannot be read ({error.strerror}); give the path of {weights.name}"
            ) from error
        if size != weights.size_bytes:
            raise WeightsDamaged(
                f"{self._path}: holds {size:,} bytes where {weights.name} has "
                f"{weights.size_bytes:,}; give the whole file"
            )

    def chunks(
        self, weights: KnownWeights, offset: int, observer: Observer
    ) -> Generator[bytes, None, None]:
        """Yield the file's bytes."""
        del weights, observer
        try:
            with self._path.open("rb", buffering=0) as file:
                file.seek(offset)
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise SourceUnavailable(f"cannot be read ({error.strerror})") from error


class Hub:
    """The Hugging Face hub: its address, token and offline switch are huggingface_hub's own."""

    label = "Hugging Face hub"
    scratch_bytes = 0
    #: A reachable hub answers well within; offline the next source should get its turn soon.
    connect_timeout_s = 5.0
    read_timeout_s = 30.0

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def chunks(
        self, weights: KnownWeights, offset: int, observer: Observer
    ) -> Generator[bytes, None, None]:
        """Yield the bytes of the published file."""
        del observer
        url, headers = self._request(weights, offset)
        timeout = httpx.Timeout(self.read_timeout_s, connect=self.connect_timeout_s)
        try:
            with (
                httpx.Client(timeout=timeout, follow_redirects=True) as client,
                client.stream("GET", url, headers=headers) as response,
            ):
                skip = offset - _first_byte(response, weights.size_bytes)
                if skip < 0:
                    # Without the bytes between, what was fetched before would be spoiled.
                    raise SourceUnavailable(f"begins at byte {offset - skip:,}, not at {offset:,}")
                # As the chunks come: collected to a size, the last would be lost with the line.
                for chunk in response.iter_raw():
                    if len(chunk) > skip:
                        yield chunk[skip:]
                    skip = max(0, skip - len(chunk))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceUnavailable(
                f"cannot be reached ({error or type(error).__name__})"
            ) from error

    def _request(self, weights: KnownWeights, offset: int) -> tuple[str, dict[str, str]]:
        try:
            # Only here: it is an extra, and takes a while to import.
            from huggingface_hub import constants, get_token, hf_hub_url  # noqa: PLC0415
        except ImportError:
            raise SourceUnavailable("the package huggingface_hub is not installed") from None
        if weights.hub is None:
            raise SourceUnavailable("does not have them")
        if constants.HF_HUB_OFFLINE:
            raise SourceUnavailable("switched off by HF_HUB_OFFLINE")
        url = hf_hub_url(weights.hub.repository, weights.hub.file_name, endpoint=self._endpoint)
        headers = {"Accept-Encoding": "identity"}
        if token := get_token():
            headers["Authorization"] = f"Bearer {token}"
        if offset:
            headers["Range"] = f"bytes={offset}-"
        return url, headers


def _first_byte(response: httpx.Response, size: int) -> int:
    """Return where in the file a response begins: a server may ignore the range asked for.

    Raises `SourceUnavailable` for what is no part of a file of `size` bytes: a hotel's page for
    guests, or a mirror's pointer to the file. Its bytes would spoil what was fetched before.
    """
    headers, first = response.headers, 0
    total = headers.get("Content-Length")
    if response.status_code != 200:
        told = re.match(r"bytes (\d+)-\d*/(\d+)?", headers.get("Content-Range", ""))
        if response.status_code != 206 or told is None:
            raise SourceUnavailable(f"answers {response.status_code}")
        first, total = int(told[1]), told[2]
    if total is not None and total.isdecimal() and int(total) != size:
        raise SourceUnavailable(f"offers {int(total):,} bytes where {size:,} are published")
    return first
