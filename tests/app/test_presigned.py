"""Objects behind URLs: whoever has the URL may read them, in every region, and nothing else is fetched."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.adapters import presigned
from shared.adapters.presigned import PresignedObjects, fetch_object
from shared.runtime import aws
from tests.moto_cloud import moto_clients


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_url_is_signed_as_every_bucket_takes_it(region):
    with moto_clients(region) as clients:
        more = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        clients("s3").create_bucket(Bucket="archive", **more)
        url = PresignedObjects(aws.presigner(), "archive", "functions/inputs/").put(b"data")
        query = parse_qs(urlsplit(url).query)
        assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
        assert query["X-Amz-Expires"] == ["600"]
        [listed] = clients("s3").list_objects_v2(Bucket="archive")["Contents"]
        assert listed["Key"] in url
        assert listed["Key"].startswith("functions/inputs/")


@contextmanager
def served(data, length=None):
    """Give the URL of an object, which a server answers once, and of which it announces so many bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            if length is not None:
                self.send_header("content-length", str(length))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/x?signature"
        thread.join()


@pytest.mark.parametrize("length", [None, 4])
def test_what_a_url_stands_for_is_fetched(length):
    with served(b"data", length) as url:
        assert fetch_object(url) == b"data"


def test_an_object_that_is_cut_off_on_its_way_is_not_taken_for_all_of_it():
    with served(b"data", 5) as url, pytest.raises(OSError, match="cut off"):
        fetch_object(url)


def test_an_object_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(presigned, "BYTES_MAX", 3)
    with served(b"data") as url, pytest.raises(OSError, match="more than 3 bytes"):
        fetch_object(url)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "data:,x", ""])
def test_nothing_else_is_fetched(url):
    with pytest.raises(ValueError, match="no URL of an object"):
        fetch_object(url)
