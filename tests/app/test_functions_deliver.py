"""Deliveries: a message goes when it is done with, and comes again, later and later, when it is not."""

import pytest
from msgspec.structs import replace

from shared.adapters.function_errors import S3FunctionErrors
from shared.app.functions.deliver import BuildingError, Deliver, Delivery, Message
from shared.app.functions.dispatch import Delayed, Due
from shared.app.functions.errors import FunctionError, Standing, retry, standing
from shared.app.functions.failing import Backoff
from shared.app.functions.run import Became, Ran
from shared.core.functions import FunctionFailure
from tests.fakes.objects import FakeObjects

DUE = Due("shop", 3, "p1", 1_000_000)
BODY = '{"builder":"shop","version":3,"profile_id":"p1","rev":1000000}'
FAILURE = FunctionFailure("function_error", "ValueError in line 3")
NOW_US = 31_000_000


class FakeRuns:
    def __init__(self, outcome):
        self.outcome = outcome

    def run(self, due):
        assert due == DUE
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class World:
    """Deliveries of one version, whose runs come to `outcome`."""

    def __init__(self, outcome=None):
        self.held = []
        self.refuses = False
        self.objects = FakeObjects()
        self.errors = S3FunctionErrors(self.objects)
        self.sent = []
        self.builds = False
        self.now_us = NOW_US
        self.runs = None if outcome is None else FakeRuns(outcome)
        self.deliver = Deliver(
            self.runs_of,
            self,
            self.errors,
            Backoff(attempts=3, first_s=30),
            lambda: self.now_us,
        )

    def runs_of(self, builder, version):
        if self.builds:
            raise BuildingError
        return self.runs if (builder, version) == ("shop", 3) else None

    def send(self, messages):
        if self.refuses:
            raise ConnectionError("cannot be sent")
        self.sent += messages

    def hold(self, receipt, delay_s):
        if self.refuses:
            raise ConnectionError("cannot be held")
        self.held.append((receipt, delay_s))

    def take(self, received=1, body=BODY):
        return self.deliver.take(Message("m1", "r1", body, received))


@pytest.mark.parametrize("became", [Became.WRITTEN, Became.NOT_DUE, Became.SUPERSEDED, Became.GONE])
def test_a_message_that_is_done_with_goes(became):
    world = World(Ran(became))
    delivery = world.take()
    assert (delivery.became, delivery.again, delivery.age_ms) == (became, False, 30_000)
    assert world.held == []


def test_a_message_of_a_version_that_has_ended_goes():
    assert World().take().became is Became.GONE


def test_what_is_no_message_goes_and_is_told():
    assert World(Ran(Became.WRITTEN)).take(body="{}") == Delivery(Message("m1", "r1", "{}", 1))


def test_a_failure_comes_again_later_and_later():
    world = World(Ran(Became.FAILED, FAILURE, attempt=2, again_s=120))
    delivery = world.take()
    assert (delivery.again, delivery.failure, delivery.attempt) == (True, FAILURE, 2)
    assert world.held == [("r1", 120)]
    assert list(world.errors.list()) == []


def test_a_message_whose_function_rests_comes_again_and_is_no_failure():
    world = World(Ran(Became.RESTING, again_s=17))
    delivery = world.take()
    assert (delivery.became, delivery.again, delivery.failure) == (Became.RESTING, True, None)
    assert world.held == [("r1", 17)]


def test_after_the_last_attempt_the_profile_is_listed_and_the_message_goes():
    world = World(Ran(Became.FAILED, FAILURE, attempt=3))
    assert not world.take(7).again
    assert world.held == []
    [error] = world.errors.list("shop")
    assert error == FunctionError(DUE, "function_error", "ValueError in line 3", 3, NOW_US // 1000)
    assert list(world.errors.list("other")) == []
    world.errors.delete(error)
    assert list(world.errors.list()) == []


@pytest.mark.parametrize(("received", "delay_s"), [(1, 30), (3, 480), (50, 21_600)])
def test_while_nothing_is_known_of_the_function_a_message_comes_again_however_often(received, delay_s):
    error = OSError("cannot be called")
    world = World(error)
    delivery = world.take(received)
    assert (delivery.again, delivery.error, delivery.became) == (True, error, None)
    assert world.held == [("r1", delay_s)]
    assert list(world.errors.list()) == []


@pytest.mark.parametrize("outcome", [OSError("cannot be called"), Ran(Became.FAILED, FAILURE, 0, 1, 30)])
def test_a_message_that_cannot_be_held_back_comes_again_and_takes_no_neighbour_with_it(outcome):
    world = World(outcome)
    world.refuses = True
    delivery = world.take()
    assert (delivery.again, delivery.due, delivery.became) == (True, DUE, None)
    assert isinstance(delivery.error, OSError)
    assert list(world.errors.list()) == []


@pytest.mark.parametrize(("age_s", "delay_s"), [(0, 30), (300, 150), (1800, 900), (600_000, 900)])
def test_a_message_of_a_version_that_is_being_built_goes_and_another_comes_later(age_s, delay_s):
    world = World(Ran(Became.WRITTEN))
    world.builds, world.now_us = True, DUE.rev + age_s * 1_000_000
    assert world.take(99) == Delivery(Message("m1", "r1", BODY, 99), DUE, Became.POSTPONED)
    assert (world.sent, world.held) == ([Delayed(DUE, delay_s)], [])
    world.builds = False
    assert world.take().became is Became.WRITTEN


def test_a_message_of_a_version_that_is_being_built_stays_if_no_other_can_be_sent():
    world = World(Ran(Became.WRITTEN))
    world.builds = world.refuses = True
    assert world.take().again


class FakeDue:
    def __init__(self, revs):
        self.revs = revs
        self.asked = []

    def revisions(self, errors):
        self.asked.append(len(errors))
        return [self.revs.get(one.due.profile_id) for one in errors]


def test_an_error_stands_for_as_long_as_its_profile_is_due():
    errors = [
        FunctionError(Due("shop", 3, f"p{number}", 1), "function_error", "", 3, 0) for number in range(5)
    ]
    due = FakeDue({"p1": 7, "p4": 9})
    found = list(standing(errors, due, together=2))
    assert found == [
        Standing(error, rev) for error, rev in zip(errors, [None, 7, None, None, 9], strict=True)
    ]
    assert due.asked == [2, 2, 1]


def test_an_error_is_not_forgotten_when_the_function_has_failed_again_before_that():
    world, again = World(), []
    first = FunctionError(DUE, "function_error", "KeyError in line 3", 1, 1000)
    second = replace(first, failed_at=2000)
    world.errors.put(first)

    def runs_at_once(messages):
        again.extend(messages)
        world.errors.put(second)

    world.send = runs_at_once
    assert retry(world.errors, world, [Standing(first, 7)]) == (1, 0)
    assert len(again) == 1
    assert list(world.errors.list()) == [second]
