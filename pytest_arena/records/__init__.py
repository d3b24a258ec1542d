"""What a run leaves on disk: the schemas, the directory and the writers."""
