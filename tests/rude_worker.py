"""A worker process of the standard library alone, which says and does what its environment names.

It is run as `python -m rude_worker`. `RUDE_ANSWERS` is a JSON object: a call, such as
"POST /v1/unload", and the document that it is answered with, or one of `close`, `garble`, `refuse`
and `hang`. All other calls are answered with its health.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mysticanvas import processes

ANSWERS: dict[str, Any] = json.loads(os.environ["RUDE_ANSWERS"])
HEALTH = {
    "process": "worker",
    "kind": "rude",
    "state": "ready",
    "version": "0",
    "pid": os.getpid(),
    "uptime_s": 1.0,
    "memory_mib": 0.0,
}
REFUSAL = {"code": "conflict", "title": "Conflict", "status": 409, "detail": "It will not."}


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        said = ANSWERS.get(f"{self.command} {self.path}", HEALTH)
        if said == "hang":
            time.sleep(3600)
        if said == "close":
            self.close_connection = True
            return
        status = 409 if said == "refuse" else 200
        body = {"refuse": json.dumps(REFUSAL), "garble": "<html>"}.get(str(said), json.dumps(said))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of the base class

    def log_message(self, *_: object) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ready-fd", type=int)
    parser.add_argument("--parent-pid", type=int)
    given = parser.parse_args()
    processes.join_parent(given.parent_pid)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    url = f"http://127.0.0.1:{server.server_port}"
    processes.report_ready(given.ready_fd, {"url": url})


if __name__ == "__main__":
    main()
