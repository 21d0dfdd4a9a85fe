"""COM1 as it comes, split into what the firmware printed and the log.

The log begins with the loader's first line. Everything before it belongs to firmware.log: the firmware moves the
cursor and may leave the line unfinished, so the mark is looked for anywhere in the stream.
"""

LOG_START = b"# Pinfold loader"
BANNER = "# Pinfold kernel"
STOP = "*** STOP:"


class Splitter:
    """Takes chunks of bytes; `firmware` and each of `logs` are open binary files."""

    def __init__(self, firmware, logs):
        self._firmware = firmware
        self._logs = logs
        self._pending = b""  # before the mark: bytes that may be its beginning; behind it: an unfinished line
        self.lines = []  # the log so far, whole lines without their end
        self.started = False
        self.banner = False
        self.stopped = False  # a bug check's first line was seen

    def feed(self, chunk):
        if not self.started:
            chunk = self._before_start(self._pending + chunk)
            if not self.started:
                return
            self._pending = b""
        self._write(chunk)
        *whole, self._pending = (self._pending + chunk).split(b"\n")
        for line in whole:
            self._take(line)

    def finish(self):
        if self.started:
            if self._pending:
                self._take(self._pending)
        else:
            self._firmware.write(self._pending)
        self._pending = b""

    def _before_start(self, data):
        """Write what is certainly the firmware's; return what belongs to the log."""
        at = data.find(LOG_START)
        self.started = at >= 0
        keep = len(data) - at if self.started else min(len(data), len(LOG_START) - 1)
        self._firmware.write(data[: len(data) - keep])
        self._firmware.flush()
        self._pending = data[len(data) - keep :]
        return self._pending

    def _write(self, chunk):
        for log in self._logs:
            log.write(chunk)
            log.flush()

    def _take(self, line):
        text = line.decode("utf-8", "replace").rstrip("\r")
        self.lines.append(text)
        self.banner = self.banner or text.startswith(BANNER)
        self.stopped = self.stopped or text.startswith(STOP)
