-- Files that were dealt with and still lie where they arrived.

CREATE TABLE watched_files (
    path         TEXT PRIMARY KEY,       -- as far as it is UTF-8; other bytes as %XX
    size         INTEGER NOT NULL,       -- bytes, when it was dealt with
    modified     INTEGER NOT NULL,       -- nanoseconds since 1970
    outcome      TEXT NOT NULL,          -- taken, or why it was refused
    detail       TEXT,
    at           TEXT NOT NULL
) STRICT;
