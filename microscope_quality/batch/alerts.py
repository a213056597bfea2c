"""Tell of what went wrong: by a command that is run, and by a web address that is told.

An alert is written into a file before anybody is told, and so is what became of it: what was not
delivered when the process ended is delivered by the next one, and what was delivered is not
delivered again. Delivering never holds up what raises the alerts.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.version import __version__

#: Alerts that may wait for a channel; what comes on top is counted, and said with the next one.
MOST_WAITING = 1000
#: File of alerts and of what became of them, in the folder of results.
ALERTS = "alerts.jsonl"
#: Alerts of earlier processes that are held, the newest ones.
MOST_EARLIER = 100
# For a program that is at work when it is time to stop.
_GRACE_SECONDS = 2.0

# Words that only a shell understands, and how to ask one.
_OF_A_SHELL = re.compile(r"\d?>>?|<|\|\|?|&&?|;")
_BY_A_SHELL = 'cmd /c "…"' if os.name == "nt" else "sh -c '…'"

# In the file: the channels by which an alert is to leave, and the one of an outcome.
_CHANNELS, _CHANNEL = "doors", "door"

#: What an alert tells of something.
Fact = str | int | float | bool | None


@dataclass(frozen=True)
class Alert:
    """Something to be told once.

    Attributes
    ----------
    id : str
        The same for the same thing, also in another process.
    time : str
        When it was raised, in UTC.
    reason : str
        A sentence.
    facts : mapping
        Words of letters and underscores, and what they stand for.
    """

    id: str
    time: str
    reason: str
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Fact]:
        """Give it as one flat mapping."""
        return {"id": self.id, "time": self.time, "reason": self.reason, **self.facts}


class UndeliveredError(Exception):
    """An alert that was not delivered.

    Parameters
    ----------
    reason
        What went wrong.
    again
        Whether it may go well later.
    after
        Seconds until then, at least.
    """

    def __init__(self, reason: str, *, again: bool, after: float = 0.0) -> None:
        super().__init__(reason)
        self.again = again
        self.after = after


class AlertChannel(Protocol):
    """A way by which alerts leave."""

    @property
    def name(self) -> str:
        """What it is called in the file of alerts and on the screen."""

    def deliver(self, content: Mapping[str, Fact], stop: threading.Event) -> None:
        """Deliver one alert, or raise `UndeliveredError`; with `stop` set it gives up soon."""


class Command:
    """A program that is run for each alert.

    It is run without a shell, gets the alert as JSON on its standard input and as environment
    variables that begin with ``MICROSCOPE_QUALITY_``, and none of it in its arguments: so no file
    name can become a part of a command.

    Parameters
    ----------
    line
        Program and arguments, parted as a shell parts them.
    seconds
        After which it is ended.

    Raises
    ------
    SettingsError
        The line is empty, has a quote without its pair, needs a shell, or names no program that
        is there.
    """

    name = "command"

    def __init__(self, line: str, seconds: float = 60.0) -> None:
        try:
            parts = shlex.split(line, posix=os.name != "nt")
        except ValueError as error:
            raise SettingsError(f"on_alert cannot be parted into words: {error}.") from error
        if os.name == "nt":
            parts = [part[1:-1] if part[:1] == part[-1:] == '"' else part for part in parts]
        if not parts:
            raise SettingsError("on_alert names no program.")
        for part in parts:
            if _OF_A_SHELL.fullmatch(part):
                raise SettingsError(
                    f"on_alert is run without a shell, so {part} means nothing; write it into a "
                    f"script, or give {_BY_A_SHELL}."
                )
        if shutil.which(parts[0]) is None:
            raise SettingsError(f"on_alert: there is no program {parts[0]} that can be run.")
        self._arguments = parts
        self._seconds = seconds

    def deliver(self, content: Mapping[str, Fact], stop: threading.Event) -> None:
        """Run the program, and wait for its end."""
        said: Any
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    self._arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env={**os.environ, **_variables(content)},
                    # It and what it starts can be ended together, and Ctrl-C is not meant for it.
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise UndeliveredError(f"{self._arguments[0]}: {reason}", again=False) from error
            threading.Thread(target=_feed, args=(process, _encoded(content)), daemon=True).start()
            left = self._seconds
            while left > 0 and process.poll() is None:
                # Once it is time to stop, it has a moment to end by itself.
                left = min(left, _GRACE_SECONDS) if stop.is_set() else left
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(min(0.1, left))
                left -= 0.1
            if process.returncode is None:
                _end(process)
                raise UndeliveredError(
                    f"{self._arguments[0]} took too long and was ended", again=False
                )
            if process.returncode:
                said.seek(max(0, said.seek(0, os.SEEK_END) - 2000))
                lines = said.read().decode(errors="replace").strip().splitlines()
                last = f": {lines[-1][:200]}" if lines else ""
                code = process.returncode
                raise UndeliveredError(
                    f"{self._arguments[0]} ended with code {code}{last}", again=False
                )


def _feed(process: subprocess.Popen[bytes], content: bytes) -> None:
    stream = process.stdin
    if stream is not None:
        # A program need not read what it is told.
        with contextlib.suppress(OSError), stream:
            stream.write(content)


def _end(process: subprocess.Popen[bytes]) -> None:
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _variables(content: Mapping[str, Fact]) -> dict[str, str]:
    variables = {}
    for name, value in content.items():
        text = "" if value is None else str(value)
        # No variable can hold a zero byte, and no program can be started with a very long one.
        text = text.replace("\0", "")[:10_000]
        variables[f"MICROSCOPE_QUALITY_{name.upper()}"] = text
    return variables


class Webhook:
    """A web address to which each alert is sent as JSON, by POST.

    Refusals that may be of the moment (no connection, no answer in time, 408, 425, 429, 5xx) are
    tried again, others are not; a redirection is not followed. ``Idempotency-Key`` is the alert's
    id, by which the other side knows one that comes a second time, as when its answer was lost.

    The address may have a secret in it, and the other side may repeat it: what is said of either
    are the name of the host and words of our own.

    Parameters
    ----------
    url
        Of http or https.
    seconds
        Until an answer has to be there. Its status is what counts; nothing else is waited for.

    Raises
    ------
    SettingsError
        It is no such address.
    """

    name = "webhook"

    def __init__(self, url: str, seconds: float = 10.0) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise SettingsError(
                "webhook is no web address; it has to be like https://host:8443/…, with a port "
                "up to 65535 or without one."
            ) from None
        if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
            raise SettingsError("webhook has to be an address of http:// or https://.")
        if parts.username is not None:
            raise SettingsError("webhook cannot have a user and a password in its address.")
        if not (parts.path + parts.query).isascii():
            raise SettingsError("webhook has to be in ASCII behind its host; write others as %….")
        #: The address without what may be secret in it.
        self.public = f"{parts.scheme}://{host}{f':{port}' if port else ''}/…"
        self._url = url
        self._seconds = seconds
        self._calls = _Calls()
        self._opener = urllib.request.build_opener(_NoRedirection, self._calls)

    def deliver(self, content: Mapping[str, Fact], stop: threading.Event) -> None:
        """Send an alert."""
        request = urllib.request.Request(
            self._url,
            data=_encoded(content),
            headers={
                "Content-Type": "application/json",
                "User-Agent": f"microscope-quality/{__version__}",
                "Idempotency-Key": str(content["id"]),
            },
            method="POST",
        )
        try:
            with self._calls.at_most(self._seconds):
                self._opener.open(request, timeout=self._seconds).close()
        except urllib.error.HTTPError as error:
            with error:
                again = error.code in (408, 425, 429) or error.code >= 500
                after = _seconds_of(error.headers.get("Retry-After"))
                raise UndeliveredError(
                    f"{self.public} answered {_status(error.code)}", again=again, after=after
                ) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UndeliveredError(
                f"{self.public} cannot be reached: {self._why(error)}", again=True
            ) from error

    def _why(self, error: Exception) -> str:
        reason = getattr(error, "reason", None)
        if isinstance(reason, OSError):
            error = reason
        if self._calls.broken_off or isinstance(error, TimeoutError):
            return f"no answer within {self._seconds:g} s"
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        return f"its answer, or a proxy's, is not as it should be ({type(error).__name__})"


class _Calls(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Calls of web servers, one at a time, that are broken off when they take too long in all.

    What is set as a time limit for a connection is for each piece of an answer, of which a server
    can send as many as it likes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._connection: http.client.HTTPConnection | None = None
        #: Whether the last one was.
        self.broken_off = False

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._held(http.client.HTTPConnection), request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._held(http.client.HTTPSConnection), request)

    def _held(self, kind: Callable[..., http.client.HTTPConnection]) -> Any:
        def connection(*arguments: Any, **options: Any) -> http.client.HTTPConnection:
            self._connection = kind(*arguments, **options)
            return self._connection

        return connection

    @contextlib.contextmanager
    def at_most(self, seconds: float) -> Iterator[None]:
        """Give a call so long for all that it does."""
        self.broken_off = False
        done = threading.Event()
        guard = threading.Thread(target=self._guard, args=(done, seconds), daemon=True)
        guard.start()
        try:
            yield
        finally:
            done.set()
            guard.join()
            self._connection = None

    def _guard(self, done: threading.Event, seconds: float) -> None:
        # A connection that is only being made has nothing to shut down yet, so it is tried again.
        while not done.wait(seconds):
            self.broken_off = True
            line = self._connection.sock if self._connection is not None else None
            if isinstance(line, socket.socket):
                # Not by the method of an encrypted one, which would change what the other thread
                # is reading from.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(line, socket.SHUT_RDWR)
            seconds = 0.1


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> None:
        """Leave it to be reported as other refusals are, without a look at where it leads."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _status(code: int) -> str:
    """Code of an answer, and what it stands for."""
    try:
        return f"{code} {http.HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _seconds_of(text: str | None) -> float:
    """Seconds that a Retry-After asks for; one that names a date asks for none."""
    text = (text or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0.0


def _encoded(content: Mapping[str, Fact]) -> bytes:
    return json.dumps(content, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


@dataclass
class _Queue:
    channel: AlertChannel
    waiting: deque[Alert] = field(default_factory=deque)
    dropped: int = 0
    at_work: bool = False


class Alerts:
    """Alerts on their way by channels; used as a context.

    Parameters
    ----------
    channels
        Each has a thread and a queue of its own: one that is slow holds up none.
    path
        File to keep alerts in, and what became of each. None keeps none.
    said
        Called, from any thread, with sentences on what cannot be delivered.
    first_seconds, longest_seconds
        To wait until what was refused is tried again: at first, doubled each time, and at most;
        of which a random half is waited for, so that not all that watch come back at once.

    Raises
    ------
    FileError
        The file cannot be read or written.
    """

    def __init__(
        self,
        channels: Sequence[AlertChannel],
        path: Path | None = None,
        *,
        said: Callable[[str], None] = lambda _: None,
        first_seconds: float = 1.0,
        longest_seconds: float = 300.0,
    ) -> None:
        self._path = path
        self._said = said
        self._first = first_seconds
        self._longest = longest_seconds
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._queues = [_Queue(channel) for channel in channels]
        self._names = [channel.name for channel in channels]
        self._known: set[str] = set()
        #: Alerts that earlier processes raised, at most `MOST_EARLIER`, the newest one last.
        self.earlier: Sequence[Alert] = ()
        self._unkept = bytearray()
        self._refused = False
        self._log: int | None = None
        if path is not None:
            self._open(path)
        self._threads = [
            threading.Thread(target=self._serve, args=(queue,), daemon=True)
            for queue in self._queues
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Alerts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def waiting(self) -> int:
        """Alerts that were not delivered yet, by whichever channel."""
        with self._changed:
            return sum(len(queue.waiting) + queue.at_work for queue in self._queues)

    @property
    def raised(self) -> int:
        """Alerts that were raised so far, also by earlier processes."""
        return len(self._known)

    def send(self, alert: Alert) -> bool:
        """Take in an alert; False for one that is known already."""
        with self._changed:
            if alert.id in self._known:
                return False
            self._known.add(alert.id)
            self._keep({**alert.to_dict(), _CHANNELS: " ".join(self._names)})
            for queue in self._queues:
                if len(queue.waiting) < MOST_WAITING:
                    queue.waiting.append(alert)
                else:
                    queue.dropped += 1
                    self._keep({"id": alert.id, _CHANNEL: queue.channel.name, "outcome": "dropped"})
                    if queue.dropped == 1:
                        self._said(
                            f"Alerts are left out: {MOST_WAITING} wait for the {queue.channel.name}"
                        )
            self._changed.notify_all()
        return True

    def wait(self, seconds: float) -> bool:
        """Wait until all are delivered or given up; False when time was not enough."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not any(queue.waiting or queue.at_work for queue in self._queues), seconds
            )

    def close(self) -> None:
        """Stop delivering; what is left is delivered by the next process with this file."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            # A channel that takes no notice is left behind.
            thread.join(8.0)
        with self._changed:
            if self._log is not None:
                with contextlib.suppress(OSError):
                    os.close(self._log)
                self._log = None

    def _serve(self, queue: _Queue) -> None:
        failures = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: queue.waiting or self._stop.is_set())
                if self._stop.is_set():
                    return
                alert = queue.waiting.popleft()
                queue.at_work = True
                dropped, queue.dropped = queue.dropped, 0
            content = alert.to_dict()
            if dropped:
                content["left_out_before"] = dropped
            outcome, after = "delivered", 0.0
            try:
                queue.channel.deliver(content, self._stop)
                if failures:
                    self._said(f"The {queue.channel.name} works again")
                failures = 0
            except UndeliveredError as refusal:
                outcome = f"failed: {refusal}"
                if refusal.again:
                    outcome = ""
                    after = self._delay(failures, refusal.after)
                    failures += 1
                    if failures == 1:
                        self._said(f"Alert not delivered, it is tried again: {refusal}")
                else:
                    self._said(f"Alert not delivered: {refusal}")
            except Exception as error:
                outcome = f"failed: {type(error).__name__}: {error}"
                self._said(f"Alert not delivered: {type(error).__name__}: {error}")
            with self._changed:
                queue.at_work = False
                if outcome:
                    self._keep({"id": alert.id, _CHANNEL: queue.channel.name, "outcome": outcome})
                else:
                    queue.waiting.appendleft(alert)
                    queue.dropped += dropped
                self._changed.notify_all()
            self._stop.wait(after)

    def _delay(self, failures: int, asked: float) -> float:
        longest = min(self._longest, self._first * 2.0 ** min(failures, 30))
        return min(max(asked, longest * random.uniform(0.5, 1.0)), self._longest)

    # The file.

    def _open(self, path: Path) -> None:
        raised, left = _read(path)
        self._known.update(raised)
        self.earlier = list(raised.values())[-MOST_EARLIER:]
        for queue in self._queues:
            alerts = [raised[id] for id, channel in left if channel == queue.channel.name]
            queue.dropped = max(0, len(alerts) - MOST_WAITING)
            queue.waiting.extend(alerts[queue.dropped :])
        try:
            binary = getattr(os, "O_BINARY", 0)
            self._log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | binary, 0o666)
            # What a killed process left of a line is ended, so that it costs no other.
            if os.lseek(self._log, 0, os.SEEK_END):
                os.lseek(self._log, -1, os.SEEK_END)
                if os.read(self._log, 1) != b"\n":
                    os.write(self._log, b"\n")
        except OSError as error:
            raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error

    def _keep(self, entry: Mapping[str, Fact]) -> None:
        if self._log is None:
            return
        self._unkept += _encoded(entry)
        try:
            while self._unkept:
                del self._unkept[: os.write(self._log, self._unkept)]
            self._refused = False
        except OSError as error:
            # As when the disk is full; it is tried again with the next one.
            if not self._refused:
                self._said(f"{self._path}: cannot be written: {error.strerror or error}")
            self._refused = True


def _read(path: Path) -> tuple[dict[str, Alert], dict[tuple[str, str], None]]:
    """Alerts of a file, and which of them are still to leave by which channels."""
    raised: dict[str, Alert] = {}
    left: dict[tuple[str, str], None] = {}
    try:
        with path.open("rb") as stream:
            for line in stream:
                try:
                    entry = json.loads(line)
                    id = str(entry.pop("id"))
                    if "outcome" in entry:
                        left.pop((id, str(entry[_CHANNEL])), None)
                        continue
                    channels = str(entry.pop(_CHANNELS)).split()
                    raised[id] = Alert(id, str(entry.pop("time")), str(entry.pop("reason")), entry)
                    left.update(dict.fromkeys((id, channel) for channel in channels))
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    # Not whole: its process was killed in the middle of it.
                    continue
    except FileNotFoundError:
        pass
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from error
    return raised, left
