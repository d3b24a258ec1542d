"""What keeps the code of environments, policies and recorders within bounds: of time, and of its process."""
