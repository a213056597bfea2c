"""Find the files of a folder as they become complete; it knows nothing of what is done with them.

The folder is looked at again and again, as network drives tell nobody of a change. Nothing is
compared with the clock of the day, which may be another one where the files are written and may go
back: a file is its size, its time of change as a mere mark, and its inode, and time is how long
these have been seen to keep still.
"""

# Paths are text here: objects of them for 100,000 files at each look would take its time.
# ruff: noqa: PTH112, PTH114, PTH116, PTH118, PTH208

from __future__ import annotations

import enum
import os
import stat
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

#: Readings of a file that does not change, until its error counts; each waits twice as long as
#: the one before it.
ATTEMPTS = 6
#: Readings that are enough where nothing else is waited for, once nothing has come or changed for
#: so many times the time that a file has to keep still.
ATTEMPTS_ONCE = 3
QUIET_ONCE = 4.0
#: The longest that a file which was taken for complete too early has to keep still, in seconds.
LONGEST_STILL = 60.0

# A folder's time of change may be coarse (2 seconds on FAT): so long after a change it is listed
# at each look.
_COARSE_SECONDS = 5.0
# Finished files that are looked at each time; the others in turn.
_CLOSELY = 200
# Share of the time between two looks for the files that take turns, and seconds for new ones.
_TURN_SHARE = 0.05
_NEW_SECONDS = 0.2
# Files that may be passed over for others behind them.
_PASSED = 64
# Files between two glances at the clock.
_GLANCE = 64


class Identity(NamedTuple):
    """What a file is, as far as can be told without reading it.

    `within` stands for what is in one that is a folder, as some formats are; 0 for others.
    """

    size_bytes: int
    mtime_ns: int
    inode: int
    within: int = 0


def identity_of(path: str | os.PathLike[str]) -> Identity:
    """Look at a file.

    Raises
    ------
    OSError
        It is not there, or out of reach.
    """
    status = os.stat(path)
    within = _within(path) if stat.S_ISDIR(status.st_mode) else 0
    return Identity(status.st_size, status.st_mtime_ns, status.st_ino, within)


def _within(path: str | os.PathLike[str]) -> int:
    """Sum up the files of a folder and its sub-folders: their number, sizes and last change."""
    number = size = last = 0
    left = [os.fspath(path)]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                number, size = number + 1, size + status.st_size
                last = max(last, status.st_mtime_ns)
                if stat.S_ISDIR(status.st_mode):
                    left.append(entry.path)
    return zlib.crc32(f"{number} {size} {last}".encode())


class Before(enum.Enum):
    """What an earlier run left of a file that is as it was then."""

    NOTHING = "nothing"
    DONE = "done"
    FAILED = "failed"


class ReadOutcome(enum.Enum):
    """What becomes of a file after it was read."""

    #: Its outcome holds.
    DONE = "done"
    #: Its error holds, until it changes.
    FAILED = "failed"
    #: It is read again later: it changed meanwhile, or may yet become readable.
    AGAIN = "again"
    #: It is no longer there, and could not be read.
    GONE = "gone"


@dataclass(frozen=True)
class Found:
    """A file to read; `attempt` counts from 1, and `early` ones were there at the first look."""

    name: str
    path: Path
    identity: Identity
    attempt: int
    early: bool


class _State(enum.Enum):
    NEW = "new"
    MOVING = "moving"
    READY = "ready"
    AT_WORK = "at work"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass
class _File:
    name: str
    path: str
    early: bool
    still: float
    state: _State = _State.NEW
    identity: Identity | None = None
    since: float = 0.0
    attempts: int = 0
    due: float = 0.0
    finished: float = 0.0
    new_inodes: int = 0


@dataclass
class _Folder:
    name: str
    path: str
    stamp: tuple[int, int] | None = None
    changed: float = 0.0
    entries: set[str] = field(default_factory=set)


class Watcher:
    """Files in a folder and its sub-folders, each given when it seems to be complete.

    A file is complete when it has kept still for a while and can then be read; the latter is for
    the caller to find out, who tells it by `finish`.

    Parameters
    ----------
    folder
        It may be out of reach for a while; meanwhile nothing is forgotten.
    wanted
        Whether a name is that of a file to give. What is not and is a folder is searched, by its
        real place once only, so that a circle of links ends.
    ignored
        Whether to leave out a file or folder, by its name from the folder on and the names beside
        it.
    exclude
        A folder in it that is not searched, by its real place.
    before
        What is known already of a file, by its name, size in bytes and time of change in
        nanoseconds.
    still_seconds
        How long a file has to keep still.
    once
        Whether it is looked at only until nothing changes: one that cannot be read is not waited
        for as long then, where nothing in the folder comes or changes any more.
    clock
        Seconds that never go back.
    """

    def __init__(
        self,
        folder: Path,
        *,
        wanted: Callable[[str], bool],
        ignored: Callable[[str, Collection[str]], bool] = lambda *_: False,
        exclude: Path | None = None,
        before: Callable[[str, int, int], Before] = lambda *_: Before.NOTHING,
        still_seconds: float = 1.0,
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = os.fspath(folder)
        self._wanted = wanted
        self._ignored = ignored
        self._exclude = None if exclude is None else os.path.realpath(exclude)
        self._before = before
        self._still = still_seconds
        self._once = once
        self._clock = clock
        # When a file last came or changed.
        self._changed = -float("inf")
        self._folders: dict[str, _Folder] = {}
        self._entered: dict[str, str] = {}
        self._files: dict[str, _File] = {}
        # Names, by what is to be done with them.
        self._new: deque[str] = deque()
        self._new_early: deque[str] = deque()
        self._moving: dict[str, None] = {}
        self._ready: deque[str] = deque()
        self._early: deque[str] = deque()
        self._reading: dict[str, None] = {}
        self._n_reading = 0
        self._closely: dict[str, None] = {}
        self._failed: dict[str, None] = {}
        self._by_state = (self._moving, self._reading, self._closely, self._failed)
        self._turn: deque[str] = deque()
        self._turn_began = -float("inf")
        self._looked = False
        self._lost = False
        self._trust_inodes = True
        self._troubles: dict[str, str] = {}
        self._notices: list[str] = []

    # What it tells.

    @property
    def lost(self) -> bool:
        """Whether the folder is out of reach."""
        return self._lost

    @property
    def waiting(self) -> int:
        """Files that are not complete yet, or wait for their turn."""
        queues = (self._new, self._new_early, self._moving, self._ready, self._early)
        return sum(map(len, queues))

    @property
    def settled(self) -> bool:
        """Whether nothing is to be expected unless something changes."""
        return (
            self._looked
            and not (self._lost or self._new or self._new_early)
            and not (self._ready or self._early or self._n_reading)
            and all(self._files[name].identity is None for name in self._moving)
        )

    def expects(self, name: str) -> bool:
        """Whether a file is to be read; any may be, as long as some were not even looked at."""
        if not self._looked or self._lost or self._new or self._new_early:
            return True
        file = self._files.get(name)
        if file is None or file.identity is None:
            return False
        return file.state in (_State.MOVING, _State.READY, _State.AT_WORK)

    def has(self, name: str) -> bool:
        """Whether a file was there when it was last looked."""
        return name in self._files

    @property
    def dangling(self) -> list[str]:
        """Links to what is not there."""
        names = (name for name in self._moving if self._files[name].identity is None)
        return [name for name in names if os.path.islink(self._files[name].path)]

    def notices(self) -> list[str]:
        """Sentences on what went wrong or right again with folders since they were last asked."""
        notices, self._notices = self._notices, []
        return notices

    # What goes on in the folder.

    def look(self) -> None:
        """Look at the folder once."""
        now = self._clock()
        if not self._reach_root(now):
            return
        self._visit(list(self._folders.values()), now)
        self._looked = True
        for name in [*self._moving, *self._reading, *self._failed, *self._closely]:
            self._glance(name)
        self._greet()
        self._take_turns(now)

    def _reach_root(self, now: float) -> bool:
        try:
            with os.scandir(self._root) as entries:
                next(entries, None)
        except OSError as error:
            if not self._lost:
                self._lost = True
                reason = error.strerror or error
                self._notices.append(f"{self._root}: cannot be reached ({reason}); waiting for it")
            return False
        if self._lost:
            self._lost = False
            self._notices.append(f"{self._root}: is there again")
            # A drive that comes back may have given all its files other inodes: what is known of
            # them decides what is new.
            at_work = {
                name: file for name, file in self._files.items() if file.state is _State.AT_WORK
            }
            for queue in (self._new, self._new_early, self._ready, self._early):
                queue.clear()
            for names in (self._moving, self._closely, self._failed):
                names.clear()
            self._folders.clear()
            self._entered.clear()
            self._files = at_work
            self._troubles.clear()
        if not self._folders:
            self._entered[os.path.realpath(self._root)] = ""
            self._folders[""] = _Folder("", self._root)
        return True

    def _visit(self, folders: Iterable[_Folder], now: float, *, list_all: bool = False) -> None:
        """List folders that may have changed, and what is new in them."""
        left = deque(folders)
        while left:
            folder = left.popleft()
            if self._folders.get(folder.name) is not folder:
                continue
            try:
                status = os.stat(folder.path)
                stamp = status.st_mtime_ns, status.st_ino
                if stamp != folder.stamp:
                    folder.changed = now
                elif not list_all and now - folder.changed > _COARSE_SECONDS:
                    continue
                names = set(os.listdir(folder.path))
            except (FileNotFoundError, NotADirectoryError):
                self._drop(folder.name)
                continue
            except OSError as error:
                self._trouble(folder.path, error)
                continue
            if self._troubles.pop(folder.path, None):
                self._notices.append(f"{folder.path}: can be read again")
            folder.stamp = stamp
            for name in folder.entries - names:
                self._drop(_joined(folder.name, name))
            for name in sorted(names - folder.entries):
                if not self._ignored(_joined(folder.name, name), names):
                    left.extend(self._meet(folder, name))
            folder.entries = names

    def _meet(self, folder: _Folder, name: str) -> list[_Folder]:
        """Take in a name that has not been there; gives the folder that it is, if it is one."""
        whole, path = _joined(folder.name, name), os.path.join(folder.path, name)
        if self._wanted(name):
            if whole not in self._files:
                early = not self._looked
                self._files[whole] = _File(whole, path, early, self._still)
                (self._new_early if early else self._new).append(whole)
            return []
        if not os.path.isdir(path):
            return []
        real = os.path.realpath(path)
        if real == self._exclude or (os.path.islink(path) and self._has_own_place(real)):
            return []
        if self._entered.setdefault(real, whole) != whole:
            return []
        self._folders[whole] = _Folder(whole, path)
        return [self._folders[whole]]

    def _has_own_place(self, real: str) -> bool:
        """Whether a folder is found without the link that leads to it."""
        root = os.path.realpath(self._root)
        if os.path.commonpath([root, real]) != root:
            return False
        between = Path(real).relative_to(root).parts
        names = ("/".join(between[: k + 1]) for k in range(len(between)))
        return not any(self._ignored(name, ()) for name in names)

    def _drop(self, name: str) -> None:
        """Forget what is no longer there: a file, or a folder and what was in it."""
        left = [name]
        while left:
            name = left.pop()
            file = self._files.pop(name, None)
            if file is not None:
                for names in self._by_state:
                    names.pop(name, None)
            folder = self._folders.get(name)
            # The topmost one is only out of reach.
            if folder is None or name == "":
                continue
            del self._folders[name]
            self._entered = {real: of for real, of in self._entered.items() if of != name}
            self._troubles.pop(folder.path, None)
            left += [_joined(name, inner) for inner in folder.entries]
            above, _, last = name.rpartition("/")
            if above in self._folders:
                self._folders[above].entries.discard(last)

    def _trouble(self, path: str, error: OSError) -> None:
        reason = str(error.strerror or error)
        if self._troubles.get(path) != reason:
            self._troubles[path] = reason
            self._notices.append(f"{path}: cannot be read ({reason}); what is in it is left out")

    # What becomes of files.

    def _greet(self) -> None:
        """Look at files for the first time, as many as there is time for."""
        until = self._clock() + _NEW_SECONDS
        for queue in (self._new, self._new_early):
            for count in range(1, len(queue) + 1):
                name = queue.popleft()
                if name in self._files and self._files[name].state is _State.NEW:
                    self._glance(name)
                if count % _GLANCE == 0 and self._clock() > until:
                    return

    def _take_turns(self, now: float) -> None:
        """Look again at files and folders that have long been still, some at each look."""
        if not self._turn:
            if now - self._turn_began < 2 * self._still:
                return
            self._turn_began = now
            self._turn.extend(f"{name}/" for name in self._folders)
            self._turn.extend(self._files)
        until = self._clock() + _TURN_SHARE * self.pause_seconds
        for count in range(1, len(self._turn) + 1):
            name = self._turn.popleft()
            if name.endswith("/"):
                folder = self._folders.get(name[:-1])
                if folder is not None:
                    self._visit([folder], now, list_all=True)
            else:
                self._glance(name)
            if count % _GLANCE == 0 and self._clock() > until:
                return

    @property
    def pause_seconds(self) -> float:
        """Time from one look to the next; a file's stillness spans some looks."""
        return self._still / 4

    def _glance(self, name: str) -> None:
        """Look at a file, and find out whether it changed."""
        file = self._files.get(name)
        if file is None:
            return
        # Not the time at which the look began: a file keeps still from when it was seen.
        now = self._clock()
        seen = self._seen(file)
        if file.state is _State.NEW:
            self._first_seen(file, seen, now)
        elif seen is not None and self._differs(file, seen):
            self._change(file, seen, now)
        elif (
            file.state is _State.MOVING
            and seen is not None
            and now >= max(file.due, file.since + file.still)
        ):
            self._set(file, _State.READY)

    def _seen(self, file: _File) -> Identity | None:
        try:
            return identity_of(file.path)
        except OSError:
            # Gone, which the listing of its folder will tell; or a link to nothing.
            return None

    def _first_seen(self, file: _File, seen: Identity | None, now: float) -> None:
        file.identity, file.since = seen, now
        if not file.early:
            self._changed = now
        known = Before.NOTHING
        if seen is not None:
            known = self._before(file.name, seen.size_bytes, seen.mtime_ns)
        if known is Before.DONE:
            self._set(file, _State.FINISHED)
            return
        if known is Before.FAILED:
            file.attempts = ATTEMPTS - 1
        # Of a full folder, none is looked at again before its turn comes.
        self._set(file, _State.READY if file.early and seen is not None else _State.MOVING)

    def _differs(self, file: _File, seen: Identity) -> bool:
        known = file.identity
        if known is None or seen[:2] != known[:2] or seen.within != known.within:
            return True
        if seen.inode == known.inode or not self._trust_inodes:
            return False
        # Another file was put in its place; but some network drives number theirs anew at will.
        file.new_inodes += 1
        if file.new_inodes > 1:
            self._trust_inodes = False
        return self._trust_inodes

    def _change(self, file: _File, seen: Identity, now: float) -> None:
        if file.finished:
            # It was taken for complete and was not: such a file is given more time.
            soon = now - file.finished < 10 * file.still
            file.still = (
                min(2 * file.still, max(LONGEST_STILL, self._still)) if soon else self._still
            )
            file.finished = 0.0
        self._changed = now
        file.identity, file.since = seen, now
        file.attempts, file.due, file.early = 0, 0.0, False
        if file.state is not _State.AT_WORK:
            self._set(file, _State.MOVING)

    def _set(self, file: _File, state: _State) -> None:
        for names in self._by_state:
            names.pop(file.name, None)
        file.state = state
        if state is _State.MOVING:
            self._moving[file.name] = None
        elif state is _State.READY:
            (self._early if file.early else self._ready).append(file.name)
        elif state is _State.AT_WORK:
            self._reading[file.name] = None
        elif state in (_State.FINISHED, _State.FAILED):
            names = self._closely if state is _State.FINISHED else self._failed
            names[file.name] = None
            if len(names) > _CLOSELY:
                del names[next(iter(names))]

    # What its caller does with them.

    def take(self, most: int, fits: Callable[[int], bool] = lambda _: True) -> list[Found]:
        """Give files to read, those that have just come before those of old.

        Parameters
        ----------
        most
            How many at most.
        fits
            Whether a file of so many bytes may be given now; others are passed over.
        """
        given: list[Found] = []
        for queue in (self._ready, self._early):
            passed: list[str] = []
            while queue and len(given) < most and len(passed) < _PASSED:
                name = queue[0]
                file = self._files.get(name)
                if file is None or file.state is not _State.READY or file.identity is None:
                    queue.popleft()
                elif not fits(file.identity.size_bytes):
                    passed.append(queue.popleft())
                elif self._clock() - file.since < file.still:
                    # Those behind it were seen later.
                    break
                else:
                    queue.popleft()
                    found = self._hand_out(file)
                    given += [found] if found is not None else []
            queue.extendleft(reversed(passed))
        return given

    def _hand_out(self, file: _File) -> Found | None:
        seen = self._seen(file)
        if seen is None or self._differs(file, seen):
            self._set(file, _State.MOVING)
            if seen is not None:
                self._change(file, seen, self._clock())
            return None
        file.identity = seen
        file.attempts += 1
        early, file.early = file.early, False
        self._n_reading += 1
        self._set(file, _State.AT_WORK)
        return Found(file.name, Path(file.path), seen, file.attempts, early)

    def finish(
        self,
        found: Found,
        after: Identity | None,
        failed: bool,
        *,
        for_good: bool = False,
    ) -> ReadOutcome:
        """Say how the reading of a file ended.

        Parameters
        ----------
        found
            As it was given.
        after
            What the file was after it was read; None for one that was not there.
        failed
            Whether it could not be read.
        for_good
            Whether it would fail again, unless it changes.
        """
        now = self._clock()
        self._n_reading -= 1
        file = self._files.get(found.name)
        if file is None or file.state is not _State.AT_WORK:
            # Deleted meanwhile, and perhaps written anew: that one comes by itself.
            return ReadOutcome.GONE if failed or after != found.identity else ReadOutcome.DONE
        if after is not None and file.identity == found.identity and self._differs(file, after):
            self._change(file, after, now)
        if file.identity != found.identity or after is None:
            self._set(file, _State.MOVING)
            return ReadOutcome.AGAIN
        if failed and not for_good and file.attempts < self._enough(file, now):
            file.due = now + self._still * 2 ** (file.attempts - 1)
            self._set(file, _State.MOVING)
            return ReadOutcome.AGAIN
        if failed:
            self._set(file, _State.FAILED)
            return ReadOutcome.FAILED
        file.finished = now
        self._set(file, _State.FINISHED)
        return ReadOutcome.DONE

    def _enough(self, file: _File, now: float) -> int:
        """Tell how many readings of a file that cannot be read are enough."""
        quiet_since = max(self._changed, file.since)
        is_quiet = now - quiet_since >= QUIET_ONCE * self._still
        return ATTEMPTS_ONCE if self._once and is_quiet else ATTEMPTS


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
