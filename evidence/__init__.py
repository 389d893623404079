"""From finished runs to the report: the grid, records, studies, tables, figures, SLURM."""
