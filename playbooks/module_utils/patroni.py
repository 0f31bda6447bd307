"""The REST API of a member's Patroni, which fails over by itself: what it says of the member, and what it is told."""

import base64
import http.client

from ansible.module_utils.http_json import call

LOOK_SECONDS = 3


class Patroni:
    """Of one member, by its configuration file's content."""

    def __init__(self, configuration):
        api = configuration["restapi"]
        self._url = f"http://{api['connect_address']}"
        self._credentials = f"{api['authentication']['username']}:{api['authentication']['password']}"

    def status(self):
        """What it says of its member; None where it does not answer."""
        return self._look("/patroni")

    def synchronous(self):
        """The names of the replicas that may take over, as etcd has it now; nobody where it can not be asked.

        What `status` says of a replica is as old as its last look at etcd, which may have been before a failover.
        """
        members = (self._look("/cluster") or {}).get("members", [])
        return frozenset(member["name"] for member in members if member["role"] == "sync_standby")

    def leads(self):
        status = self.status() or {}
        return (status.get("role"), status.get("state")) == ("primary", "running")

    def order(self, method, path, document, *, seconds):
        """None where it was done, else why not."""
        headers = {"Authorization": f"Basic {base64.b64encode(self._credentials.encode()).decode()}"}
        try:
            status, answer = call(self._url + path, method, document, headers, seconds)
        except (OSError, http.client.HTTPException) as error:
            return f"its Patroni does not answer ({error})"
        return None if status == 200 else f"its Patroni says: {answer}"

    def _look(self, path):
        """The document; None where there is no answer, or it is none."""
        try:
            document = call(f"{self._url}{path}", timeout_seconds=LOOK_SECONDS)[1]
        except (OSError, http.client.HTTPException):
            return None
        return document if isinstance(document, dict) else None
