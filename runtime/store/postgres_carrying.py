"""Which cases a node leaves to others of a PostgreSQL store, since they carry the version of its flow and it does not.

Each node says with its lease which versions it carries, so who is dead carries none. Parts of statements, for a claim
and a look are to see that at the same moment as the cases. Where all carry the same nothing is foreign, and no row is
asked for more than that. It does not know what a flow is.
"""

from typing import Final

#: What others alone carry that live: takes what the asker carries, now, and the names of its nodes. An asker that does
#: not say what it carries leaves nothing to others.
FOREIGN: Final = """
    foreign_pin AS MATERIALIZED (
        SELECT pin FROM node n CROSS JOIN LATERAL unnest(n.carries) AS pin
        WHERE n.name > '' AND n.name <> ALL({2}::text[]) AND n.until > {1}
            AND cardinality({0}::text[]) > 0 AND pin <> ALL({0}::text[])
    )
"""
#: Whether a case, by what it is called, is not left to others; as `rules.pin` writes it.
OURS: Final = "({0}.flow || ':' || {0}.version || ':' || {0}.source_hash) NOT IN (SELECT pin FROM foreign_pin)"
