"""Runs Kinesis event source mappings the way AWS Lambda does; the local engine does not.

`settings`, `records`, `lane`, `shard` and `failure` decide and touch nothing; `worker` is the
loop around them; `kinesis` and `checkpoints` are its ports on the engine and on disk;
`supervisor` follows the mappings as they come, change and go. `python -m local.event_sources`
starts it.
"""
