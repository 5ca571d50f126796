import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_s3 as s3

from infra import nag


def test_nothing_is_found_that_has_no_reason(dev, prod):
    assert dev.findings == []
    assert prod.findings == []


def test_what_has_no_reason_is_found(tmp_path):
    app = App(outdir=str(tmp_path))
    s3.Bucket(Stack(app, "Careless"), "Bucket")
    nag.check(app)
    with pytest.raises(RuntimeError, match="AwsSolutions-S1"):
        app.synth()
