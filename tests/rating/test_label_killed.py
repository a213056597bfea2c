"""The program on whose page images are scored, killed at any time."""

from __future__ import annotations

import http.client
import json
import socket
import time

import numpy as np
import pytest
from label_program import Program
from simulated_raters import write_image

from microscope_quality.rating.labels import read_rows

pytestmark = pytest.mark.long


class Session:
    """A page that needs no browser, since nothing is to be seen."""

    def __init__(self, port):
        self.port = port
        self.token = self._ask("GET", "/token")["token"]

    def _headers(self):
        return {
            "Origin": f"http://127.0.0.1:{self.port}",
            "X-Token": self.token,
            "Content-Type": "application/json",
        }

    def _ask(self, method, path, content=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = self._headers() if method == "POST" else {}
        connection.request(method, path, content and json.dumps(content), headers)
        answer = connection.getresponse()
        found = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, found
        return found

    def next(self):
        return self._named(self._ask("GET", "/question?rater=Anna"))

    def score(self, said):
        return self._named(self._ask("POST", "/score", said))

    def send(self, said):
        """Send a score, and wait for no answer."""
        body = json.dumps(said).encode()
        head = f"POST /score HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self._headers().items())
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as one:
            one.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    @staticmethod
    def _named(answer):
        question = answer["question"]
        if question is None:
            return None
        kept = {name: question[name] for name in ("image", "y", "x", "size", "repeat")}
        return {**kept, "rater": "Anna", "seconds": 0.5}


def test_killed_twenty_times_every_score_is_kept_and_none_twice(tmp_path):
    """Scores are told as fast as they are taken, and sent again where no answer came."""
    images = tmp_path / "images"
    images.mkdir()
    for k in range(300):
        write_image(images / f"{k}.tif", k % 9 + 1, side=16, unlike=k)
    with Program(tmp_path, "--repeats", "0.2") as running:
        rng = np.random.default_rng(20)
        acknowledged = {}
        session = Session(running.port)
        question = session.next()
        for kill in range(20):
            until = int(rng.integers(3, 16))
            for k in range(1000):
                score = int(rng.integers(1, 11)) / 10
                said = {**question, "score": score, "comment": "word " * int(rng.integers(0, 30))}
                if k == until:
                    # It is killed while this one is on its way, at any time of it.
                    session.send(said)
                    time.sleep(float(rng.uniform(0, 0.006)))
                    running.kill()
                    running.start()
                    session = Session(running.port)
                following = session.score(said)
                acknowledged[said["image"], said["repeat"]] = score
                question = following
                if k == until or question is None:
                    break
            assert question is not None, "there are too few images"
            rows = read_rows(tmp_path / "labels.csv")
            told = [(row.image, row.repeat) for row in rows]
            assert len(told) == len(set(told)) == len(acknowledged), kill
            assert {key: row.score for key, row in zip(told, rows)} == acknowledged
        assert len(acknowledged) > 100
