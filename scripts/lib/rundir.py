"""One folder per run, build/runs/ID, and build/last, a link to the newest.

Two runs at once never share a folder: its name carries the process id, and mkdir fails where it exists already. The
link is made under another name and renamed into place, so that it never dangles or disappears for a reader.
"""

import datetime
import os

import paths


def create():
    """Make a new folder and point build/last at it."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d-%H%M%S")
    name = f"{stamp}-{os.getpid()}"
    path = os.path.join(paths.BUILD, "runs", name)
    os.makedirs(path)
    link = os.path.join(paths.BUILD, f"last.{name}")
    os.symlink(os.path.join("runs", name), link)
    os.replace(link, os.path.join(paths.BUILD, "last"))
    return path
