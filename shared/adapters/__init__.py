"""The ports, implemented: DynamoDB, S3, Kinesis, Lambda, memory."""
