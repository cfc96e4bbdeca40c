"""DuckDB's driver does not look for pandas with every value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ASK = """
import sys
from pathlib import Path
import mysticanvas.orchestrator.lean
from mysticanvas.home import HomePaths
from mysticanvas.store import Store

class Watch:
    asked = 0
    def find_spec(self, name, path=None, target=None):
        Watch.asked += name == "pandas"

with Store.open(HomePaths.of(Path(sys.argv[1]))) as store:
    assert sys.modules["pandas"] is None
    # From here on an import would be seen, where one that is forbidden fails at once.
    del sys.modules["pandas"]
    sys.meta_path.insert(0, Watch())
    rows = store.database.read("SELECT $a AS a, $b AS b", a=[1, 2, 3], b="text")
    assert rows == [{"a": [1, 2, 3], "b": "text"}]
    print(Watch.asked)
"""


def test_pandas_is_not_looked_for_where_it_is_forbidden(tmp_path: Path) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", _ASK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert asked.stdout.split()[-1] == "0"
