"""What cards do not have, fetched for a whole page at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mysticanvas.contracts.ids import short
from mysticanvas.errors import NotFound

if TYPE_CHECKING:
    from mysticanvas.contracts.images import ImageRecord
    from mysticanvas.session.connection import Connection


class Details:
    """The whole records of some pictures; shared by them, and thread-safe.

    Whoever asks for the recipe of one picture of a page usually asks for the others' next.

    Args:
        image_ids: the pictures, in the order of the page.
    """

    def __init__(self, image_ids: Sequence[str], connection: Connection) -> None:
        self._ids = list(image_ids)
        self._connection = connection
        self._lock = threading.Lock()
        self._records: dict[str, ImageRecord] = {}

    def of(self, image_id: str) -> ImageRecord:
        """The whole record of one of the pictures; the first call asks the orchestrator.

        Raises:
            NotFound: it is no longer in the store.
        """
        with self._lock:
            if image_id not in self._records:
                self._fetch(image_id)
            found = self._records.get(image_id)
        if found is None:
            raise NotFound(
                f"There is no image {short(image_id)} any more.",
                hint="It was deleted after this page was made.",
            )
        return found

    def _fetch(self, image_id: str) -> None:
        """As many neighbours as one request may ask for come with it."""
        from mysticanvas.contracts.filters import MAX_IDS

        start = self._ids.index(image_id) // MAX_IDS * MAX_IDS
        wanted = self._ids[start : start + MAX_IDS]
        found = self._connection.call(lambda api: api.image_details(wanted))
        self._records |= {record.id: record for record in found}
