"""The basics, asked through the Service: replicas are ready, the catalog lists, one of them leads, writes need a token.

    acceptance.py HOST PORT REPLICAS

$AUTH_SECRET_FILE names the secret that tokens are signed with; without it writes need none.
"""

import http.client
import json
import os
import sys
import time
from pathlib import Path

PATIENCE_SECONDS = 60  # a leader may be elected, and the last replica become ready, only now
MODELS = "/api/model_catalog/v1alpha1/models?pageSize=1"
WRITE = "/api/v1/sources/helm-test-no-such-source/refresh"


class Service:
    """Reads come with a token where there is a secret: they may need one as well."""

    def __init__(self, host, port, secret):
        self._address = host, port
        self._secret = secret

    def get(self, path):
        status, document = self.ask("GET", path, {"Authorization": f"Bearer {self._token()}"} if self._secret else {})
        if status != 200:
            raise OSError(f"GET {path}: {status} {document}")
        return document

    def ask(self, method, path, headers):
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, json.load(response)
        finally:
            connection.close()

    def _token(self):
        import jwt

        return jwt.encode({"sub": "helm-test", "exp": time.time() + 300}, self._secret, algorithm="HS256")


def amiss(service, replicas, writes_need_a_token):
    """What does not hold yet; None where all does."""
    readiness = service.get("/readyz")
    if readiness["status"] != "ready":
        return f"not ready: {readiness['checks']}"
    if not isinstance(service.get(MODELS)["items"], list):
        return "the catalog does not list models"
    if writes_need_a_token and service.ask("POST", WRITE, {})[0] != 401:
        return "a write without a token is not refused"
    cluster = service.get("/api/v1/cluster")
    ready = [replica["name"] for replica in cluster["replicas"] if replica["ready"]]
    leaders = [replica["name"] for replica in cluster["replicas"] if replica["leader"]]
    if len(ready) < replicas:
        return f"{len(ready)} of {replicas} replicas are ready: {', '.join(ready)}"
    if len(leaders) != 1:
        return f"{len(leaders)} replicas lead: {', '.join(leaders)}"
    if cluster["schemaVersion"]["pending"]:
        return f"{cluster['schemaVersion']['pending']} schema versions are pending"
    print(f"ready: {', '.join(ready)}; leader: {leaders[0]}; schema {cluster['schemaVersion']['current']}")
    return None


def main():
    host, port, replicas = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    secret_file = os.environ.get("AUTH_SECRET_FILE")
    secret = Path(secret_file).read_text(encoding="utf-8").strip() if secret_file else None
    service = Service(host, port, secret)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            problem = amiss(service, replicas, writes_need_a_token=secret is not None)
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            problem = repr(error)
        if problem is None:
            return
        if time.monotonic() > give_up_at:
            sys.exit(problem)
        time.sleep(1)


main()
