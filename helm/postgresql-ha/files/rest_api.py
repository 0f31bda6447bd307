"""Patroni's REST API: reads need nothing, orders the password that the members share."""

import base64
import http.client
import json
import os
import ssl
from pathlib import Path

PORT = 8008
AUTHORITY = Path("/secrets/tls/ca.crt")
PASSWORD = Path("/secrets/passwords/restapi_password")


class RestApi:
    """Of the member with this host name. Where there is an authority, nothing is said to anybody else.

    A status that says no is no error here: many paths speak by it. What is lost on the way raises `OSError` or
    `http.client.HTTPException`.
    """

    def __init__(self, host):
        self._host = host

    @classmethod
    def of_this_member(cls):
        return cls(os.environ["MEMBER_HOST"])

    def get(self, path):
        """Status and document, or text where it is none."""
        return self._ask("GET", path, None, {}, timeout_seconds=5)

    def order(self, method, path, document, *, timeout_seconds):
        """Status and answer."""
        password = PASSWORD.read_text(encoding="utf-8").rstrip("\n")
        credentials = base64.b64encode(f"patroni:{password}".encode()).decode()
        return self._ask(method, path, json.dumps(document), {"Authorization": f"Basic {credentials}"}, timeout_seconds)

    def _ask(self, method, path, body, headers, timeout_seconds):
        connection = self._connection(timeout_seconds)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
            is_document = response.headers.get_content_type() == "application/json"
            return response.status, json.loads(text) if is_document else text
        finally:
            connection.close()

    def _connection(self, timeout_seconds):
        if not AUTHORITY.exists():
            return http.client.HTTPConnection(self._host, PORT, timeout=timeout_seconds)
        context = ssl.create_default_context(cafile=str(AUTHORITY))
        return http.client.HTTPSConnection(self._host, PORT, timeout=timeout_seconds, context=context)
