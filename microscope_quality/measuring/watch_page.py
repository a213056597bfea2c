"""The page of a watch: what its measure and its events say, as cards, counts and alerts."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from microscope_quality.batch.alerts import Alert
from microscope_quality.batch.run_record import now
from microscope_quality.batch.status_page import Board, Card, StatusPage
from microscope_quality.measuring import watch_events as events
from microscope_quality.measuring.measure import Measure
from microscope_quality.measuring.watch import Watch
from microscope_quality.statuses import ERROR

# Results of an earlier run that the page shows at first, and alerts that it lists.
_EARLIER_CARDS = 12
_LISTED_ALERTS = 8
# Characters of the name of a stack that waits.
_STACK_NAME = 60


class WatchPage(StatusPage):
    """Serves a page that shows how a watch goes; used as a context around the watch's.

    Parameters
    ----------
    watch : Watch
        It is not entered yet: where the page cannot be served, nothing is to be left in a folder.
    address : (str, int)
        Host and port, as `local_server.address_of` gives them.

    Raises
    ------
    FileError
        It cannot be served there.
    """

    def __init__(self, watch: Watch, address: tuple[str, int]) -> None:
        measure, folder = watch.settings.measure, watch.where.folder
        self._watch = watch
        self._board = Board(
            folder.name or str(folder),
            measure.all_statuses,
            noun=measure.noun,
            scale=_scale(measure),
        )
        super().__init__(self._board, *address)
        self._alerts: deque[Alert] = deque(maxlen=_LISTED_ALERTS)
        self._alert_number = 0
        # Of earlier alerts, by what they are of.
        self._reasons: Mapping[object, str] = {}
        # Images on the page that have no picture yet.
        self._without: set[str] = set()
        watch.attach(self._hear)

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.FileMeasured):
            self._without.discard(event.name)
            if event.picture is None:
                self._without.add(event.name)
            self._board.count(self._watch.status.counts)
            self._board.show(self._card(event, now()), instead_of=event.files)
        elif isinstance(event, events.AlertRaised):
            self._alerts.appendleft(event.alert)
            self._alert_number += 1
            self._board.change(event.name, alert=event.alert.reason)
        elif isinstance(event, events.PictureDrawn):
            if event.name in self._without:
                self._without.discard(event.name)
                self._board.change(event.name, picture=event.picture)
        elif isinstance(event, events.EarlierAlerts):
            self._alerts.extendleft(event.alerts)
            self._alert_number = event.number
            self._reasons = {
                (one.facts.get("stack") or one.facts.get("file"), one.facts.get("modified")): (
                    one.reason
                )
                for one in event.alerts
            }
        elif isinstance(event, events.WatchStatus):
            if event.state == "starting":
                self._show_earlier()
            self._show(event)

    def _show(self, status: events.WatchStatus) -> None:
        unreadable = status.unreadable_text()
        self._board.count(status.counts)
        self._board.beat(
            waiting=status.waiting,
            stacks=status.stacks_text(_STACK_NAME),
            at_work=status.at_work,
            retried=unreadable and f"Tried again: {unreadable}",
            alert_number=self._alert_number,
            alerts=[{"time": alert.time, "reason": alert.reason} for alert in self._alerts],
            trouble=" · ".join(status.troubles),
            ending=status.state in ("ending", "ended"),
        )

    def _show_earlier(self) -> None:
        """Show what an earlier run left; the pictures come when there is time for them."""
        images = self._watch.earlier(_EARLIER_CARDS)
        for file in images:
            modified = file.verdict.row["modified"]
            # Browsers differ in what they make of nanoseconds.
            at = f"{modified[:19]}Z" if modified.endswith("Z") else ""
            reason = self._reasons.get((file.name, modified), "")
            card = replace(self._card(file, at), alert=reason, old=file.verdict.status is not ERROR)
            self._board.show(card, new=False)
        self._without.update(file.name for file in images)
        self._watch.draw(reversed(images))

    def _card(self, file: events.FileMeasured, time: str) -> Card:
        verdict = file.verdict
        measure, row, status = verdict.measure, verdict.row, verdict.status
        details = [file.was and f"was {file.was}", verdict.in_words(), verdict.fault]
        if status.is_blank:
            details.append(row["message"])
        groups = (f"{group} {value}" for group, value in verdict.groups.items())
        return Card(
            name=file.name,
            time=time,
            kind=status.key,
            title=measure.short(row),
            colour=measure.colour(row),
            detail=" · ".join(filter(None, [*details, *measure.details(row)])),
            picture=file.picture,
            more=" · ".join(groups),
        )


def _scale(measure: Measure) -> tuple[str, Sequence[str], str]:
    """Give the colours of a measure, and what both ends are; none that depend on what comes."""
    scale, noun = measure.scale, measure.noun
    if scale.low is None or scale.high is None:
        return "", (), ""
    return f"{noun} {scale.low:g}, {scale.ends[0]}", scale.colours, f"{noun} {scale.high:g}"
