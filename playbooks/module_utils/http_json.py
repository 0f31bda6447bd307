"""Asks servers on this machine for documents."""

import json
import urllib.error
import urllib.request

TIMEOUT_SECONDS = 10


def call(url, method="GET", document=None, headers=None, timeout_seconds=TIMEOUT_SECONDS):
    """Status and answer: a document, or text where it is none.

    A status that says no is no error here. What is lost on the way raises `OSError`.
    """
    body = None if document is None else json.dumps(document).encode()
    headers = {"Content-Type": "application/json"} | (headers or {})
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:  # noqa: S310
            return response.status, _read(response)
    except urllib.error.HTTPError as response:
        with response:
            return response.code, _read(response)


def _read(response):
    text = response.read().decode(errors="replace")
    try:
        return json.loads(text)
    except ValueError:
        return text
