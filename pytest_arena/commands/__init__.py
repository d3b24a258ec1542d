"""The subcommands of ``python -m pytest_arena``, a module each: imported only when it is used.

A module has ``add_arguments(parser)``, and ``run(arguments)``, which returns the exit status.
"""
