"""A loopback Google Drive v3 for the real Drive backend of rclone, with faults and controls.

What is real: rclone's whole backend, its OAuth, TLS, paging, multipart and resumable uploads,
retries and pacing. What is ours: the answers, in threads of this process.

Writes:   its certificate and the bytes of its files, below the folder it is given.
Promises: see `Remote`. Lists md5, sha1 and sha256; they follow the bytes, so `spoil` is seen by
          the next listing. What it holds survives `stop` and `start`.
Never:    opens a connection to anything; see `drive_server`.
"""

import json
import ssl
import threading
from pathlib import Path

from tests.ports import own_port
from tests.remotes import certificate
from tests.remotes.drive_api import LOST, Answer, Api, Fault, Request, refusal
from tests.remotes.drive_files import Entry, Files
from tests.remotes.drive_server import HOSTS, Server
from tests.remotes.remote import ARCHIVE, Remote

FIRST_TOKEN = "access-first"
REFRESH_TOKEN = "refresh-loopback"
FAR, PAST = "2099-01-01T00:00:00Z", "2001-01-01T00:00:00Z"


class Drive(Remote):
    """One Drive with one account; rclone knows it as `GD:`.

    Attributes:
        refused: every host and port something wanted to reach through the proxy and could not.
    """

    def __init__(self, state_dir: Path) -> None:
        self.remote = f"GD:{ARCHIVE}"
        self.port = own_port(self)
        self.refused: list[str] = []
        self._files = Files(state_dir / "drive")
        self._api = Api(self._files, FIRST_TOKEN)
        self._ca = state_dir / "ca.pem"
        self._expiry = FAR
        self._server: Server | None = None
        state_dir.mkdir(parents=True, exist_ok=True)
        pair = certificate.make(HOSTS)
        key = state_dir / "ca.key"
        self._ca.write_text(pair.certificate)
        key.write_text(pair.key)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self._ca, key)
        self._tls.set_alpn_protocols(["http/1.1"])

    def environment_at(self, port: int) -> dict[str, str]:
        token = {
            "access_token": FIRST_TOKEN,
            "token_type": "Bearer",
            "refresh_token": REFRESH_TOKEN,
            "expiry": self._expiry,
        }
        return {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_GD_TYPE": "drive",
            "RCLONE_CONFIG_GD_SCOPE": "drive.file",
            "RCLONE_CONFIG_GD_CLIENT_ID": "loopback-client",
            "RCLONE_CONFIG_GD_CLIENT_SECRET": "loopback-secret",
            "RCLONE_CONFIG_GD_TOKEN": json.dumps(token),
            "RCLONE_CONFIG_GD_ROOT_FOLDER_ID": "root",
            "RCLONE_DRIVE_PACER_MIN_SLEEP": "1ms",
            "RCLONE_CA_CERT": str(self._ca),
            "HTTPS_PROXY": f"http://127.0.0.1:{port}",
            "HTTP_PROXY": f"http://127.0.0.1:{port}",
        }

    def start(self) -> None:
        self._server = server = Server(self.port, self._api, self._tls, self.refused)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.release()
        if self._server is not None:
            self._server.end()
            self._server = None

    def files(self) -> dict[str, list[bytes]]:
        """The bytes of every file by path; two of them where a path is there twice."""
        found: dict[str, list[bytes]] = {}
        for path, entry in self._tree():
            assert entry.content is not None
            found.setdefault(path, []).append(entry.content.read_bytes())
        return found

    def paths(self) -> set[str]:
        return {path for path, _ in self._tree()}

    def read(self, path: str) -> bytes:
        content = self._entries(path)[0].content
        assert content is not None
        return content.read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Put one more file there, beside any other of this path; see also `vanish`."""
        folder, _, name = f"{ARCHIVE}/{path}".rpartition("/")
        content = self._files.new_content()
        content.write_bytes(data)
        with self._files.lock:
            self._files.create({"name": name, "parents": [self._files.folder_at(folder)]}, content)

    def duplicate(self, path: str) -> None:
        """A second file with the same path and bytes; raises FileNotFoundError."""
        self.write(path, self.read(path))

    def spoil(self, path: str) -> None:
        for entry in self._entries(path):
            self._files.spoil(entry)

    def vanish(self, path: str) -> None:
        for entry in self._entries(path):
            self._files.remove(entry)

    def fault(
        self,
        method: str,
        pattern: str,
        status: int,
        reason: str,
        *,
        count: int = 1,
        message: str = "",
    ) -> None:
        """Refuse the next `count` requests.

        Args:
            method: GET, POST, PATCH, PUT or DELETE.
            pattern: looked for (re.search) in path and query: `uploadType=multipart`, `/token`.
            status: of the answer.
            reason: Drive's word, such as rateLimitExceeded, backendError, storageQuotaExceeded.
            count: how many.
            message: Drive's sentence; the reason when empty.
        """
        self._api.faults.append(Fault(method, pattern, refusal(status, reason, message), count))

    def upload_limit(self, count: int = 1) -> None:
        """The daily limit: rclone knows it by the sentence and by nothing else."""
        sentence = "User rate limit exceeded."
        self.fault("POST", "^/upload/", 403, "userRateLimitExceeded", count=count, message=sentence)

    def storage_full(self, count: int = 1) -> None:
        """The account is full."""
        sentence = "The user's Drive storage quota has been exceeded."
        self.fault("POST", "^/upload/", 403, "storageQuotaExceeded", count=count, message=sentence)

    def lose_answer(self, method: str, pattern: str, count: int = 1) -> None:
        """Do what is asked, then close the connection without a word.

        rclone 1.75 then looks again and updates what it finds; on the real Drive, where a listing
        may lag behind, duplicates come of it.
        """
        self._api.faults.append(Fault(method, pattern, Answer(LOST), count))

    def clear_faults(self) -> None:
        """Forget every fault that is still to come."""
        self._api.faults.clear()

    def expire_token(self) -> None:
        """Take no access token issued so far; `environment` says that its token is old."""
        self._api.tokens.clear()
        self._expiry = PAST

    def forget_token(self) -> None:
        """Take no access token issued so far, though `environment` says that its own is good."""
        self._api.tokens.clear()

    def revoke(self) -> None:
        """The person takes the permission back: no access token is good, and none is given."""
        self.expire_token()
        self._api.revoked = True

    def grant(self) -> None:
        """The person gives the permission again; the refresh token stays the same."""
        self._api.revoked = False

    def hold(self) -> None:
        """Let uploads wait, unanswered, until `release`; `held` says how many wait.

        One whose client has left by then was never made: a killed rclone and the next one would
        make two files of one name.
        """
        self._api.passing.clear()

    def release(self) -> None:
        """Let uploads pass again."""
        self._api.passing.set()

    @property
    def held(self) -> int:
        """How many uploads wait now."""
        return self._api.held

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order they came; the list is a copy."""
        return list(self._api.requests)

    def _tree(self) -> list[tuple[str, Entry]]:
        prefix = f"{ARCHIVE}/"
        return [
            (path.removeprefix(prefix), entry)
            for path, entry in self._files.tree()
            if path.startswith(prefix)
        ]

    def _entries(self, path: str) -> list[Entry]:
        found = [entry for each, entry in self._tree() if each == path]
        if not found:
            raise FileNotFoundError(f"{self.remote}/{path} is not there")
        return found
