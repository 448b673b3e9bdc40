"""A full disk under the journal of a whole server: solves go on, and the page says so."""

from pathlib import Path

import httpx

from server.vocabulary import Vocabulary
from tests.server.api.gateway import wait_until
from tests.server.journal.disks import fill, mounted
from tests.server.page.conftest import page_settings
from tests.server.page.markup import parse
from tests.server.page.world import page_world
from tests.server.solve.plain_logs import plain_logs

SOON_S = 20.0


def test_solves_go_on_and_every_view_tells_until_there_is_room(
    tmp_path: Path, tiny_vocabulary: Vocabulary
) -> None:
    (tmp_path / "data").mkdir()
    settings = page_settings(tmp_path / "data")
    with mounted(tmp_path / "small") as disk, plain_logs():
        journal = settings.journal.model_copy(update={"path": str(disk / "journal.sqlite")})
        settings = settings.model_copy(update={"journal": journal})
        with (
            page_world(disk, tiny_vocabulary, settings) as world,
            httpx.Client(base_url=world.url, timeout=20.0, trust_env=False) as http,
        ):
            assert http.post("/v1/solves", json={"problem": "6 x 7?"}).json()["answer"] == "42"
            fill(disk / "filler")
            full = http.post("/v1/solves", json={"problem": "6 x 7, again?"}).json()
            assert full["answer"] == "42"
            wait_until(lambda: bool(world.journal.status().error), SOON_S)
            for path in ("/", "/runs", "/data"):
                shown = parse(http.get(path).text).text
                assert "The journal is behind" in shown, path
            more = [http.post("/v1/solves", json={"problem": "6 x 7?"}).json() for _ in range(20)]
            for each in (full, *more):
                reply = http.get(f"/v1/solves/{each['solve_id']}")
                assert reply.status_code == 200, reply.text
            ready = http.get("/ready").json()
            assert not ready["journal"]["ready"]
            (disk / "filler").unlink()
            wait_until(lambda: not world.journal.status().queued, SOON_S)
            assert "The journal is behind" not in parse(http.get("/").text).text
            kept = http.get(f"/v1/solves/{full['solve_id']}").json()
            assert kept["result"]["answer"] == "42"
            assert not world.journal.status().dropped
