"""Policies that LeRobot trained, from the folder that it saved."""
