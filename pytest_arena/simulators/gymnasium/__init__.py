"""Gymnasium environments: single ones, in processes of their own, and vectorized ones."""
