"""An S3 server on loopback: what clients need to put, list and get objects in buckets, in memory."""

from __future__ import annotations

import hashlib
import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY = "AKIAIOSFODNN7EXAMPLE"
"""The access key that is let in."""


class S3Server(http.server.ThreadingHTTPServer):
    """Objects by "bucket/key"; `full` makes it refuse every upload."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.full = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers a request by `on_get` and the like."""

    server: S3Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status: int, code: str) -> None:
        self.answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def handle_request(self) -> None:
        address = urlsplit(self.path)
        self.key = unquote(address.path).lstrip("/")
        self.query = parse_qs(address.query, keep_blank_values=True)
        body = self.body()
        if KEY not in self.headers.get("Authorization", ""):
            self.error(403, "InvalidAccessKeyId")
        else:
            getattr(self, f"on_{self.command.lower()}")(body)

    def body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            raw = b"".join(parts)
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            whole, rest = b"", raw
            while (size := int(rest.partition(b"\r\n")[0].split(b";")[0], 16)) > 0:
                rest = rest.partition(b"\r\n")[2]
                whole, rest = whole + rest[:size], rest[size + 2 :]
            return whole
        return raw

    def on_head(self, _: bytes) -> None:
        bucket = "/" not in self.key.strip("/")
        if bucket and any(name.startswith(f"{self.key.strip('/')}/") for name in self.server.objects):
            self.answer(200)
        elif (content := self.server.objects.get(self.key)) is not None:
            self.answer(200, Content_Length=str(len(content)), **self.about(content))
        else:
            self.answer(404)

    def about(self, content: bytes) -> dict[str, str]:
        tag = hashlib.md5(content).hexdigest()
        return {"ETag": f'"{tag}"', "Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}

    def on_get(self, _: bytes) -> None:
        if "list-type" in self.query:
            self.answer(200, self.listing())
            return
        content = self.server.objects.get(self.key)
        if content is None:
            self.error(404, "NoSuchKey")
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            self.answer(200, content, **self.about(content))
            return
        start, stop = int(found[1]), int(found[2] or len(content) - 1) + 1
        part = content[start:stop]
        where = f"bytes {start}-{start + len(part) - 1}/{len(content)}"
        self.answer(206, part, Content_Range=where, **self.about(content))

    def listing(self) -> bytes:
        bucket = self.key.strip("/")
        prefix, delimiter = self.query.get("prefix", [""])[0], self.query.get("delimiter", [""])[0]
        entries, folders = [], set()
        for name in sorted(self.server.objects):
            key = name.removeprefix(f"{bucket}/")
            if name == key or not key.startswith(prefix):
                continue
            inner, slash, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            if slash:
                folders.add(f"{prefix}{inner}{delimiter}")
                continue
            size = len(self.server.objects[name])
            entries.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size>"
                "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
            )
        common = "".join(
            f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
            for folder in sorted(folders)
        )
        count = len(entries) + len(folders)
        return (
            f"<ListBucketResult><Name>{bucket}</Name><KeyCount>{count}</KeyCount>"
            f"<IsTruncated>false</IsTruncated>{''.join(entries)}{common}</ListBucketResult>"
        ).encode()

    def on_put(self, body: bytes) -> None:
        if self.server.full:
            self.error(507, "InsufficientStorage")
        elif "uploadId" in self.query:
            upload, number = self.query["uploadId"][0], int(self.query["partNumber"][0])
            self.server.uploads[upload][number] = body
            self.answer(200, ETag=f'"{number}"')
        else:
            self.server.objects[self.key] = body
            self.answer(200, **self.about(body))

    def on_post(self, body: bytes) -> None:
        if "delete" in self.query:
            for key in re.findall(rb"<Key>(.*?)</Key>", body):
                self.server.objects.pop(f"{self.key.strip('/')}/{key.decode()}", None)
            self.answer(200, b"<DeleteResult></DeleteResult>")
        elif "uploads" in self.query:
            upload = f"upload{len(self.server.uploads)}"
            self.server.uploads[upload] = {}
            kind = "InitiateMultipartUploadResult"
            self.answer(200, f"<{kind}><UploadId>{upload}</UploadId></{kind}>".encode())
        else:
            parts = self.server.uploads.pop(self.query["uploadId"][0])
            self.server.objects[self.key] = b"".join(parts[number] for number in sorted(parts))
            self.answer(200, b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>")

    def on_delete(self, _: bytes) -> None:
        self.server.objects.pop(self.key, None)
        self.answer(204)


for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
    setattr(Handler, f"do_{method}", Handler.handle_request)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """A server, as long as the block lasts."""
    with S3Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(server: S3Server) -> dict[str, Any]:
    """The environment of its clients."""
    return {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "hunter22hunter22",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
