from types import SimpleNamespace

from isaaclab import LOG


def get_timeline_interface():
    return SimpleNamespace(stop=lambda: LOG.append(("stop the timeline",)))
