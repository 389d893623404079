"""From finished runs to the report: the grid and its workers, records, one frame of them, tables and figures."""
