"""The Kubernetes backend against an API server that really compares and swaps."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from catalog_server.kubernetes import KubernetesRefusal
from catalog_server.leadership import Conflict, LeaseRecord
from catalog_server.leadership.kubernetes_lease import EPOCH_ANNOTATION, KubernetesLease
from support.fake_kubernetes import FakeKubernetes

NAME = "catalog-server"
MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")  # the API takes exactly six digits
MINE = LeaseRecord("replica-1/a", 7, 15.0)
THEIRS = LeaseRecord("replica-2/b", 8, 15.0)


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeKubernetes]:
    """The API server, with KUBECONFIG naming it."""
    server = FakeKubernetes()
    await server.start()
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
    yield server
    await server.stop()


@pytest.fixture
async def lease(api: FakeKubernetes) -> AsyncIterator[KubernetesLease]:
    backend = KubernetesLease(NAME)
    yield backend
    await backend.close()


def spec(api: FakeKubernetes) -> dict[str, Any]:
    return dict(api.leases[NAME]["spec"])


async def test_a_lease_is_created_in_the_fields_that_kubectl_shows(api: FakeKubernetes, lease: KubernetesLease) -> None:
    assert await lease.get() is None
    created = await lease.create(LeaseRecord("replica-1/a", 7, 2.5))
    document = api.leases[NAME]
    assert document["metadata"]["namespace"] == "models"
    assert document["metadata"]["annotations"] == {"catalog-server/epoch": "7"}
    assert document["spec"]["holderIdentity"] == "replica-1/a"
    assert document["spec"]["leaseDurationSeconds"] == 3
    assert document["spec"]["leaseTransitions"] == 0
    assert MICRO_TIME.fullmatch(document["spec"]["acquireTime"])
    assert document["spec"]["renewTime"] == document["spec"]["acquireTime"]
    assert (created.holder, created.epoch, created.duration_seconds) == ("replica-1/a", 7, 3.0)
    assert await lease.get() == created


async def test_a_renewal_keeps_the_acquisition_and_a_new_holder_counts_as_a_transition(
    api: FakeKubernetes, lease: KubernetesLease
) -> None:
    held = await lease.create(MINE)
    acquired = spec(api)
    held = await lease.update(MINE, held)
    renewed = spec(api)
    assert renewed["acquireTime"] == acquired["acquireTime"]
    assert renewed["renewTime"] > acquired["renewTime"]
    assert renewed["leaseTransitions"] == 0
    taken = await lease.update(THEIRS, held)
    assert spec(api)["acquireTime"] > acquired["acquireTime"]
    assert spec(api)["leaseTransitions"] == 1
    assert (taken.holder, taken.epoch) == ("replica-2/b", 8)


async def test_a_released_lease_has_no_holder_and_keeps_its_epoch(api: FakeKubernetes, lease: KubernetesLease) -> None:
    held = await lease.create(MINE)
    released = await lease.update(LeaseRecord("", 7, 15.0), held)
    assert (released.holder, released.epoch) == ("", 7)
    assert spec(api)["leaseTransitions"] == 0
    await lease.update(THEIRS, released)
    assert spec(api)["leaseTransitions"] == 1


async def test_every_renewal_is_a_change_that_others_see(lease: KubernetesLease) -> None:
    held = await lease.create(MINE)
    assert await lease.update(MINE, held) != held


async def test_a_write_from_an_old_version_is_a_conflict(api: FakeKubernetes, lease: KubernetesLease) -> None:
    seen = await lease.create(MINE)
    await lease.update(MINE, seen)
    with pytest.raises(Conflict):
        await lease.update(THEIRS, seen)
    assert spec(api)["holderIdentity"] == MINE.holder


async def test_of_many_who_create_or_take_at_once_one_wins(api: FakeKubernetes) -> None:
    backends = [KubernetesLease(NAME) for _ in range(8)]
    records = [LeaseRecord(f"replica-{number}", 1, 15.0) for number in range(8)]
    try:
        created = await asyncio.gather(
            *(backend.create(record) for backend, record in zip(backends, records, strict=True)),
            return_exceptions=True,
        )
        (winner,) = [result for result in created if isinstance(result, LeaseRecord)]
        assert sum(isinstance(result, Conflict) for result in created) == 7
        assert spec(api)["holderIdentity"] == winner.holder
        taken = await asyncio.gather(
            *(backend.update(record, winner) for backend, record in zip(backends, records, strict=True)),
            return_exceptions=True,
        )
        (winner,) = [result for result in taken if isinstance(result, LeaseRecord)]
        assert sum(isinstance(result, Conflict) for result in taken) == 7
        assert spec(api)["holderIdentity"] == winner.holder
    finally:
        for backend in backends:
            await backend.close()


async def test_a_lease_deleted_by_hand_is_gone_and_a_renewal_does_not_bring_it_back(
    api: FakeKubernetes, lease: KubernetesLease
) -> None:
    held = await lease.create(MINE)
    api.delete(NAME)
    with pytest.raises(Conflict):
        await lease.update(MINE, held)
    assert await lease.get() is None


async def test_a_renewal_does_not_touch_a_lease_made_anew(api: FakeKubernetes, lease: KubernetesLease) -> None:
    held = await lease.create(MINE)
    api.delete(NAME)
    await lease.create(THEIRS)
    with pytest.raises(Conflict):
        await lease.update(MINE, held)
    assert spec(api)["holderIdentity"] == THEIRS.holder


async def test_what_others_put_into_the_lease_is_kept(api: FakeKubernetes, lease: KubernetesLease) -> None:
    api.put(
        NAME,
        metadata={"labels": {"app": "catalog"}, "annotations": {"team": "models"}, "finalizers": ["example.org/keep"]},
        spec={"strategy": "OldestEmulationVersion"},
    )
    found = await lease.get()
    assert found is not None
    assert (found.holder, found.epoch, found.duration_seconds) == ("", 0, 0.0)
    await lease.update(MINE, found)
    metadata = api.leases[NAME]["metadata"]
    assert metadata["labels"] == {"app": "catalog"}
    assert metadata["finalizers"] == ["example.org/keep"]
    assert metadata["annotations"] == {"team": "models", EPOCH_ANNOTATION: "7"}
    assert spec(api)["strategy"] == "OldestEmulationVersion"


@pytest.mark.parametrize("text", ["seven", "-7", "", "7.0", "9" * 19, "\u0667"])
async def test_an_epoch_that_is_no_number_counts_as_none_and_is_logged(
    api: FakeKubernetes, lease: KubernetesLease, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    api.put(NAME, metadata={"annotations": {EPOCH_ANNOTATION: text}}, spec={"holderIdentity": "somebody"})
    found = await lease.get()
    assert found is not None
    assert found.epoch == 0
    assert repr(text) in caplog.text


async def test_a_write_whose_answer_was_lost_is_found_by_the_next_look(
    api: FakeKubernetes, lease: KubernetesLease
) -> None:
    assert await lease.get() is None
    api.lose_answers(1)
    with pytest.raises(aiohttp.ClientError):
        await lease.create(MINE)
    held = await lease.get()
    assert held is not None
    assert (held.holder, held.epoch) == (MINE.holder, MINE.epoch)
    api.lose_answers(1)
    with pytest.raises((aiohttp.ClientError, Conflict)):  # the client may repeat a PUT, and finds its own write
        await lease.update(LeaseRecord(MINE.holder, 8, 15.0), held)
    found = await lease.get()
    assert found is not None
    assert (found.holder, found.epoch) == (MINE.holder, 8)


async def test_a_frozen_api_server_costs_no_more_than_the_time_out(api: FakeKubernetes) -> None:
    lease = KubernetesLease(NAME, call_seconds=0.3)
    try:
        held = await lease.create(MINE)
        api.freeze()
        async with asyncio.timeout(10):
            for call in (lease.get(), lease.create(MINE), lease.update(MINE, held)):
                with pytest.raises(TimeoutError, match=r"did not answer within 0\.3 s"):
                    await call
        api.thaw()
        assert await lease.get() == held
    finally:
        await lease.close()


async def test_a_refusal_names_what_to_grant(api: FakeKubernetes, lease: KubernetesLease) -> None:
    api.forbidden = {"leases"}
    for call in (lease.get(), lease.create(MINE)):
        with pytest.raises(KubernetesRefusal) as refusal:
            await call
        for word in ("403", "get, create and update", "leases", "coordination.k8s.io", "namespace models"):
            assert word in str(refusal.value)
    api.forbidden = set()
    assert await lease.get() is None


async def test_a_missing_namespace_is_named(api: FakeKubernetes) -> None:
    lease = KubernetesLease(NAME, "nowhere")
    try:
        assert await lease.get() is None
        with pytest.raises(KubernetesRefusal, match="nowhere"):
            await lease.create(MINE)
    finally:
        await lease.close()


async def test_a_renewed_token_is_read_after_the_old_one_was_refused(
    api: FakeKubernetes, lease: KubernetesLease, tmp_path: Path
) -> None:
    api.token = "first"
    held = await lease.create(MINE)
    api.token = "second"
    with pytest.raises(KubernetesRefusal, match="401"):
        await lease.update(MINE, held)
    api.kubeconfig(tmp_path / "kubeconfig", token="second")
    await lease.update(MINE, held)
    assert api.requests[-1].token == "second"


@pytest.mark.parametrize("content", [None, "", "{}", "clusters: [", "current-context: absent\ncontexts: []\n"])
async def test_a_configuration_that_is_missing_or_malformed_is_named_and_may_be_mended_later(
    api: FakeKubernetes, lease: KubernetesLease, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "kubeconfig"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(KubernetesRefusal, match="KUBECONFIG"):
        await lease.get()
    api.kubeconfig(path)
    assert await lease.get() is None


async def test_neither_a_pod_nor_a_kubeconfig_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(KubernetesRefusal, match="this is no pod"):
        await KubernetesLease(NAME).get()


@pytest.fixture
async def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeKubernetes]:
    """The API server as a pod finds it: TLS, and a service account in `tmp_path`."""
    key = tmp_path / "key.pem"
    write_certificate(tmp_path / "ca.crt", key)
    (tmp_path / "token").write_text("first")
    (tmp_path / "namespace").write_text("models\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ca.crt", key)
    server = FakeKubernetes()
    await server.start(context)
    server.token = "first"
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", server.url.rsplit(":", 1)[1])
    yield server
    await server.stop()


async def test_a_pod_uses_its_service_account_and_its_own_namespace(pod: FakeKubernetes, tmp_path: Path) -> None:
    lease = KubernetesLease(NAME, service_account=tmp_path)
    try:
        await lease.create(MINE)
        assert pod.leases[NAME]["metadata"]["namespace"] == "models"
        assert {request.token for request in pod.requests} == {"first"}
    finally:
        await lease.close()


async def test_a_pods_rotated_token_is_read_before_the_old_one_is_refused(
    pod: FakeKubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kubernetes_asyncio.config.incluster_config.TOKEN_REFRESH_PERIOD", timedelta(0))
    lease = KubernetesLease(NAME, service_account=tmp_path)
    try:
        held = await lease.create(MINE)
        (tmp_path / "token").write_text("second")
        pod.token = "second"
        await lease.update(MINE, held)
        assert [request.token for request in pod.requests] == ["first", "second"]
    finally:
        await lease.close()


async def test_a_pods_token_that_was_revoked_early_is_read_again_after_one_refusal(
    pod: FakeKubernetes, tmp_path: Path
) -> None:
    lease = KubernetesLease(NAME, service_account=tmp_path)
    try:
        held = await lease.create(MINE)
        (tmp_path / "token").write_text("second")
        pod.token = "second"
        with pytest.raises(KubernetesRefusal, match="401"):
            await lease.update(MINE, held)
        await lease.update(MINE, held)
    finally:
        await lease.close()


async def test_a_pod_without_a_service_account_token_says_so(pod: FakeKubernetes, tmp_path: Path) -> None:
    (tmp_path / "token").unlink()
    with pytest.raises(KubernetesRefusal, match="token file does not exist"):
        await KubernetesLease(NAME, service_account=tmp_path).get()


def write_certificate(certificate: Path, key: Path) -> None:
    """For 127.0.0.1, signed by itself."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, secret.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(secret.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(secret.public_key()), critical=False)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    key.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
