"""How a node says who it is: mutual TLS, nkeys, tokens; a real server, and the commands, too."""

from __future__ import annotations

import base64
import shutil
import ssl
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import nats_server as nats
import pytest
from conftest import PATIENCE

pytest.importorskip("nats")

from fauxtp.__main__ import main
from fauxtp.cluster._engines.engine import NoConnection, Refused
from fauxtp.cluster._engines.nats_engine import NatsEngine
from fauxtp.cluster._engines.server_urls import without_user

OPENSSL = shutil.which("openssl")
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(nats.binary() is None, reason=nats.ABSENT),
]


@pytest.fixture
def anyio_backend() -> Any:
    return "asyncio"


def openssl(folder: Path, *arguments: str) -> None:
    assert OPENSSL is not None
    done = subprocess.run(
        [OPENSSL, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def authority(folder: Path, name: str) -> None:
    of = ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "2"]
    # From CPython 3.13 on, an authority has to say that it is one, and a certificate whose it is.
    signs = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    openssl(folder, "req", "-x509", *CURVE, *of, *signs)


def certificate(folder: Path, name: str, by: str) -> None:
    extension = folder / "names"
    extension.write_text(
        "subjectAltName=IP:127.0.0.1\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
    )
    of = ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"]
    openssl(folder, "req", *CURVE, *of)
    signs = ["-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial", "-days", "2"]
    out = ["-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", "names"]
    openssl(folder, "x509", "-req", *out, *signs)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of authorities, one of whom the server trusts, and of certificates by both."""
    if OPENSSL is None:
        pytest.skip("openssl is not there, which makes the certificates")
    folder = tmp_path_factory.mktemp("papers")
    for name in ("trusted", "other"):
        authority(folder, name)
    certificate(folder, "server", "trusted")
    certificate(folder, "a", "trusted")
    certificate(folder, "mallory", "other")
    return folder


@pytest.fixture(scope="module")
def guarded(papers: Path) -> Iterator[nats.NatsServer]:
    """A server that shows a certificate, and asks for one."""
    files = f"cert_file: '{papers}/server.pem', key_file: '{papers}/server.key'"
    with nats.running(f"tls {{ {files}, ca_file: '{papers}/trusted.pem', verify: true }}") as it:
        yield it


def context(papers: Path, who: str | None, trusts: str = "trusted") -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=papers / f"{trusts}.pem")
    if who is not None:
        made.load_cert_chain(papers / f"{who}.pem", papers / f"{who}.key")
    return made


async def test_a_node_and_its_server_show_each_other_who_they_are(
    guarded: nats.NatsServer, papers: Path
) -> None:
    engine = NatsEngine(guarded.url, cluster="shop", node="a", tls=context(papers, "a"))
    with anyio.fail_after(PATIENCE):
        await engine.open()
        revision = await engine.create("k", b"1")
        assert revision > 0
        guarded.kill()
        while engine.connected:
            await anyio.sleep(0.01)
        await anyio.to_thread.run_sync(guarded.start)
        while not engine.connected:
            await anyio.sleep(0.01)
        entry = await engine.read("k")
        assert entry is not None
        assert entry.value == b"1", "it connects again as it did before"
        await engine.close()


@pytest.mark.parametrize(
    ("who", "trusts"), [(None, "trusted"), ("mallory", "trusted"), ("a", "other")]
)
async def test_who_is_not_trusted_is_not_connected(
    guarded: nats.NatsServer, papers: Path, who: str | None, trusts: str
) -> None:
    tls = context(papers, who, trusts)
    engine = NatsEngine(guarded.url, cluster="shop", node="a", tls=tls, timeout=1.0)
    with anyio.fail_after(PATIENCE), pytest.raises((NoConnection, Refused)):
        await engine.open()
    assert not engine.connected


def test_a_command_shows_its_certificate(
    guarded: nats.NatsServer, papers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["cluster", "nodes", "--server", guarded.url, "--cluster", "nobody"]
    papers_of_a = ["--tls-cert", f"{papers}/a.pem", "--tls-key", f"{papers}/a.key"]
    for arguments, words in (
        ([*papers_of_a, "--tls-ca", f"{papers}/trusted.pem"], "no cluster 'nobody' is there"),
        (["--tls-ca", f"{papers}/trusted.pem", "--timeout", "1"], "no answer from"),
        ([*papers_of_a, "--timeout", "1"], "CERTIFICATE_VERIFY_FAILED"),
    ):
        with pytest.raises(SystemExit):
            main([*at, *arguments])
        assert words in capsys.readouterr().err


def seed_and_key() -> tuple[str, str]:
    """Return the seed of a new user, and the public key that a server knows it by."""
    nkeys = pytest.importorskip("nkeys", reason="nkeys are not installed")
    pair = nkeys.from_seed(nkeys.encode_seed(base64.b64encode(b"x" * 24), nkeys.PREFIX_BYTE_USER))
    return pair.seed.decode(), pair.public_key.decode()


async def test_a_node_signs_with_its_nkey(tmp_path: Path) -> None:
    seed, public = seed_and_key()
    file = tmp_path / "a.nk"
    file.write_text(seed)
    ways: list[dict[str, Any]] = [{"nkeys_seed": str(file)}, {"nkeys_seed_str": seed}]
    with nats.running(f"authorization {{ users: [ {{ nkey: {public} }} ] }}") as server:
        for way in ways:
            engine = NatsEngine(server.url, cluster="shop", node="a", **way)
            with anyio.fail_after(PATIENCE):
                await engine.open()
                assert await engine.read("k") is None
                await engine.close()
        nobody = NatsEngine(server.url, cluster="shop", node="a", timeout=1.0)
        with pytest.raises(Refused, match="does not let us in"):
            await nobody.open()


@pytest.mark.parametrize("option", ["nkeys_seed", "user_credentials"])
@pytest.mark.parametrize("text", ["", "junk", "SUAJUNK", "-----BEGIN NATS USER JWT-----\n"])
async def test_junk_for_credentials_is_refused(tmp_path: Path, option: str, text: str) -> None:
    _, public = seed_and_key()
    file = tmp_path / "junk"
    file.write_text(text)
    given: dict[str, Any] = {option: str(file)}
    with nats.running(f"authorization {{ users: [ {{ nkey: {public} }} ] }}") as server:
        engine = NatsEngine(server.url, cluster="shop", node="a", **given)
        with anyio.fail_after(PATIENCE), pytest.raises(Refused, match="cannot be used"):
            await engine.open()


async def test_without_nkeys_it_says_what_it_needs(
    nats_server: nats.NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nkeys", None)
    engine = NatsEngine(nats_server.url, cluster="shop", node="a", nkeys_seed_str="SU")
    with pytest.raises(Refused, match=r"need nkeys: install nats-py\[nkeys\]"):
        await engine.open()


@pytest.mark.parametrize("user", ["alice:s3cret", "alice:s3/cr@t", "alice:s3#cret", "s3cret"])
async def test_nobody_reads_the_password_of_a_url(user: str) -> None:
    """Neither in words that are logged, nor in those of what has led to it."""
    at = f"nats://{user}@127.0.0.1:1"
    away = NatsEngine(at, cluster="shop", node="a", timeout=0.1)
    with anyio.fail_after(PATIENCE), pytest.raises(NoConnection) as caught:
        await away.open()
    assert "no answer from nats://127.0.0.1:1: " in str(caught.value)
    lines = "".join(traceback.format_exception(caught.value)).splitlines()
    shown = "\n".join(line for line in lines if not line.startswith("  File "))
    assert "alice" not in shown
    assert "s3" not in shown


async def test_nobody_reads_the_password_of_who_is_not_let_in() -> None:
    with nats.running('authorization { user: "alice", password: "other" }') as server:
        at = server.url.replace("nats://", "nats://alice:s3cret@")
        engine = NatsEngine(at, cluster="shop", node="a")
        with anyio.fail_after(PATIENCE), pytest.raises(Refused) as caught:
            await engine.open()
        assert str(caught.value).startswith(f"{server.url} does not let us in: ")


def test_a_url_is_shown_without_its_user() -> None:
    for url, shown in (
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("tls://s3cret@host:1", "tls://host:1"),
        ("alice:s3://cret@host", "host"),
        ("nats://a:s3@h1,nats://b:s4@h2", "nats://h2"),
        ("", ""),
    ):
        assert without_user(url) == shown


async def test_a_node_shows_its_token() -> None:
    with nats.running('authorization { token: "open sesame" }') as server:
        engine = NatsEngine(server.url, cluster="shop", node="a", token="open sesame")
        await engine.open()
        assert await engine.read("k") is None
        await engine.close()
        wrong = NatsEngine(server.url, cluster="shop", node="a", token="close sesame")
        with pytest.raises(Refused, match="does not let us in"):
            await wrong.open()
