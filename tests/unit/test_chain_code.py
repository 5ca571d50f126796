"""What a chain may be written as, and what its context gives it."""

import sys

import pytest

from shared.core.user_code import UserCodeError
from tests.unit.test_chain import chain, run, transform

NO_CHAINS = {
    "": (1, "must define"),
    "x = 1": (1, "must define"),
    "def transform(event, context): pass\nchain = [transform]": (1, "must define"),
    "chain = []": (1, "not empty"),
    "chain = 5": (1, "a list of functions"),
    "transform = 5": (1, "must be a function"),
    "\nasync def transform(event, context): pass": (2, "not an async one"),
    "\ndef transform(event): pass": (2, "two arguments"),
    "\ndef transform(event, context, more): pass": (2, "two arguments"),
    "def transform(:": (1, "invalid syntax"),
    "import missing_module": (1, "ModuleNotFoundError"),
    "\nx = {}['key']": (2, "KeyError"),
    "raise SystemExit(0)": (1, "SystemExit"),
    f"x = {'-' * 100_000}1": (1, "nests too deep"),
}


@pytest.mark.parametrize("source", NO_CHAINS)
def test_what_is_no_chain_is_told_with_its_line(source):
    line, message = NO_CHAINS[source]
    with pytest.raises(UserCodeError) as raised:
        chain(source)
    assert message in str(raised.value)
    assert raised.value.line == line


@pytest.mark.parametrize(
    "source",
    [
        "def transform(event, context, more=1): pass",
        "def transform(*arguments): pass",
        "transform = lambda event, context: None",
        "class One:\n    def __call__(self, event, context): pass\nchain = [One()]",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n  b: 'int'\ntransform = lambda *_: None",
    ],
)
def test_anything_that_can_be_called_with_two_arguments_is_a_function(source):
    assert run(chain(source)) is None


def test_two_chains_share_nothing():
    source = """
        seen = []
        def transform(event, context):
            seen.append(1)
            return {"seen": len(seen)}
    """
    assert run(chain(source)) == run(chain(source)) == [("", {"seen": 1})]
    assert "transform" not in sys.modules


def test_the_context_logs_counts_and_says_who_runs_and_never_tells_a_secret():
    lines, counts = [], {}
    made_by = chain(
        """
        def transform(event, context):
            context.log.info("key", context.env["KEY"]) if False else None
            context.log.info("key " + context.env["KEY"], url="https://x/?k=" + context.env["KEY"])
            context.log.warn({"number": 1}); context.log.debug("d"); context.log.error("x" * 5000)
            context.metrics.count("seen"); context.metrics.count("seen", 2)
            return {"builder": context.profile_builder.id, "version": context.profile_builder.version}
        """,
        lines,
        counts,
        {"KEY": "s3cret-value", "SHORT": "e"},
    )
    assert run(made_by) == [("", {"builder": "customers", "version": 7})]
    assert [level for level, _ in lines] == ["info", "warn", "debug", "error"]
    assert lines[0][1] == "key *** url=https://x/?k=***"
    assert len(lines[3][1]) == 2000


@pytest.mark.parametrize("name", ["context.env['KEY']", "'a.' + context.env['KEY'] + '_b'"])
def test_no_counter_is_called_by_a_secret(name):
    counts = {}
    made_by = chain(
        f"""
        def transform(event, context):
            try:
                context.metrics.count({name})
            except ValueError as error:
                return {{"told": str(error)}}
        """,
        [],
        counts,
        {"KEY": "s3cret_value"},
    )
    [(_, told)] = run(made_by)
    assert "must not hold a value of `env`" in told["told"]
    assert "s3cret" not in told["told"]
    assert counts == {}


def test_nobody_changes_the_variables_of_others():
    made_by = transform("context.env['A'] = '1'")
    assert run(made_by).reason == "transform_error"
