"""Alerts of a watch: which of its images somebody is told of, and what they are told."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import queue
from collections.abc import Sequence

from microscope_quality.batch.alerts import ALERTS, Alert, AlertChannel, Alerts
from microscope_quality.batch.run_record import now
from microscope_quality.files.tables import GROUPS, as_number, as_stored
from microscope_quality.measuring import watch_events as events
from microscope_quality.measuring.file_verdicts import Threshold
from microscope_quality.measuring.watch import Watch

# At the end of a watch that nobody stopped, for alerts on their way.
_LAST_SECONDS = 30.0


class WatchAlerts(Alerts):
    """Raises an alert for each bad image of a watch, once; used as a context within the watch's.

    An image is a file, or a z-stack in several files, of which a further alert is raised if more of
    it comes and makes it bad, or bad in another way.

    Parameters
    ----------
    watch : Watch
        It is entered already, since alerts are kept beside its tables.
    threshold : Threshold
        What is bad.
    channels : sequence of AlertChannel
        By which alerts leave.
    after : int
        Bad images in a row that raise one alert; then there is none until one is good.

    Raises
    ------
    SettingsError
        Nothing can be as bad as the threshold says.
    FileError
        The file of alerts cannot be read or written.
    """

    def __init__(
        self,
        watch: Watch,
        threshold: Threshold,
        channels: Sequence[AlertChannel] = (),
        after: int = 1,
    ) -> None:
        threshold.check(watch.settings.measure)
        self._watch = watch
        self._threshold = threshold
        self._after = after
        self._in_a_row = 0
        # What other threads say of alerts that are not delivered.
        self._sentences: queue.SimpleQueue[str] = queue.SimpleQueue()
        super().__init__(channels, watch.where.out / ALERTS, said=self._sentences.put)
        watch.attach(self._hear)
        watch.tell(events.EarlierAlerts(self.earlier, self.raised))

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.FileMeasured):
            alert = self._alert(event)
            if alert is not None and self.send(alert):
                self._watch.tell(events.AlertRaised(event.name, alert))
        elif isinstance(event, events.WatchStatus) and event.state != "starting":
            if event.state == "ended" and not event.stopped:
                self.wait(_LAST_SECONDS)
            with contextlib.suppress(queue.Empty):
                while True:
                    self._watch.tell(events.Notice(self._sentences.get_nowait()))

    def _alert(self, file: events.FileMeasured) -> Alert | None:
        """Give the alert that an image raises, if there is one to raise."""
        verdict, row, after = file.verdict, file.verdict.row, self._after
        reason, before = self._threshold.reason(file.name, verdict), file.before
        if reason and before is not None and self._threshold.reason(file.name, before):
            lacked, lacks = before.failed is not None, verdict.failed is not None
            if (before.status, lacked) == (verdict.status, lacks):
                return None
        self._in_a_row = self._in_a_row + 1 if reason else 0
        if not reason or (after > 1 and self._in_a_row != after):
            return None
        if after > 1:
            reason = f"{after} images in a row are bad; {reason}"
        where, settings = self._watch.where, self._watch.settings
        limit, statuses = self._threshold.limit, sorted(self._threshold.statuses)
        file_as_it_was = [settings.id, file.name, row["size_bytes"], row["modified"]]
        if before is not None:
            # The same plane may speak for it again after others did.
            file_as_it_was += [str(verdict.planes), before.row["modified"]]
        of_what = json.dumps([*file_as_it_was, limit, statuses, after, verdict.error])
        measure = settings.measure
        numbers = {name: as_number(row[name]) for name in measure.told}
        if measure.noun in numbers:
            # What bears the name of the judged number is that one, as in the reason.
            numbers[measure.noun] = as_number(row[measure.value])
        facts = {
            "folder": str(where.folder.absolute()),
            "file": verdict.plane.name,
            "path": as_stored(str(file.path.absolute())),
            "status": verdict.status.key,
            **{name: None if math.isnan(n) else round(n, 6) for name, n in numbers.items()},
            **{name: text for name, text in zip(measure.causes, measure.remedy(row)) if name},
            **vars(verdict.plane.place),
            **{name: row[name] for name in GROUPS},
            "planes": verdict.planes,
            "stack": file.name if file.name != verdict.plane.name else "",
            "in_a_row": self._in_a_row,
            "error": verdict.error,
            "size_bytes": int(row["size_bytes"] or 0),
            "modified": row["modified"],
        }
        return Alert(hashlib.sha256(of_what.encode()).hexdigest()[:32], now(), reason, facts)
