"""Loopback remotes: what the uploader's rclone talks to in tests, the demo and campaigns.

Independent witnesses: nothing here is shared with the code that is judged by it. Three are real
`rclone serve` processes, one is a directory, one is a Google Drive v3 that the real Drive backend
of rclone speaks to over TLS.

    with Drive(tmp_path) as drive:
        drive.fault("POST", "uploadType=multipart", 503, "backendError")
        run_rclone("copy", "source", drive.remote, environment=drive.environment)
        assert drive.paths() == {"a.gz"}

A bad network stands between rclone and any of them but the directory:

    with S3(tmp_path) as s3, Cut(s3.port) as cut:
        cut.after(100_000)
        run_rclone("copy", "source", s3.remote, environment=s3.environment_at(cut.port))

From bottom to top: program, remote, certificate, servers, cut · drive_files, drive_api,
drive_server, drive.
"""

from tests.remotes.cut import Cut
from tests.remotes.drive import Drive
from tests.remotes.program import find_rclone, run_rclone
from tests.remotes.remote import Remote
from tests.remotes.servers import S3, Local, Sftp, WebDav

__all__ = [
    "S3",
    "Cut",
    "Drive",
    "Local",
    "Remote",
    "Sftp",
    "WebDav",
    "find_rclone",
    "run_rclone",
]
