"""Libraries that the orchestrator's process never loads, although others would have it do so.

Imported before everything else. They are optional for those who ask for them:

* pandas: DuckDB looks for it at its first statement with a parameter, which would cost every start
  half a second and 80 MB for nothing, since no data frame ever comes this way.
* rich: structlog loads it to colour a terminal that is not there, for 4 MB.
"""

from __future__ import annotations

import sys

for _name in ("pandas", "rich"):
    sys.modules[_name] = None  # type: ignore[assignment]  # how Python spells "not to be imported"
