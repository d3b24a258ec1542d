"""Comparing a job with an earlier run: baselines, statistical tests, and what they decide."""
