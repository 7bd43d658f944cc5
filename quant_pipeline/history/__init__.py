"""The recorded past: frames with their lineage in DuckDB, and the journal of orders in SQLite."""
