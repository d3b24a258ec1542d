"""Everything that knows pytest-xdist."""
