"""Stand-in. Isaac Lab 2.3 imports Isaac Sim here; 3.0 does not."""
