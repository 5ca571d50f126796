"""Objects behind URLs: whoever has the URL may read them, in every region, and nothing else is fetched."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

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


def test_what_a_url_stands_for_is_fetched():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"data")

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert fetch_object(f"http://127.0.0.1:{server.server_address[1]}/x?signature") == b"data"
        thread.join()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "data:,x", ""])
def test_nothing_else_is_fetched(url):
    with pytest.raises(ValueError, match="no URL of an object"):
        fetch_object(url)
