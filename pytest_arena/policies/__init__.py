"""Policies: one seam (`base`), one file a family."""
