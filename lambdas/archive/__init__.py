"""The function that archives every record of the stream."""
