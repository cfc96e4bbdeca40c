"""The HTTP shell that orchestrator and workers share.

Every process answers errors in one shape, lets in only whoever has its token, and puts the id of
the request on every log line. `create_app` puts it all together:

    connections  what one may take before it is let in
    gate         whom to let in, by the headers alone
    body         how much of a body is read, and how deep it may nest
    shell        the middleware that carries out both
    seldom       what anybody may cause is logged once a second
    problems     what is answered when something is wrong
    openapi      the document that says so
    server       uvicorn, as we run it

`hung_up` tells a route whether its client is still there.
"""

from mysticanvas.web.app import create_app
from mysticanvas.web.connections import Limits
from mysticanvas.web.hanging_up import hung_up
from mysticanvas.web.server import Server
from mysticanvas.web.shell import Visits

__all__ = ["Limits", "Server", "Visits", "create_app", "hung_up"]
