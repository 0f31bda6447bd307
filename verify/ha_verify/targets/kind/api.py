"""The Kubernetes API by plain REST, through one `kubectl proxy` on 127.0.0.1."""

import asyncio
import atexit
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from ha_verify.targets.kind.commands import find, start
from ha_verify.targets.target import NotPossible

CALL_SECONDS = 5.0
FIELD_MANAGER = "ha-verify"


class ApiRefusal(NotPossible):
    """The API answered, but not with what was asked for. `status` is that of HTTP; 0 where there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Api:
    """Every call has a connection of its own and a time limit, so that it may be used from any event loop.

    Raises `ApiRefusal`.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._proxy: subprocess.Popen[str] | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Of the proxy, which is started where it does not run. It lets everybody on this machine in, until `close`."""
        if self._proxy is None or self._proxy.poll() is not None:
            self._start()
        return self._url

    def _start(self) -> None:
        if not self.kubeconfig.exists():
            raise NotPossible(f"{self.kubeconfig} is missing: make the cluster first (make kind)")
        command = [str(find("kubectl")), "--kubeconfig", str(self.kubeconfig), "proxy", "--port=0"]
        self._proxy = start(command)
        atexit.register(self.close)
        assert self._proxy.stdout is not None
        said = self._proxy.stdout.readline().strip()  # Starting to serve on 127.0.0.1:43211
        if "127.0.0.1:" not in said:
            self.close()
            raise NotPossible(f"kubectl proxy did not start: {said}")
        self._url = f"http://{said.rsplit(' ', 1)[-1]}"

    def close(self) -> None:
        """Ends the proxy; a later call starts another one."""
        proxy, self._proxy = self._proxy, None
        atexit.unregister(self.close)
        if proxy is not None:
            proxy.terminate()
            proxy.wait()
            if proxy.stdout is not None:
                proxy.stdout.close()

    async def get(self, path: str, *, seconds: float = CALL_SECONDS) -> dict[str, Any]:
        return await self._call("GET", path, seconds=seconds)

    async def find(self, path: str) -> dict[str, Any] | None:
        """None where there is no such object."""
        try:
            return await self.get(path)
        except ApiRefusal as error:
            if error.status == 404:
                return None
            raise

    async def post(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        return await self._call("POST", path, document)

    async def merge(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Changes what the document names, None taking a field away."""
        return await self._call("PATCH", path, document, "application/merge-patch+json")

    async def apply(self, path: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """Makes the object, or makes it so."""
        apply = f"{path}?fieldManager={FIELD_MANAGER}&force=true"
        return await self._call("PATCH", apply, document, "application/apply-patch+yaml")

    async def delete(self, path: str, *, grace_seconds: int | None = None) -> None:
        """Nothing happens where there is no such object."""
        options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            await self._call("DELETE", path, options)
        except ApiRefusal as error:
            if error.status != 404:
                raise

    async def _call(
        self,
        method: str,
        path: str,
        document: Mapping[str, Any] | None = None,
        type_: str = "application/json",
        seconds: float = CALL_SECONDS,
    ) -> dict[str, Any]:
        url = await asyncio.to_thread(lambda: self.url)
        body = None if document is None else json.dumps(document)
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=seconds)) as client,
                client.request(method, url + path, data=body, headers={"Content-Type": type_}) as response,
            ):
                text = await response.text()
        except TimeoutError:
            raise ApiRefusal(f"the Kubernetes API did not answer {method} {path} within {seconds:g} s") from None
        except aiohttp.ClientError as error:
            raise ApiRefusal(f"the Kubernetes API can not be reached: {error}") from error
        try:
            answer = dict(json.loads(text))
        except ValueError:  # the API answers in JSON: these are the proxy's own words, of one that it can not reach
            raise ApiRefusal(f"the Kubernetes API can not be reached: {text.strip()[:200]}") from None
        if response.status >= 300:
            message = answer.get("message", text)
            raise ApiRefusal(f"{method} {path} was answered {response.status}: {message}", response.status)
        return answer
