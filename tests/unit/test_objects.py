"""Objects of a bucket: the fake, and S3's in a pretended AWS."""

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from shared.adapters.s3 import S3Objects
from tests.fakes.objects import FakeObjects
from tests.moto_cloud import create_bucket, moto_clients

REGION = "eu-central-1"


@pytest.fixture(scope="module")
def s3():
    with moto_clients(REGION) as client:
        create_bucket(client("s3"), "archive", REGION)
        yield client("s3")


@pytest.fixture(params=["s3", "fake"])
def objects(request):
    if request.param == "fake":
        return FakeObjects()
    objects = S3Objects(request.getfixturevalue("s3"), "archive")
    objects.delete_all(one.key for one in objects.list(""))
    return objects


def test_an_object_is_put_once_if_it_must_be_absent(objects):
    assert objects.put_if_absent("a", b"1")
    assert not objects.put_if_absent("a", b"2")
    assert objects.get("a")[0] == b"1"


@pytest.mark.parametrize(
    ("status", "code", "raised"),
    [(412, "PreconditionFailed", False), (409, "ConditionalRequestConflict", True)],
)
def test_only_an_unmet_condition_means_that_an_object_exists(s3, status, code, raised):
    objects = S3Objects(s3, "archive")
    with Stubber(s3) as stub:
        stub.add_client_error("head_object", "404", http_status_code=404)
        stub.add_client_error("put_object", code, http_status_code=status)
        if raised:
            with pytest.raises(ClientError, match=code):
                objects.put_if_absent("a", b"1")
        else:
            assert not objects.put_if_absent("a", b"1")


def test_a_range_is_a_part_of_an_object_and_ends_where_it_ends(objects):
    objects.put("a", b"0123456789")
    assert objects.get_range("a", 2, 3) == b"234"
    assert objects.get_range("a", 8, 5) == b"89"
    with pytest.raises(KeyError):
        objects.get_range("b", 0, 1)


def test_all_of_many_objects_are_deleted_and_absent_ones_do_not_matter(objects):
    for number in range(1100):
        objects.put(f"some/{number:04}", b"")
    objects.put("other", b"")
    objects.delete_all([one.key for one in objects.list("some/")] + ["absent"])
    assert [one.key for one in objects.list("")] == ["other"]
    objects.delete_all([])
