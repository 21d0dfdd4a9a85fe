"""QMP, QEMU's control connection, over a socket that the emulator inherits: no path, no port, nothing to clean up."""

import json
import socket


class Connection:
    """Never blocks: the owner calls `receive` when the socket is readable."""

    def __init__(self):
        self.socket, self.peer = socket.socketpair()
        self._buffer = b""
        self._next = 0
        self.replies = {}  # by command id
        self.events = []

    def started(self):
        """QEMU runs and has its own copy of the peer."""
        self.peer.close()
        self.send("qmp_capabilities")

    def send(self, command, **arguments):
        """Send a command; the number returned is the key of its reply."""
        self._next += 1
        message = {"execute": command, "id": self._next}
        if arguments:
            message["arguments"] = arguments
        try:
            self.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # QEMU has left: its end shows on the serial line
        return self._next

    def receive(self):
        """Take in what has arrived; False at the end of the connection."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        *whole, self._buffer = (self._buffer + data).split(b"\n")
        for line in whole:
            if line.strip():
                self._take(json.loads(line))
        return bool(data)

    def _take(self, message):
        if "event" in message:
            self.events.append(message)
        elif "id" in message:
            self.replies[message["id"]] = message

    def close(self):
        self.socket.close()
        self.peer.close()
