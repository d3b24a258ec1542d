"""Policies that run in a server: one file a protocol."""
