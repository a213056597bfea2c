"""The pages of a user study: a link for each tester, and one for who conducts it.

``/t/…`` is a tester's, ``/c/…`` the conductor's; what stands behind it is secret, and known to who
was given the link. A tester's page is told an image and the two scores as they are shown, and never
which of them is whose.
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from microscope_quality.batch.local_server import is_loopback
from microscope_quality.errors import FileError, ImageError, SettingsError, printable
from microscope_quality.rating.page_server import HTML, PageServer, Picture, Request
from microscope_quality.rating.result_page import page_policy
from microscope_quality.rating.shown_images import TILE, ShownImages
from microscope_quality.rating.study import PRESSED, Study, StudyImage, Tester, sides
from microscope_quality.rating.study_results import (
    MEASURES,
    measures_csv,
    results_of,
    results_page,
)


class StudyPage(PageServer):
    """Serves the pages of a study; used as a context.

    Parameters
    ----------
    study
        That is open.
    host, port
        Where it listens; port 0 takes a free one.

    Attributes
    ----------
    url : str
        Link of who conducts the study, for a browser of this computer.
    outer_url : str
        Where testers' browsers find it, also on other computers if it is served to them.

    Raises
    ------
    FileError
        The port is taken, or the address is not one of this computer.
    """

    def __init__(self, study: Study, host: str = "127.0.0.1", port: int = 0) -> None:
        self._study = study
        # Images are named from the root on.
        self._shown = ShownImages(Path())
        self.host = host
        pages = {"/": "study_page", "/t/": "study_page", "/c/": "study_overview"}
        routes = {
            "GET /trial": self._trial,
            "GET /size": self._size,
            "GET /tile": self._tile,
            "POST /answer": self._answer,
            "GET /progress": self._progress,
            "POST /tester": self._add_tester,
            "GET /results": self._results,
            "GET /measures.csv": self._measures,
        }
        super().__init__(pages, routes, host, port)
        self.outer_url = f"http://{_named(own_address(host))}:{self.port}/"
        inner = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
        self.url = f"http://{_named(inner)}:{self.port}/c/{study.record.token}"

    def tester_url(self, tester: Tester) -> str:
        """Link of a tester."""
        return f"{self.outer_url}t/{tester.token}"

    # Of testers.

    def _tester(self, token: object) -> Tester:
        for tester in self._study.record.testers:
            if _is_secret(token, tester.token):
                return tester
        raise SettingsError(
            "There is no tester with this link. Check how it was typed, or ask who conducts the "
            "study for it."
        )

    def _trial(self, request: Request) -> dict[str, Any]:
        tester = self._tester(request.query.get("tester"))
        return self._told(tester, request.query.get("number", ""))

    def _told(self, tester: Tester, number_text: str) -> dict[str, Any]:
        record = self._study.record
        done, total = self._study.done(tester), len(tester.trials)
        about = {"tester": tester.name, "done": done, "total": total}
        number = _whole("number", number_text) if number_text else done + 1
        if not number_text and done == total:
            return {**about, "number": None}
        if not 1 <= number <= min(done + 1, total):
            raise SettingsError(f"There is no trial {number} to answer now.")
        left, right = sides(record, tester.trials[number - 1])
        answer = self._study.answer_to(tester, number)
        pressed = None
        if answer is not None:
            trial = tester.trials[number - 1]
            pressed = {
                "target": "left" if trial.target_is_left else "right",
                "prediction": "right" if trial.target_is_left else "left",
            }.get(answer.choice, answer.choice)
        return {
            **about,
            "number": number,
            "left": left,
            "right": right,
            "pressed": pressed,
            "revision": 0 if answer is None else answer.revision,
            "tile": TILE,
        }

    def _size(self, request: Request) -> dict[str, Any]:
        with _without_names():
            return self._size_of(self._image(request))

    def _size_of(self, image: StudyImage) -> dict[str, int]:
        if image.size is not None:
            return {"height": image.size, "width": image.size}
        with self._shown.reading(image.path) as plane:
            height, width = plane.shape
            return {"height": height, "width": width}

    def _tile(self, request: Request) -> Picture:
        image = self._image(request)
        level, row, column = (
            _whole(name, request.query.get(name)) for name in ("level", "row", "column")
        )
        with _without_names():
            size = self._size_of(image)
            region = (image.y or 0, image.x or 0, size["height"], size["width"])
            return Picture(self._shown.tile(image.path, region, level, row, column), "image/png")

    def _image(self, request: Request) -> StudyImage:
        tester = self._tester(request.query.get("tester"))
        number = _whole("number", request.query.get("number"))
        # The next one too, so that nobody waits for it.
        if not 1 <= number <= min(self._study.done(tester) + 2, len(tester.trials)):
            raise SettingsError(f"There is no trial {number} to answer now.")
        return self._study.record.images[tester.trials[number - 1].image]

    def _answer(self, request: Request) -> dict[str, Any]:
        told = request.content
        tester = self._tester(told.get("tester"))
        number, revision = (_whole(name, told.get(name)) for name in ("number", "revision"))
        pressed, seconds = told.get("pressed"), told.get("seconds")
        if pressed not in PRESSED or not isinstance(seconds, (int, float)):
            raise SettingsError(f"pressed must be one of {', '.join(PRESSED)}.")
        kept = self._study.answer(tester, number, pressed, seconds, revision)
        return {"kept": kept, "done": self._study.done(tester)}

    # Of who conducts it.

    def _check(self, token: object) -> None:
        if not _is_secret(token, self._study.record.token):
            raise SettingsError("This is not the link of who conducts the study.")

    def _progress(self, request: Request) -> dict[str, Any]:
        self._check(request.query.get("conductor"))
        record = self._study.record
        answers = self._study.answers
        last: dict[str, str] = {}
        for answer in answers:
            last[answer.tester] = max(last.get(answer.tester, ""), answer.time)
        return {
            "target": printable(record.target_table),
            "prediction": printable(record.prediction_table),
            "images": len(record.images),
            "folder": printable(str(self._study.folder)),
            "outer": self.outer_url,
            "is_open": not is_loopback(self.host),
            "testers": [
                {
                    "name": tester.name,
                    "link": self.tester_url(tester),
                    "done": self._study.done(tester),
                    "total": len(tester.trials),
                    "last": last.get(tester.name, ""),
                }
                for tester in record.testers
            ],
        }

    def _add_tester(self, request: Request) -> dict[str, Any]:
        self._check(request.content.get("conductor"))
        tester = self._study.add_tester(request.content.get("name", ""))
        return {"name": tester.name, "link": self.tester_url(tester)}

    def _results(self, request: Request) -> Picture:
        self._check(request.query.get("conductor"))
        results = results_of(self._study.record, self._study.answers)
        table = f"/{MEASURES}?conductor={self._study.record.token}"
        return Picture(results_page(results, table), HTML, page_policy())

    def _measures(self, request: Request) -> Picture:
        self._check(request.query.get("conductor"))
        results = results_of(self._study.record, self._study.answers)
        return Picture(measures_csv(results), "text/csv; charset=utf-8")


def own_address(host: str) -> str:
    """Give an address by which others reach what listens at `host`.

    Parameters
    ----------
    host
        Where a server listens; for all addresses (``0.0.0.0`` or ``::``) it is that from which
        this computer would speak to others. Nothing is sent to find that out.
    """
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            return host
    except ValueError:
        return host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # An address of documentation, which nobody has: a datagram socket only looks up the way there.
    there = ("2001:db8::1", 9) if family == socket.AF_INET6 else ("192.0.2.1", 9)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(there)
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()


def _named(host: str) -> str:
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _without_names() -> Iterator[None]:
    """Have testers not see names of files, which may tell them more than they should know."""
    try:
        yield
    except (FileError, MemoryError) as error:
        # It is no error of a file, which a page asks for again and again.
        raise ImageError("This image cannot be shown. Discard it and go on.") from error


def _is_secret(told: object, secret: str) -> bool:
    return isinstance(told, str) and secrets.compare_digest(
        told.encode("utf-8", "replace"), secret.encode()
    )


def _whole(name: str, value: object) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SettingsError(f"{name} must be a whole number.")
    return int(text)
