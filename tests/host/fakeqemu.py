#!/usr/bin/python3
"""Stands in for QEMU: plays the scenario in FAKE_QEMU, a JSON list of steps, and speaks QMP where a step waits.

    {"print": TEXT}         on the serial line
    {"sleep": SECONDS}
    {"exit": STATUS}        leave, as through the exit port; {"kill": SIGNAL} dies of a signal
    {"event": NAME, ...}    send a QMP event with the rest as its data
    {"until": COMMAND}      serve QMP until that command came; `quit` always leaves

The arguments and the QMP commands that came are appended to the file FAKE_QEMU_TRACE, one JSON value a line.
"""

import json
import os
import re
import socket
import sys
import time


class Monitor:
    def __init__(self, descriptor):
        self._socket = socket.socket(fileno=descriptor)
        self._file = self._socket.makefile("r")
        self.send({"QMP": {"version": {}, "capabilities": []}})

    def send(self, message):
        self._socket.sendall(json.dumps(message).encode() + b"\r\n")

    def serve(self, until):
        for line in self._file:
            message = json.loads(line)
            trace(message["execute"])
            self.send({"return": {}, "id": message["id"]})
            if message["execute"] == "quit":
                sys.exit(0)
            if message["execute"] == until:
                return


def trace(value):
    if "FAKE_QEMU_TRACE" in os.environ:
        with open(os.environ["FAKE_QEMU_TRACE"], "a") as file:
            file.write(json.dumps(value) + "\n")


def play(step, monitor):
    if "print" in step:
        sys.stdout.buffer.write(step["print"].encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    elif "sleep" in step:
        time.sleep(step["sleep"])
    elif "exit" in step:
        sys.stdout.flush()
        os._exit(step["exit"])
    elif "kill" in step:
        os.kill(os.getpid(), step["kill"])
    elif "event" in step:
        monitor.send({"event": step.pop("event"), "data": step})
    elif "until" in step:
        monitor.serve(step["until"])


def main():
    trace(sys.argv[1:])
    descriptor = int(re.search(r"socket,id=qmp,fd=(\d+)", " ".join(sys.argv))[1])
    monitor = Monitor(descriptor)
    for step in json.loads(os.environ["FAKE_QEMU"]):
        play(step, monitor)


main()
