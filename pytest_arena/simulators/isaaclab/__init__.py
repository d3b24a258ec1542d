"""Isaac Lab, with its app and without."""
