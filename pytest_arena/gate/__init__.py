"""From metrics to verdicts."""
