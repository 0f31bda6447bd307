"""The server of the verification's own sources, as it runs in a pod."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from threading import Thread

import pytest

from ha_verify.targets.kind.sources_server import CONTENTS, Handler


@pytest.fixture
def url() -> Iterator[str]:
    CONTENTS.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/verify-1.yaml"
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url: str, method: str = "GET", data: bytes | None = None, tag: str = "") -> tuple[int, bytes, str]:
    request = urllib.request.Request(url, data=data, method=method, headers={"If-None-Match": tag} if tag else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), answer.headers.get("ETag", "")
    except urllib.error.HTTPError as error:
        return error.code, error.read(), ""


def test_what_was_put_is_got(url: str) -> None:
    assert ask(url)[0] == 404
    assert ask(url, "PUT", b"models: []")[0] == 204
    assert ask(url)[:2] == (200, b"models: []")


def test_a_change_within_a_second_is_seen_and_no_change_is_not_sent_again(url: str) -> None:
    ask(url, "PUT", b"first")
    _, _, tag = ask(url)
    assert ask(url, tag=tag)[:2] == (304, b"")
    ask(url, "PUT", b"other")
    assert ask(url, tag=tag)[:2] == (200, b"other")
