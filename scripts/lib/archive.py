"""The archive that a run hands to the loader: a ustar file with the command line, the drivers and the programs."""

import io
import os
import tarfile

from errors import UsageError

NAME_BYTES = 63  # LOADER_NAME_BYTES less the terminator: "drivers/" included


def members(drivers, apps, kernel=None):
    """Pairs of archive name and file, in the order in which they are to run."""
    pairs = [("ntoskrnl.exe", kernel)] if kernel else []
    pairs += [("drivers/" + os.path.basename(path), path) for path in drivers]
    pairs += [("apps/" + os.path.basename(path), path) for path in apps]
    seen = set()
    for name, path in pairs:
        if not os.path.isfile(path):
            raise UsageError(f"{path}: no such file")
        if len(name.encode()) > NAME_BYTES:
            raise UsageError(f"{path}: the file name is longer than the loader takes, rename it")
        if name.lower() in seen:
            raise UsageError(f"{path}: two files of this name cannot be loaded in one run, rename one")
        seen.add(name.lower())
    return pairs


def write(target, words, pairs):
    """Write the archive: `words` is the kernel's command line, `pairs` comes from members()."""
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        _add(tar, "cmdline", words.encode())
        for name, path in pairs:
            with open(path, "rb") as file:
                _add(tar, name, file.read())


def _add(tar, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    entry.mode = 0o644
    tar.addfile(entry, io.BytesIO(data))
