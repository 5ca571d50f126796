# a script beside its data, no package
"""Write the sample stream: the same visits of the same made-up customers every time.

    python builders/customers/samples/generate.py > builders/customers/samples/events.jsonl

About 150 people visit a shop over three weeks, on one to three devices each. Most leave an address or log in
at some time, on some of their devices; that is what stitches their visits. Names, addresses, phone numbers
and IPs come from the ranges reserved for examples.
"""

import json
import random
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

SEED = 20261005
PEOPLE = 150
START = datetime(2026, 10, 5, 6, tzinfo=UTC)
DAYS = 20
FREE_SHIPPING_FROM_CENTS = 5000
SHOP = "https://shop.example.com"

FIRST_NAMES = [
    "Ada",
    "Ben",
    "Chloe",
    "Dev",
    "Elif",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Mina",
    "Noor",
    "Priya",
]
LAST_NAMES = ["Abend", "Brook", "Castell", "Dahl", "Eriksen", "Glas", "Hollis", "Jansen", "Moreau", "Novak"]
PLACES = [("US", "en-US"), ("US", "es-US"), ("GB", "en-GB"), ("DE", "de-DE"), ("FR", "fr-FR")]
COMPANIES = ["Northwind Traders", "Lamplight Studio", "Harbour Print"]
COUPONS = ["AUTUMN10", "WELCOME5", "FREESHIP"]
DEVICES = {
    "desktop": "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "mobile": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
    "tablet": "Mozilla/5.0 (Linux; Android 15; Tab A9) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36",
}
CAMPAIGNS = [
    None,
    None,
    {"source": "newsletter", "medium": "email", "name": "october-news"},
    {"source": "google", "medium": "cpc", "name": "autumn-sale", "term": "oak desk"},
    {"source": "instagram", "medium": "social", "name": "cosy-evenings"},
    {"source": "partner", "medium": "affiliate", "name": "home-blog"},
]
REFERRERS = {
    None: "",
    "newsletter": "",
    "google": "https://www.google.com/",
    "partner": "https://blog.example.org/",
}


class Product(NamedTuple):
    """Something the shop sells; the price in cents."""

    sku: str
    name: str
    category: str
    price_cents: int


CATALOGUE = [
    Product("DSK-01", "Oak desk", "furniture", 34900),
    Product("CHR-02", "Reading chair", "furniture", 18950),
    Product("SHF-03", "Wall shelf", "furniture", 4999),
    Product("LMP-04", "Brass lamp", "lighting", 7925),
    Product("LMP-05", "Paper lantern", "lighting", 1250),
    Product("CND-06", "Beeswax candle", "lighting", 899),
    Product("RUG-07", "Wool rug", "textiles", 12900),
    Product("BLK-08", "Linen blanket", "textiles", 6450),
    Product("CSH-09", "Velvet cushion", "textiles", 2299),
    Product("POT-10", "Stoneware pot", "kitchen", 3175),
    Product("MUG-11", "Glazed mug", "kitchen", 1450),
    Product("KTL-12", "Copper kettle", "kitchen", 5875),
    Product("FRN-13", "Potted fern", "plants", 1899),
    Product("CAN-14", "Watering can", "plants", 2725),
]


class Device(NamedTuple):
    """One browser of a person. Its clock is off by `skew_s` seconds."""

    anonymous_id: str
    kind: str
    ip: str
    skew_s: int
    logs_in: bool


class Person(NamedTuple):
    """A customer, or a visitor whom nobody ever gets to know (`user_id` blank)."""

    user_id: str
    traits: dict[str, Any]
    country: str
    locale: str
    devices: list[Device]
    consents: bool


class Visit:
    """One visit on one device: it makes events, each some seconds after the one before."""

    def __init__(self, rng: random.Random, person: Person, device: Device, start: datetime) -> None:
        self.rng, self.person, self.device, self.now = rng, person, device, start
        self.campaign = rng.choice(CAMPAIGNS)
        self.user_id = ""
        self.events: list[dict[str, Any]] = []
        self.page("/", "Home")

    def page(self, path: str, title: str) -> None:
        """View a page; the first one of a visit has the referrer."""
        source = self.campaign["source"] if self.campaign else None
        referrer = f"{SHOP}/" if self.events else REFERRERS.get(source, f"https://{source}.example.net/")
        self.here = {"url": SHOP + path, "path": path, "title": title, "referrer": referrer}
        self.add("page", name=title, properties={"url": SHOP + path, "title": title})

    def track(self, event: str, **properties: Any) -> None:
        """Do something that the shop has a name for."""
        self.add("track", event=event, properties=properties)

    def log_in(self) -> None:
        """Say who is here; from now on events carry the user id."""
        self.user_id = self.person.user_id
        self.add("identify", traits=self.person.traits)

    def add(self, kind: str, **fields: Any) -> None:
        """Add an event: stamped by the device's clock, received by the server's."""
        self.now += timedelta(milliseconds=self.rng.randrange(4_000, 90_000))
        sent = self.now + timedelta(milliseconds=self.rng.randrange(20, 900))
        received = sent + timedelta(milliseconds=self.rng.randrange(30, 400))
        skew = timedelta(seconds=self.device.skew_s)
        event = {
            "type": kind,
            "messageId": new_uuid(self.rng),
            "anonymousId": self.device.anonymous_id,
            **({"userId": self.user_id} if self.user_id else {}),
            **fields,
            "context": self.context(),
            "timestamp": written(self.now + skew),
            "sentAt": written(sent + skew),
            "receivedAt": written(received),
        }
        self.events.append(event)

    def context(self) -> dict[str, Any]:
        """Describe the circumstances of an event."""
        first = len(self.events) == 0
        return {
            "ip": self.device.ip,
            "locale": self.person.locale,
            "userAgent": DEVICES[self.device.kind],
            "device": {"type": self.device.kind},
            "geo": {"country": {"code": self.person.country}},
            "page": self.here,
            **({"campaign": self.campaign} if first and self.campaign else {}),
            "consent": {"categoryPreferences": {"analytics": True, "marketing": self.person.consents}},
        }


def new_uuid(rng: random.Random) -> str:
    """Return a random UUID."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def happens(rng: random.Random, probability: float) -> bool:
    """Throw a loaded coin."""
    return rng.random() < probability


def written(moment: datetime) -> str:
    """Write a time as trackers do."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def any_person(rng: random.Random, number: int) -> Person:
    """Make up a person; every sixth stays unknown."""
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    country, locale = rng.choice(PLACES)
    network = rng.choice(["192.0.2", "198.51.100", "203.0.113"])
    kinds = rng.sample(sorted(DEVICES), k=rng.choice([1, 1, 2, 2, 3]))
    devices = [
        Device(
            anonymous_id=new_uuid(rng),
            kind=kind,
            ip=f"{network}.{rng.randrange(1, 255)}",
            skew_s=rng.choice([0, 0, 0, 0, -95, 310]),
            logs_in=happens(rng, 0.8),
        )
        for kind in kinds
    ]
    traits = {
        "name": f"{first} {last}",
        "email": f"{first}.{last}.{number}@example.{rng.choice(['com', 'org'])}",
        "phone": f"+1 202 555 {rng.randrange(100, 200):04}",
        "plan": rng.choice(["basic", "basic", "plus"]),
        "address": {"country": country},
    }
    user_id = f"u_{1000 + number}" if number % 6 else ""
    return Person(user_id, traits, country, locale, devices, consents=happens(rng, 0.6))


def shop_around(visit: Visit) -> list[Product]:
    """Look at products, and return those put into the cart."""
    rng, cart = visit.rng, []
    if happens(rng, 0.3):
        visit.track("Products Searched", query=rng.choice(["oak desk", "lamp", "gift", "blanket"]))
    for product in rng.sample(CATALOGUE, k=rng.choice([0, 1, 1, 2, 3])):
        visit.page(f"/{product.category}/{product.sku.lower()}", product.name)
        details = {"sku": product.sku, "name": product.name, "category": product.category}
        visit.track("Product Viewed", **details, price=product.price_cents / 100)
        if happens(rng, 0.35):
            cart.append(product)
            visit.track("Product Added", **details, price=product.price_cents / 100, quantity=1)
    return cart


def check_out(visit: Visit, cart: list[Product]) -> None:
    """Buy what is in the cart."""
    rng = visit.rng
    cents = sum(product.price_cents for product in cart)
    shipping_cents = 0 if cents > FREE_SHIPPING_FROM_CENTS else 495
    lines = [{"sku": product.sku, "price": product.price_cents / 100, "quantity": 1} for product in cart]
    visit.page("/checkout", "Checkout")
    visit.track(
        "Order Completed",
        order_id=f"o_{rng.randrange(100_000, 1_000_000)}",
        total=(cents + shipping_cents) / 100,
        shipping=shipping_cents / 100,
        currency="USD",
        **({"coupon": rng.choice(COUPONS)} if happens(rng, 0.25) else {}),
        products=lines,
    )


def say_who(visit: Visit) -> None:
    """Log in, leave an address, or neither."""
    rng, person, device = visit.rng, visit.person, visit.device
    if visit.user_id or not person.user_id:
        return
    if device.logs_in and happens(rng, 0.6):
        visit.log_in()
        others = [one.anonymous_id for one in person.devices if one is not device]
        if others and happens(rng, 0.3):
            # The shop asks whether the visitor on that other device was the same person: yes.
            visit.add("alias", previousId=others[0])
        if happens(rng, 0.06):
            visit.add("group", groupId=f"g_{rng.randrange(3)}", traits={"name": rng.choice(COMPANIES)})
    elif happens(rng, 0.15):
        # A newsletter form: an address without an account.
        visit.add("identify", traits={"email": person.traits["email"].upper()})


def visits_of(rng: random.Random, person: Person) -> Iterator[Visit]:
    """Make up a person's visits; who logged in on a device stays so."""
    signed_in: set[str] = set()
    starts = sorted(rng.randrange(DAYS * 86_400) for _ in range(rng.choice([1, 1, 2, 2, 3, 3, 4, 5])))
    for start_s in starts:
        device = rng.choice(person.devices)
        visit = Visit(rng, person, device, START + timedelta(seconds=start_s))
        if device.anonymous_id in signed_in:
            visit.user_id = person.user_id
        say_who(visit)
        if visit.user_id:
            signed_in.add(device.anonymous_id)
        cart = shop_around(visit)
        if cart and happens(rng, 0.8 if visit.user_id else 0.15):
            check_out(visit, cart)
        if happens(rng, 0.01):
            # Somebody takes their consent back at the end of a visit.
            visit.page("/privacy", "Privacy settings")
            visit.events[-1]["context"]["anonymous"] = True
        yield visit


def sample_events() -> list[dict[str, Any]]:
    """Return all events in the order in which the server received them."""
    rng = random.Random(SEED)  # noqa: S311  # the same customers every time is the point
    people = [any_person(rng, number) for number in range(PEOPLE)]
    events = [event for person in people for visit in visits_of(rng, person) for event in visit.events]
    return sorted(events, key=lambda event: (event["receivedAt"], event["messageId"]))


def main() -> None:
    """Write the events to standard output, one a line."""
    for event in sample_events():
        sys.stdout.write(json.dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
