"""Results of a run in the files of other tools, a module a format.

A format's module has ``write(run, folder)``, which returns what it wrote.
"""
