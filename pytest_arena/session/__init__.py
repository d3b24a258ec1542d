"""All that knows pytest: from job files to test items, attempts, verdicts and the session's end."""
