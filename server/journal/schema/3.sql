-- Version 3: what the callers of runs answered.
--
-- A run's caller may have to answer before its solve has ended, or without one. What it gave on, and
-- from what, only it knows; it tells it with POST /v1/runs/{id}/answers.

CREATE TABLE run_answers (
    run_id     TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    problem_id TEXT NOT NULL,
    told       REAL NOT NULL,       -- since 1970: when the server was told
    answer     TEXT NOT NULL,
    rung       TEXT NOT NULL,       -- vote, ballot, boxed, printed or default
    solve_id   TEXT,
    seconds    REAL,                -- from question to answer
    notes      TEXT NOT NULL,       -- JSON: a list of sentences
    PRIMARY KEY (run_id, problem_id)
) WITHOUT ROWID;
