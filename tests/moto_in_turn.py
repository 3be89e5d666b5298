"""moto's S3 server with one request at a time: ``python tests/moto_in_turn.py PORT``.

moto answers requests in threads, yet closes the buffer of an object that is written over while the thread that wrote
it still takes its checksum, and answers 500 (moto 5.2.5, four writers of one key: 357 of some 5,600 requests).
Bodies are read before their turn, so that a client that stalls holds up nobody else.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import run_simple
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_app = DomainDispatcherApplication(create_backend_app)
_turn = threading.Lock()


def in_turn(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    body = get_input_stream(environ).read()
    environ |= {"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True}
    with _turn:
        return list(_app(environ, start_response))


if __name__ == "__main__":
    run_simple("127.0.0.1", int(sys.argv[1]), in_turn, threaded=True, request_handler=MotoRequestHandler)
