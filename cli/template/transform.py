"""What happens to each event before it counts; docs/transformations.md says what functions may return."""

from kith import Context, Event, Result


def drop_robots(event: Event, context: Context) -> Result:
    """Drop events of visitors that are no people."""
    agent = str((event.get("context") or {}).get("userAgent")).lower()
    if any(word in agent for word in context.env["ROBOTS"].split(",")):
        context.log.info("dropped a robot")
        return "drop"
    return None  # unchanged


def repair_totals(event: Event, _context: Context) -> Result:
    """Take the value of an order from where older trackers put it."""
    properties = event.get("properties") or {}
    if event.get("event") == "Order Completed" and "total" not in properties and "value" in properties:
        properties["total"] = properties["value"]
    return event


chain = [drop_robots, repair_totals]
