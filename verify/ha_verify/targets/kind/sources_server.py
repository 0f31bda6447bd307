"""Serves catalogs out of its memory, and takes new ones: GET and PUT. Runs in a pod, from a ConfigMap.

It gives no Last-Modified: that has whole seconds, and of two changes within one of them the second would look as if
there was none. The ETag is of the content.
"""

import hashlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENTS: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        CONTENTS[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(204)

    def do_GET(self) -> None:
        content = CONTENTS.get(self.path)
        if self.path == "/" or content is None:
            self._answer(200 if self.path == "/" else 404)
            return
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        if self.headers["If-None-Match"] == tag:
            self._answer(304)
        else:
            self._answer(200, content, tag)

    def _answer(self, status: int, content: bytes = b"", tag: str | None = None) -> None:
        self.send_response(status)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Says nothing: what is read is seen in the catalog."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
