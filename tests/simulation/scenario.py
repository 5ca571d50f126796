"""What a seed means: a setting, and a list of steps, drawn up front so that any of them may be left out."""

import gzip
import json
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

from shared.core.memory import REMEMBERED_MAX
from tests.people import DAY, HOUR, T0

ENGINES = "engines"
"""The store of worlds on real engines (`tests/engines`), which have their own faults and their own time."""
MINUTE = 60_000
EPOCH_MS = 3 * HOUR
"""Each quiet jump begins a slot of its own of the day, so that no expiry and no end of a dedup window falls
into the lag of consumers: there the order of two shards would rightly decide."""
EPOCHS_MAX = 8
EPOCH_OF_LIVES_MS = HOUR
EPOCHS_OF_LIVES_MAX = 24
"""Where lives end often there are more of these slots, and nothing waits for long in them."""
EVENTS_OF_RECORD_MAX = 5
FEW_REMEMBERED = 16
APART_RATE = 0.9
"""How often an event links nobody with anybody, where batches are to be written in part."""


class Setting(NamedTuple):
    """One world. `is_ordered`: one lane of one shard, where order of arrival decides all, exactly.

    Otherwise shards race, and what order decides (ids, and the arrival that counts of a duplicate) is left
    out of the comparison; limits and breaking, which order decides as well, do not occur.

    Where reads are stale (`is_stale`), events of one batch may turn out to be one person's only when their
    writes conflict; at a limit, and where profiles break, either order of them is right.
    """

    seed: int
    store: str
    is_ordered: bool
    kind: str
    is_small: bool
    is_stale: bool
    actions_max: int
    shards: int
    processes: int
    batch_max: int
    people: int
    fault_rate: float
    cache: bool
    attempts_max: int
    is_hot: bool
    has_copies: bool
    has_chain: bool
    has_impatience: bool
    """Whether calls of ingestion are given up that go on, so that two work at the same records at once."""
    has_ends: bool
    """Whether events arrive in the very milliseconds about an expiry; only where order decides all."""
    has_damage: bool
    is_drained: bool
    """Whether batches are given up at once, many in a storm, and drained and replayed in the midst of it."""
    has_lives: bool
    """Whether lives end often: few people, months in between, and TTL that takes first what it likes."""
    remembered: int
    """How many events a profile remembers. Where they are few, what is delivered again is fewer: whatever
    comes again later than that counts again, and nobody could say which of it does."""

    @property
    def is_forgetful(self):
        """Whether profiles remember few events."""
        return self.remembered < REMEMBERED_MAX

    @property
    def epoch_ms(self):
        """How long each slot is that a quiet jump begins."""
        return EPOCH_OF_LIVES_MS if self.has_lives else EPOCH_MS

    @property
    def epochs_max(self):
        return EPOCHS_OF_LIVES_MAX if self.has_lives else EPOCHS_MAX

    @property
    def has_versions(self):
        """Whether versions are published in it."""
        every = {"versions": 1, "functions": 3, "damaged": 5, "lives": 4}.get(self.store)
        return every is not None and self.seed % every == 0


class Step(NamedTuple):
    """One thing that happens to the world, after the tasks in it have gone on for so many ticks."""

    number: int
    ticks: int
    what: str
    details: tuple

    def __str__(self):
        shown = ", ".join(_shown(one) for one in self.details)
        return f"after {self.ticks} ticks: {self.what}({shown})"


def setting_of(seed, store="dynamo"):
    random = Random(f"setting {seed}")
    is_ordered = random.random() < 0.4
    kind = random.choice(["plain", "plain", "limited", "known only"] if is_ordered else ["plain"])
    is_small = is_ordered and random.random() < 0.4
    is_stale = random.random() < (0.3 if is_small or kind == "limited" else 0.8)
    is_hot = not is_ordered and random.random() < 0.2
    setting = Setting(
        seed=seed,
        store=store,
        is_ordered=is_ordered,
        kind=kind,
        is_small=is_small,
        is_stale=is_stale,
        actions_max=random.choice([100, 100, 12, 8]),
        shards=1 if is_ordered else random.randint(1, 6 if is_hot else 4),
        processes=random.randint(1, 6 if is_hot else 4),
        batch_max=random.choice([1, 3, 7, 20]),
        people=1 if is_hot else random.randint(1, 6),
        fault_rate=random.choice([0, 0.005, 0.02, 0.06]),
        cache=is_stale and random.random() < 0.8,
        attempts_max=10**9 if is_ordered else random.choice([0, 1, 10**9]),
        is_hot=is_hot,
        has_copies=random.random() < 0.5,
        has_chain=random.random() < 0.3,
        has_impatience=random.random() < 0.3,
        has_ends=random.random() < 0.4 and is_ordered,
        has_damage=store == "damaged" or (store == "functions" and seed % 6 == 1),
        is_drained=False,
        has_lives=store == "lives",
        remembered=REMEMBERED_MAX,
    )
    if store == ENGINES:
        return setting
    if setting.has_lives:
        return _of_lives(setting)
    if is_ordered and not setting.has_damage and random.random() < 0.3:
        return _forgetful(setting)
    if not is_ordered and random.random() < 0.2:
        return _drained(setting)
    return setting


def _drained(setting):
    """Return a setting in which Lambda gives up large batches, at once."""
    return setting._replace(
        is_drained=True,
        attempts_max=0,
        batch_max=max(setting.batch_max, 7),
        people=max(setting.people, 4),
        fault_rate=setting.fault_rate or 0.005,
        has_chain=setting.has_chain or setting.seed % 2 == 0,
    )


def _of_lives(setting):
    """Return a setting in which few people, on few devices, are forgotten again and again."""
    random = Random(f"lives {setting.seed}")
    return setting._replace(
        is_small=False,
        kind=random.choice(["plain", "plain", "plain", "known only"] if setting.is_ordered else ["plain"]),
        actions_max=random.choice([100, 12, 8, 4, 1]),
        people=random.randint(1, 2),
        fault_rate=random.choice([0.005, 0.02, 0.06, 0.15]),
        is_hot=False,
        has_ends=setting.is_ordered and random.random() < 0.6,
    )


def _forgetful(setting):
    """Return a setting in which profiles remember few events, and each more than come again at once."""
    return setting._replace(
        remembered=FEW_REMEMBERED,
        people=min(setting.people, 2),
        batch_max=min(setting.batch_max, FEW_REMEMBERED // EVENTS_OF_RECORD_MAX),
        has_chain=False,
        has_impatience=False,
    )


def steps_of(setting, count):
    """Return the steps of a run."""
    random = Random(f"steps {setting.seed}")
    events = _Events(random, setting)
    steps, epochs = [], 1
    weights = _WEIGHTS | (_OF_VERSIONS if setting.has_versions else {})
    weights = weights | (_OF_LIVES if setting.has_lives else {})
    weights = weights | (_OF_DRAINED if setting.is_drained else {})
    weights = weights | (_OF_FUNCTIONS if setting.store == "functions" else {})
    weights = weights | (_OF_DAMAGE if setting.has_damage else {})
    weights = weights | (_OF_DAMAGED_BUILDS if setting.has_damage and setting.has_versions else {})
    for number in range(count):
        what = random.choices(list(weights), list(weights.values()))[0]
        ticks = random.choice([0, 0, random.randint(0, 20), random.randint(0, 200)])
        details = (random.randrange(2**16),)
        if what == "jump":
            if epochs == setting.epochs_max:
                continue
            epochs += 1
            days = _DAYS_OF_LIVES if setting.has_lives else _DAYS
            details = (random.choice(days), random.random() < 0.7)
        elif what == "put":
            details = events.record()
        elif what == "publish":
            details = (*details, *events.about_t0())
        elif what == "idle":
            details = (random.choice([1_000, 30_000, random.randint(1, 5 * MINUTE)]),)
        elif what == "lag":
            details = (random.randint(MINUTE, 2 * HOUR if setting.is_ordered else 20 * MINUTE),)
            if setting.has_lives:
                details = (details[0] // 8,)
        elif what in {"reap", "freeze"}:
            details = (random.randrange(2**16), random.random())
        steps.append(Step(number, ticks, what, details))
    return steps


_DAYS = [0, 1, 2, 20, 29, 32, 45, 420]
_DAYS_OF_LIVES = [0, 1, 20, 27, 29, 32, 32, 36, 40, 45, 60, 400, 420, 500]
"""About a month and 13, after which profiles expire, and a quarter more: what leads to them stays so long."""


_WEIGHTS = {
    "put": 60,
    "kill": 8,
    "read": 6,
    "reap": 5,
    "jump": 4,
    "lag": 3,
    "rewind": 4,
    "freeze": 3,
    "split": 2,
    "merge": 2,
    "drain": 3,
    "replay": 1,
}


_OF_LIVES = {"put": 45, "read": 12, "reap": 16, "jump": 12, "rewind": 2}
_OF_DRAINED = {"drain": 15, "replay": 10, "storm": 10}
_OF_VERSIONS = {"publish": 5, "cancel": 2, "stall": 6}
_OF_DAMAGE = {"damage": 8, "mend": 4, "replay": 4}
_OF_DAMAGED_BUILDS = {"damage_object": 5}
_OF_FUNCTIONS = {"idle": 10, "retry": 2, "stall": 6}


class _Events:
    """Records of a few people on shared devices: (partition key, bytes), with copies by producers."""

    def __init__(self, random, setting):
        self.random = random
        self.setting = setting
        self.number = 0
        self.sent = []

    def record(self):
        random = self.random
        if self.sent and self.setting.has_copies and random.random() < 0.15:
            return self._copy()
        size = random.choice([1, 1, 1, 2, EVENTS_OF_RECORD_MAX])
        texts = [json.dumps(self._event()).encode() for _ in range(size)]
        if random.random() < 0.05:
            texts.insert(random.randint(0, size), random.choice([b'{"cut', b"[]", b"7", b"\xff\xfe", b'"x"']))
        if len(texts) == 1:
            data = texts[0]
        elif random.random() < 0.5:
            data = b"[" + b",".join(texts) + b"]"
        else:
            data = b"\n".join(texts)
        if random.random() < 0.1:
            data = gzip.compress(data, mtime=0)
        record = (f"k{random.randrange(50)}", data)
        self.sent.append(record)
        return record

    def about_t0(self):
        """Return a record for each side of a moment, and one that stands on both where producers copy."""
        before, at = self.record(), self.record()
        return before, at, self._copy() if self.setting.has_copies else self.record()

    def _copy(self):
        key, data = self.random.choice(self.sent[-12:])
        return (key if self.random.random() < 0.5 else f"k{self.random.random()}", data)

    def _event(self):
        random, people = self.random, self.setting.people
        self.number += 1
        cookies = [f"cookie-{one}" for one in range(people + 2)]

        def some(values, chance=0.6):
            return random.choice(values) if random.random() < chance else None

        body = {
            "messageId": f"m{random.randint(0, 99):02}-{self.number}",
            "type": random.choice(["track", "identify", "page"]),
            "event": random.choice(["Order", "View"]),
            "userId": some([f"user-{one}" for one in range(people)], 0.4),
            "anonymousId": some(cookies),
            "previousId": some(cookies, 0.1),
            "properties": {
                "source": some(["ads", "mail", "social"]),
                "page": some(["/a", "/b", "/c", "/d"]),
                "pages": random.choices(["/d", "/e"], k=random.choice([0, 0, 1, 5])),
                "tags": random.choices("uvwxyz", k=random.choice([0, 0, 1, 3])),
                "total": some([0, 1, 25, "125.50", "75.25", "-0.01", "1e37", "1e-20", "no number"]),
            },
            "traits": {
                name: random.choice([None, "a", "b", 1, {"deep": 3, "gone": None}, [1, {"x": 2}]])
                for name in random.sample(["name", "plan", "list"], random.choice([0, 0, 1, 3]))
            },
        }
        if self.setting.is_hot:
            body["anonymousId"] = random.choice(["bot", "bot", "bot", body["anonymousId"]])
        if random.random() < 0.1:
            body["traits"]["email"] = random.choice(["A@example.com", "b@example.com"])
        if random.random() < 0.05:
            body["context"] = {"anonymous": True}
        if self.setting.is_drained and random.random() < APART_RATE:
            body |= self._alone(random.randrange(people))
            body["traits"].pop("email", None)
        return body | self._times()

    def _alone(self, person):
        """Return the identifiers of one person, on a device of their own."""
        user, cookie = self.random.choice([(True, False), (False, True), (True, True)])
        return {
            "userId": f"user-{person}" if user else None,
            "anonymousId": f"cookie-{person}" if cookie else None,
            "previousId": None,
        }

    def _times(self):
        """When the source says it happened: before everything, always readable, where copies may race."""
        random = self.random
        then = T0 - random.choice([0, 0, 0, 1000, HOUR, 3 * DAY, random.randrange(DAY)])
        plain = {"timestamp": _text(then)}
        if self.setting.has_copies and not self.setting.is_ordered:
            return plain
        kinds = [plain, plain, {}, {"timestamp": "yesterday"}, {"timestamp": _text(then + 9000 * DAY)}]
        times = random.choice([*kinds, plain | {"sentAt": _text(then + random.randint(-HOUR, HOUR))}])
        if random.random() < 0.03:
            times = times | {"messageId": None}
        return times


def _text(ms):
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


def _shown(value):
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    if not isinstance(value, bytes):
        return str(value)
    text = gzip.decompress(value) if value.startswith(b"\x1f") else value
    try:
        return json.dumps(_brief(json.loads(text)))
    except ValueError:
        lines = text.splitlines()
        return " | ".join(map(_shown, lines)) if len(lines) > 1 else text.decode("utf-8", "replace")


def _brief(value):
    """Leave out of an event what says nothing."""
    if isinstance(value, list):
        return [_brief(one) for one in value]
    if isinstance(value, dict):
        return {name: _brief(one) for name, one in value.items() if one not in (None, [], {})}
    return value
