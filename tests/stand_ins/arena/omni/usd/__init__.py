from types import SimpleNamespace

from isaaclab import LOG


def get_context():
    return SimpleNamespace(new_stage=lambda: LOG.append(("new stage",)))
