"""Starting xdist workers through a command: on a Slurm node, in a container, over ssh."""
