"""Simulators: one seam (`base`), one file a simulator."""
