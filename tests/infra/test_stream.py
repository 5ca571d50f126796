from shared import contract


def test_the_stream_is_on_demand_encrypted_and_keeps_seven_days(dev):
    stream = dev.one("Kinesis::Stream", "Stream")
    assert stream["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"}
    assert "ShardCount" not in stream
    assert stream["RetentionPeriodHours"] == 7 * 24 == contract.STREAM_RETENTION_H
    assert stream["StreamEncryption"]["EncryptionType"] == "KMS"


def test_shards_are_provisioned_where_a_stage_says_how_many(prod):
    stream = prod.one("Kinesis::Stream", "Stream")
    assert stream["StreamModeDetails"] == {"StreamMode": "PROVISIONED"}
    assert stream["ShardCount"] == 4
