"""An attempt of which the journal had to leave tokens out: the others keep their places."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx

from client.schema import AttemptGap, AttemptSegment, Event
from server.vocabulary import Vocabulary
from tests.server.journal.stories import solve_events, token_ids
from tests.server.page.conftest import page_settings
from tests.server.page.markup import parse
from tests.server.page.world import page_world
from tests.server.solve.plain_logs import plain_logs

SOLVE = "solve-gap"
#: Of the segments of attempt 1 the one that is left out.
LOST = 1


def with_gap(next_id: Callable[[], int], attempt: int, name: str = SOLVE) -> Iterator[Event]:
    """Yield a solve without one segment of an attempt, as a full disk makes it."""
    count = 0
    for event in solve_events(name, next_id):
        if isinstance(event, AttemptSegment) and event.attempt == attempt:
            count += 1
            if count - 1 == LOST:
                yield AttemptGap(
                    id=event.id, solve_id=name, at=event.at, attempt=attempt, events=1,
                    tokens=len(event.token_ids),
                )  # fmt: skip
                continue
        yield event


def test_tokens_after_a_gap_keep_their_places(tmp_path: Path, tiny_vocabulary: Vocabulary) -> None:
    with (
        plain_logs(),
        page_world(tmp_path, tiny_vocabulary, page_settings(tmp_path)) as world,
        httpx.Client(base_url=world.url, timeout=20.0, trust_env=False) as http,
    ):
        world.tell(partial(with_gap, attempt=1))
        world.tell(partial(solve_events, "solve-a"))
        shown = http.get(f"/solves/{SOLVE}/attempts/1/tokens.json").json()
        ids = token_ids(1)
        lost = [position for position, token in enumerate(shown) if token is None]
        assert lost
        assert lost == list(range(lost[0], lost[-1] + 1))
        assert len(shown) == len(ids)
        assert [token and token[0] for token in shown] == [
            None if position in lost else each for position, each in enumerate(ids)
        ]
        inside = http.get(f"/solves/{SOLVE}/attempts/1/tokens.json?start={lost[-1]}").json()
        assert inside == shown[lost[-1] :]
        # What is missing is no place at which two attempts part.
        text = parse(http.get(f"/compare?a={SOLVE}:1&b=solve-a:1").text).text
        assert f"The same {lost[0]} tokens; what follows is not all in the journal." in text
