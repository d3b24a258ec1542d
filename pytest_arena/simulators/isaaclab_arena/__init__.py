"""IsaacLab-Arena, on top of Isaac Lab."""
