"""The parts that keys of a builder are made of: names, paths, conditions, block lists, durations."""

import re
from decimal import Decimal
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from shared.core.definition import Path
from shared.core.identity.identifiers import DEFAULT_BLOCK
from shared.core.identity.patterns import BadPatternError, check, matcher

PATH_KEYS_MAX: Final = 16
REGEX_CHARACTERS_MAX: Final = 1000
REGEXES_MAX: Final = 100

Plain = str | int | Decimal | bool
"""What the text of a definition holds beside mappings and lists."""
_JsonPlain = str | int | float | bool

NAME_PATTERN: Final = "^[a-z][a-z0-9_]{0,63}$"
ENVIRONMENT_PATTERN: Final = "^[A-Za-z_][A-Za-z0-9_]{0,127}$"
ATTRIBUTE_PATTERN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
VAULT_NAME_PATTERN: Final = "^kith/[A-Za-z0-9/_+=.@-]{1,500}$"
HOST_PATTERN: Final = r"^(\*\.)?[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
SECONDS_PATTERN: Final = "^([1-9]|[12][0-9]|30) seconds?$"
MONTHS_PATTERN: Final = "^([1-9][0-9]?|1[01][0-9]|120) months?$"
WINDOW_PATTERN: Final = "^([7-9]|[1-9][0-9]|[12][0-9]{2}|3[0-5][0-9]|36[0-5]) days$"
DEBOUNCE_PATTERN: Final = "^(0|[1-9][0-9]?|[1-8][0-9]{2}|900) seconds?$"
RUN_PATTERN: Final = "^([1-9]|[1-5][0-9]|60) seconds?$"


def parse_path(value: Any) -> Path:
    """Return the keys of a dotted path. Raises ValueError, with what a path may be."""
    if not isinstance(value, str):
        raise ValueError("must be a dotted path, such as `context.page.url`")  # noqa: TRY004  # pydantic's protocol
    keys = tuple(value.split("."))
    if not all(keys):
        raise ValueError("must be a dotted path without empty keys, such as `context.page.url`")
    if "*" in value or "[" in value:
        raise ValueError(
            "must be a plain dotted path: there are no wildcards or indexes "
            "(an array at the end of a path gives each of its elements to list and unique_list)"
        )
    if len(keys) > PATH_KEYS_MAX:
        raise ValueError(f"must have at most {PATH_KEYS_MAX} keys")
    return keys


def parse_months(value: Any) -> int:
    """Return a number of months. Raises ValueError for anything but `1 month` ... `120 months`."""
    match = re.fullmatch(MONTHS_PATTERN, value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a number of months from `1 month` to `120 months`")
    return int(match[1])


def parse_window(value: Any) -> str:
    """Return a number of days as written. Raises ValueError for anything but `7 days` ... `365 days`."""
    if not isinstance(value, str) or not re.fullmatch(WINDOW_PATTERN, value):
        raise ValueError("must be a number of days from `7 days` to `365 days`")
    return value


def parse_debounce(value: Any) -> str:
    """Return seconds as they are written. Raises ValueError for other than `0 seconds` to `900 seconds`."""
    if not isinstance(value, str) or not re.fullmatch(DEBOUNCE_PATTERN, value):
        raise ValueError("must be a number of seconds from `0 seconds` to `900 seconds`")
    return value


def parse_run(value: Any) -> str:
    """Return seconds as they are written. Raises ValueError for other than `1 second` to `60 seconds`."""
    if not isinstance(value, str) or not re.fullmatch(RUN_PATTERN, value):
        raise ValueError("must be a number of seconds from `1 second` to `60 seconds`")
    return value


def scalar_text(value: Plain) -> str:
    """Write a scalar the way YAML and JSON do."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _scalar(value: Any) -> Plain:
    if not isinstance(value, Plain):
        raise ValueError("must be text, a number, true or false")  # noqa: TRY004  # pydantic's protocol
    return value


def _one_or_more(value: Any) -> Any:
    if value == []:
        raise ValueError("must not be an empty list")
    return value if isinstance(value, list) else [value]


def _blocked_value(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("must be text or a whole number; quote true, false and other numbers")  # noqa: TRY004  # pydantic's protocol
    return str(value)


def _block_regex(value: str) -> str:
    try:
        check(value)
    except BadPatternError as error:
        raise ValueError(f"must be a regular expression of RE2: {error}") from None
    return value


def _block_regexes(values: list[str]) -> list[str]:
    try:
        matcher([*DEFAULT_BLOCK.regex, *values])
    except BadPatternError as error:
        raise ValueError(f"must be regular expressions that RE2 has room for: {error}") from None
    return values


_T = TypeVar("_T")
_Some = Annotated[list[_T], Field(min_length=1)]
_PATH_SCHEMA = Annotated[str, Field(pattern=r"^[^.*\[]+(\.[^.*\[]+){0,15}$")]

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
AttributeName = Annotated[str, Field(min_length=1, max_length=255, pattern=ATTRIBUTE_PATTERN)]
EnvironmentName = Annotated[str, Field(pattern=ENVIRONMENT_PATTERN)]

DottedPath = Annotated[Path, PlainValidator(parse_path, json_schema_input_type=_PATH_SCHEMA)]
Paths = Annotated[
    list[DottedPath],
    BeforeValidator(_one_or_more, json_schema_input_type=_PATH_SCHEMA | _Some[_PATH_SCHEMA]),
]

ScalarValue = Annotated[Plain, PlainValidator(_scalar, json_schema_input_type=_JsonPlain)]
Values = Annotated[
    list[ScalarValue], BeforeValidator(_one_or_more, json_schema_input_type=_JsonPlain | _Some[_JsonPlain])
]
When = Annotated[dict[DottedPath, Values], Field(min_length=1)]
Options = dict[str, ScalarValue]

BlockedValue = Annotated[str, PlainValidator(_blocked_value, json_schema_input_type=str | int)]
BlockRegex = Annotated[str, Field(max_length=REGEX_CHARACTERS_MAX), AfterValidator(_block_regex)]
BlockRegexes = Annotated[list[BlockRegex], Field(max_length=REGEXES_MAX), AfterValidator(_block_regexes)]
Months = Annotated[
    int,
    PlainValidator(parse_months, json_schema_input_type=Annotated[str, Field(pattern=MONTHS_PATTERN)]),
]
Debounce = Annotated[
    str,
    PlainValidator(parse_debounce, json_schema_input_type=Annotated[str, Field(pattern=DEBOUNCE_PATTERN)]),
]
RunTime = Annotated[
    str,
    PlainValidator(parse_run, json_schema_input_type=Annotated[str, Field(pattern=RUN_PATTERN)]),
]
Window = Annotated[
    str,
    PlainValidator(parse_window, json_schema_input_type=Annotated[str, Field(pattern=WINDOW_PATTERN)]),
]
