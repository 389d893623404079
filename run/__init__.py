"""What a run is made of: its device, folder, networks, progress, signals, health, evaluation and probe."""
