-- Times are UTC texts (ISO 8601, microseconds, Z), so that they sort and a person can read them.

CREATE TABLE alerts (
    id           INTEGER PRIMARY KEY,
    sha256       TEXT NOT NULL UNIQUE,   -- of the packet's bytes: the only key of a notice
    received_at  TEXT NOT NULL,
    source       TEXT NOT NULL,          -- vtp peer, or where else it came from
    packet       BLOB NOT NULL,
    arrivals     INTEGER NOT NULL DEFAULT 1,
    state        TEXT NOT NULL,          -- received, applied, archived, rejected
    reason       TEXT,
    ivorn        TEXT,
    burst_id     TEXT,
    packet_name  TEXT,
    notice       TEXT                    -- the notice as it was understood, JSON
) STRICT;
CREATE INDEX alerts_state ON alerts (state);

CREATE TABLE triggers (
    burst        TEXT PRIMARY KEY,       -- normalised burst id
    revision     INTEGER NOT NULL,
    state        TEXT NOT NULL,
    t0           TEXT NOT NULL,
    opened_at    TEXT NOT NULL,
    trigger      TEXT NOT NULL           -- the merged view, JSON
) STRICT;

CREATE TABLE deadlines (
    burst        TEXT NOT NULL REFERENCES triggers (burst),
    name         TEXT NOT NULL,
    due_at       TEXT NOT NULL,
    state        TEXT NOT NULL,          -- planned, due, analysed, produced, delivered, cancelled
    cause        TEXT,
    lateness_seconds REAL,               -- wall seconds from the instant to the last receipt
    PRIMARY KEY (burst, name)
) STRICT;
CREATE INDEX deadlines_state ON deadlines (state, due_at);

CREATE TABLE frames (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL,
    data_sha256  TEXT NOT NULL,
    path         TEXT NOT NULL,
    instance     TEXT NOT NULL,
    burst        TEXT,                   -- normalised trigger id of the header
    kind         TEXT NOT NULL,
    arrived_at   TEXT NOT NULL,
    state        TEXT NOT NULL,          -- arrived, reduced, combined, failed, quarantined, ignored
    reason       TEXT,
    attempts     INTEGER NOT NULL DEFAULT 0,
    keywords     TEXT NOT NULL,          -- JSON
    quality      TEXT,                   -- JSON
    reduced_path TEXT,
    UNIQUE (name, data_sha256)
) STRICT;
CREATE INDEX frames_work ON frames (instance, state, arrived_at, id);
CREATE INDEX frames_burst ON frames (burst, state, arrived_at, id);

CREATE TABLE provisional_lists (
    burst        TEXT NOT NULL,
    frame_id     INTEGER NOT NULL REFERENCES frames (id),
    at           TEXT NOT NULL,
    candidates   TEXT NOT NULL,          -- JSON: ListedCandidate[]
    PRIMARY KEY (burst, frame_id)
) STRICT;

CREATE TABLE analyses (
    burst        TEXT NOT NULL,
    deadline     TEXT NOT NULL,
    path         TEXT NOT NULL,
    made_at      TEXT NOT NULL,
    result       TEXT NOT NULL,          -- JSON: AnalysisResult
    PRIMARY KEY (burst, deadline)
) STRICT;

CREATE TABLE products (
    key          TEXT PRIMARY KEY,
    burst        TEXT NOT NULL,
    card         TEXT NOT NULL,
    deadline     TEXT NOT NULL,
    version      INTEGER NOT NULL,
    date         TEXT NOT NULL,          -- DATE of the file: written once, reused if it is made again
    path         TEXT,
    sha256       TEXT,                   -- absent until the file is in place
    UNIQUE (burst, card, deadline, version)
) STRICT;

CREATE TABLE deliveries (
    key          TEXT PRIMARY KEY REFERENCES products (key),
    state        TEXT NOT NULL,          -- waiting, delivered, refused
    attempts     INTEGER NOT NULL DEFAULT 0,
    last_error   TEXT,
    receipt      TEXT,                   -- JSON
    delivered_at TEXT
) STRICT;
CREATE INDEX deliveries_state ON deliveries (state);

CREATE TABLE masters (
    sha256       TEXT PRIMARY KEY,
    kind         TEXT NOT NULL,
    instrument   TEXT NOT NULL,
    filter       TEXT NOT NULL,
    night        TEXT NOT NULL,
    in_force     INTEGER NOT NULL,
    made_at      TEXT NOT NULL,
    master       TEXT NOT NULL           -- JSON
) STRICT;

CREATE TABLE events (
    id           INTEGER PRIMARY KEY,
    at           TEXT NOT NULL,
    actor        TEXT NOT NULL,
    what         TEXT NOT NULL,          -- restarted, gave up, hold expired, …
    detail       TEXT NOT NULL
) STRICT;

CREATE TABLE notes (
    name         TEXT PRIMARY KEY,
    value        TEXT NOT NULL
) STRICT;
