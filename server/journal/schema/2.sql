-- Version 2: runs, sets of problems under one clock, and the budget's decisions.
--
-- `runs` is what was asked for and when; it is no event of a solve. What a run's problems came to
-- is in `solves`, how their time was given out in the events of type `budget`.

CREATE TABLE runs (
    id        TEXT PRIMARY KEY,
    created   REAL NOT NULL,
    name      TEXT,
    problems  INTEGER NOT NULL,     -- how many were expected
    limit_s   REAL NOT NULL,        -- seconds for all of them
    budget    TEXT NOT NULL,        -- the policy, by name
    request   TEXT NOT NULL,        -- JSON: what the caller sent
    -- The clock: `elapsed_s` seconds were gone when the clocks stood so. `boot_s` is CLOCK_BOOTTIME
    -- of the boot `boot`; `wall` is for what follows after another boot.
    elapsed_s REAL NOT NULL,
    boot      TEXT NOT NULL,
    boot_s    REAL NOT NULL,
    wall      REAL NOT NULL,
    finished  REAL,                 -- NULL: it is open
    ended_s   REAL,                 -- seconds that were gone then
    reason    TEXT
);
CREATE INDEX runs_by_created ON runs (created);

ALTER TABLE solves ADD COLUMN run_id TEXT;
CREATE INDEX solves_by_run ON solves (run_id, created);

-- For people and notebooks: how long each problem might take, decision by decision.
CREATE VIEW budgets AS
SELECT id,
       solve_id,
       at,
       json_extract(body, '$.limit_s') AS limit_s,
       json_extract(body, '$.reason') AS reason,
       json_extract(body, '$.elapsed_s') AS elapsed_s,
       json_extract(body, '$.run_s') AS run_s,
       json_extract(body, '$.left_s') AS left_s,
       json_extract(body, '$.problems_left') AS problems_left
FROM events
WHERE type = 'budget';
