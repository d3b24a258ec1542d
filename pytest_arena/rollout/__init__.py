"""The rollout: which episode runs where, the loop, and the metrics."""
