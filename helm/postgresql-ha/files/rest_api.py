"""Patroni's REST API: reads need nothing, orders the password that the members share."""

import base64
import json
import os
import ssl
import urllib.error
import urllib.request
from pathlib import Path

AUTHORITY = Path("/secrets/tls/ca.crt")
PASSWORD = Path("/secrets/passwords/restapi_password")


class RestApi:
    """Of the member with this host name. Where there is an authority, nothing is said to anybody else."""

    def __init__(self, host):
        tls = AUTHORITY.exists()
        self._context = ssl.create_default_context(cafile=str(AUTHORITY)) if tls else None
        self._base = f"{'https' if tls else 'http'}://{host}:8008"

    @classmethod
    def of_this_member(cls):
        return cls(os.environ["MEMBER_HOST"])

    def get(self, path):
        """Status and document. A status that says no is no error here: many paths speak by it. Raises OSError."""
        return self._ask(urllib.request.Request(self._base + path), timeout_seconds=5)

    def order(self, method, path, document, *, timeout_seconds):
        """Status and answer, as text. Raises OSError."""
        password = PASSWORD.read_text(encoding="utf-8").rstrip("\n")
        credentials = base64.b64encode(f"patroni:{password}".encode()).decode()
        request = urllib.request.Request(
            self._base + path,
            data=json.dumps(document).encode(),
            headers={"Authorization": f"Basic {credentials}"},
            method=method,
        )
        return self._ask(request, timeout_seconds)

    def _ask(self, request, timeout_seconds):
        try:
            with urllib.request.urlopen(request, timeout=timeout_seconds, context=self._context) as response:
                return response.status, _document(response)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, _document(refusal)


def _document(response):
    text = response.read().decode()
    return json.loads(text) if response.headers.get_content_type() == "application/json" else text
