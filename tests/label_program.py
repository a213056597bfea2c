"""``microscope-quality label`` as a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess

from command_line import command, environment, heed_ctrl_c


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Program:
    """``microscope-quality label`` as a process of its own, to be killed and started again."""

    def __init__(self, folder, *options, out="labels.csv"):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.words = command(
            *("label", folder / "images", "--out", folder / out, "--no-browser"),
            *("--port", self.port, *options),
        )
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            self.words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            preexec_fn=heed_ctrl_c,
        )
        for line in self.process.stdout:
            if self.url in line:
                return self
        raise AssertionError("it did not start")

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.kill()

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said
