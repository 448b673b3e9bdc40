"""`predict`: what the contest's gateway calls, once for each problem."""

import logging
import sys
from typing import Any

from kaggle_notebook.current import current_session
from kaggle_notebook.frames import answer_frame, read_call
from kaggle_notebook.start import start

log = logging.getLogger("kaggle_notebook")

#: Where everything else has failed, this package included.
LAST_RESORT = 0


def predict(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - frames of two libraries
    """Return a one-row frame of `id` and `answer`, an integer from 0 to 99999, in time.

    Called with two series of one row, the id and the problem; a third, the answer of a local file,
    is not read. The frame is of the same library, polars or pandas. Raises nothing: one exception
    would end the submission. It blocks for as long as the problem's deadline allows.
    """
    identity, library, answer = None, "polars", LAST_RESORT
    try:
        asked = read_call(arguments, named)
        identity, library = asked.id, asked.library
        session = current_session() or start()
        answer = session.answer(asked).answer
    except BaseException as error:  # noqa: BLE001 - an interrupt, too, must not lose a submission
        sys.stderr.write(f"kaggle_notebook: predict failed ({type(error).__name__}: {error})\n")
    return answer_frame(identity, answer, library)
