"""The nine attributes in SQL, as somebody who has DuckDB at hand would write them.

    python -m benchmarks.sql_peer EVENTS OUT

It reads only the columns it needs, with the types it expects, counts each messageId once, finds people as
connected components over identifiers, and aggregates by event time. Like the Python peer it expires nobody,
checks nothing, and cannot go on from where it ended; sums are exact here, too.
"""

import sys
from pathlib import Path
from typing import Final

import duckdb

THREADS: Final = 2

EVENTS: Final = """
CREATE TABLE events AS
SELECT DISTINCT ON (messageId)
    messageId AS id, "timestamp" AS moment, event,
    'user_id/' || userId AS known, 'cookie_id/' || anonymousId AS cookie,
    properties.total AS total, context.ip AS ip, context.page.url AS url, context.page.path AS path,
    context.campaign.source AS source
FROM read_json($source, format = 'newline_delimited', columns = {
    messageId: 'VARCHAR', "timestamp": 'TIMESTAMP', event: 'VARCHAR',
    userId: 'VARCHAR', anonymousId: 'VARCHAR',
    properties: 'STRUCT(total DECIMAL(18, 4))',
    context: 'STRUCT(ip VARCHAR, page STRUCT(url VARCHAR, path VARCHAR), campaign STRUCT(source VARCHAR))'
})
WHERE coalesce(userId, anonymousId) IS NOT NULL
"""

PEOPLE: Final = """
CREATE TABLE people AS
WITH RECURSIVE
edges AS MATERIALIZED (
    SELECT DISTINCT known AS one, cookie AS other FROM events WHERE known IS NOT NULL AND cookie IS NOT NULL
),
links AS MATERIALIZED (SELECT one, other FROM edges UNION ALL SELECT other, one FROM edges),
found(identifier, person) USING KEY (identifier) AS (
    SELECT identifier, identifier
    FROM (SELECT known AS identifier FROM events UNION SELECT cookie FROM events)
    WHERE identifier IS NOT NULL
    UNION
    SELECT links.one, min(found.person)
    FROM found
    JOIN links ON links.other = found.identifier
    JOIN recurring.found AS mine ON mine.identifier = links.one
    WHERE found.person < mine.person
    GROUP BY links.one
)
SELECT identifier, person FROM found
"""

PROFILES: Final = """
COPY (
    WITH
    mine AS MATERIALIZED (
        SELECT person, events.*, row(moment, events.id) AS key
        FROM events JOIN people ON identifier = coalesce(known, cookie)
    ),
    pages AS (
        SELECT person, list(path ORDER BY key)[:1000] AS pages
        FROM (SELECT person, path, min(key) AS key FROM mine WHERE path IS NOT NULL GROUP BY ALL)
        GROUP BY person
    ),
    names AS (SELECT person, list(identifier ORDER BY identifier) AS identifiers FROM people GROUP BY person)
    SELECT
        identifiers,
        arg_min(source, key) AS source_first,
        arg_max(source, key) AS source_last,
        arg_min(url, key) AS first_page,
        arg_max(url, key) AS last_page,
        pages,
        sum(total) FILTER (event = 'Order Completed') AS spent,
        max(total) AS largest,
        strftime(max(moment), '%Y-%m-%dT%H:%M:%S.%gZ') AS last_at,
        arg_max(ip, key) AS ip,
        count(*) AS events
    FROM mine JOIN names USING (person) LEFT JOIN pages USING (person)
    GROUP BY person, identifiers, pages
) TO '{target}' (FORMAT json)
"""


def fold(source: Path, target: Path) -> None:
    """Fold a file of events into a file of profiles, in no order."""
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {THREADS}")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute(EVENTS, {"source": str(source)})
        connection.execute(PEOPLE)
        connection.execute(PROFILES.replace("{target}", str(target)))


if __name__ == "__main__":
    fold(*map(Path, sys.argv[1:]))
