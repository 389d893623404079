"""What a run is made of: its folder, options from a record, start, progress, health, averaging, evaluation."""
