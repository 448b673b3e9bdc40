-- The journal, version 1.
--
-- `events` and `segments` are what happened: they are only ever added, and deleted with their solve.
-- `solves` and `attempts` are made from them for the listing, and can be made again
-- (`quorum journal check --rebuild`). Words and units are those of the wire (client/schema/):
-- seconds; `created`, `finished` and `recorded` count from 1970 (UTC).

-- One row a solve. A column is NULL until the event that tells it.
CREATE TABLE solves (
    id          TEXT PRIMARY KEY,
    created     REAL NOT NULL,      -- when the first event was taken
    finished    REAL,               -- when solve.finished was taken
    problem_id  TEXT,
    problem     TEXT,
    answer_kind TEXT,
    strategy    TEXT,
    model       TEXT,
    dialect     TEXT,
    seed        INTEGER,
    attempts    INTEGER,            -- planned
    outcome     TEXT,               -- `end` of the result; NULL: in flight, or lost in a crash
    answer      TEXT,
    detail      TEXT,
    prompt      INTEGER,            -- tokens, summed over the attempts
    sampled     INTEGER,
    appended    INTEGER,
    seconds     REAL
);
CREATE INDEX solves_by_created ON solves (created);
CREATE INDEX solves_by_problem ON solves (problem_id, created);
CREATE INDEX solves_by_answer ON solves (answer, created);
CREATE INDEX solves_by_outcome ON solves (outcome, created);

-- One row an attempt.
CREATE TABLE attempts (
    solve_id      TEXT NOT NULL REFERENCES solves (id) ON DELETE CASCADE,
    attempt       INTEGER NOT NULL,
    seed          INTEGER,
    temperature   REAL,
    top_p         REAL,
    min_p         REAL,
    parent        INTEGER,          -- the attempt that it continues ...
    parent_tokens INTEGER,          -- ... from this position on
    outcome       TEXT,             -- `end` of the report; NULL: in flight, or lost in a crash
    detail        TEXT,
    answer        TEXT,
    weight        REAL,
    turns         INTEGER,
    tool_calls    INTEGER,
    tool_errors   INTEGER,
    prompt        INTEGER,          -- tokens
    sampled       INTEGER,
    appended      INTEGER,
    seconds       REAL,
    engine_losses INTEGER,
    token_exact   INTEGER,          -- 0: the engine's stream lost an id
    lost_tokens   INTEGER NOT NULL DEFAULT 0,  -- that the journal had to leave out
    PRIMARY KEY (solve_id, attempt)
) WITHOUT ROWID;

-- One row an event. `body` is its JSON but for the columns here and the token arrays.
CREATE TABLE events (
    id       INTEGER PRIMARY KEY,   -- only grows, over restarts too
    solve_id TEXT NOT NULL REFERENCES solves (id) ON DELETE CASCADE,
    attempt  INTEGER,               -- NULL: of the whole solve
    type     TEXT NOT NULL,
    at       REAL NOT NULL,         -- since the creation of the solve
    recorded REAL NOT NULL,
    body     TEXT NOT NULL
);
CREATE INDEX events_by_solve ON events (solve_id);

-- The token arrays of the `attempt.segment` events, little-endian: `ids` uint32, `logprobs` and
-- `confidence` float16, one for each id where the engine gave them, NULL where not.
CREATE TABLE segments (
    event_id   INTEGER PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    solve_id   TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    turn       INTEGER NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('sampled', 'appended')),
    start      INTEGER NOT NULL,    -- position of the first id in the attempt's list
    count      INTEGER NOT NULL,
    ids        BLOB NOT NULL CHECK (length(ids) = 4 * count),
    logprobs   BLOB CHECK (length(logprobs) = 2 * count),
    confidence BLOB CHECK (length(confidence) = 2 * count)
);
CREATE INDEX segments_by_attempt ON segments (solve_id, attempt, start);

-- For people and notebooks: calls with their results, and the ballots with the policy's decisions.
CREATE VIEW tool_calls AS
SELECT asked.solve_id,
       asked.attempt,
       json_extract(asked.body, '$.turn') AS turn,
       json_extract(asked.body, '$.call') AS call,
       json_extract(asked.body, '$.code') AS code,
       json_extract(told.body, '$.status') AS status,
       json_extract(told.body, '$.output') AS output,
       json_extract(told.body, '$.seconds') AS seconds,
       json_extract(told.body, '$.state_lost') AS state_lost
FROM events AS asked
LEFT JOIN events AS told
    ON told.solve_id = asked.solve_id
    AND told.attempt = asked.attempt
    AND told.type = 'attempt.result'
    AND json_extract(told.body, '$.call') = json_extract(asked.body, '$.call')
WHERE asked.type = 'attempt.call';

CREATE VIEW ballots AS
SELECT id,
       solve_id,
       at,
       json_extract(body, '$.lines') AS lines,
       json_extract(body, '$.running') AS running,
       json_extract(body, '$.stop') AS stop,
       json_extract(body, '$.reason') AS reason
FROM events
WHERE type = 'ballot';
