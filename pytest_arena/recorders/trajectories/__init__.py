"""Trajectories of episodes: their steps on disk, then in an HDF5 file."""
