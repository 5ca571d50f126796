"""The profile store on DynamoDB: items, layout, writes, reads."""
