"""Stands for IsaacLab-Arena: written from its interface, no code of its own."""
