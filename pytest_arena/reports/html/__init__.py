"""Pages that people open: a run, its history, a comparison of runs. Made from what is on disk, no more."""
