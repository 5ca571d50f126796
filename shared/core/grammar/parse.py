"""From the text of a `builder.yaml` to its `Definition`, or to all of its problems at once."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.core.aggregations.registry import AGGREGATIONS
from shared.core.definition import (
    Attribute,
    Block,
    Condition,
    DecimalNumber,
    Definition,
    IdentifierType,
    Path,
    Retention,
    Secret,
)
from shared.core.grammar.document import Document, read_document
from shared.core.grammar.fields import (
    ATTRIBUTE_PATTERN,
    ENVIRONMENT_PATTERN,
    HOST_PATTERN,
    NAME_PATTERN,
    SECONDS_PATTERN,
    VAULT_NAME_PATTERN,
    Plain,
    scalar_text,
)
from shared.core.grammar.models import (
    MODELS,
    AttributeModel,
    BlockModel,
    BuilderBlockModel,
    BuilderModel,
    FetchModel,
    IdentifierModel,
    SecretModel,
)
from shared.core.grammar.problems import DefinitionError, Location, Problem, listed, suggestion
from shared.core.identity.identifiers import DEFAULT_BLOCK

_OWN_STEPS = {"[key]", "[text]", "[secret]"}
_MESSAGES = {
    "missing": "is required",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping (`key: value`)",
    "int_type": "must be a whole number",
    "list_type": "must be a list",
    "model_type": "must be a mapping (`key: value`)",
    "string_too_short": "must have at least {min_length} character",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} entries",
    "string_type": "must be text; quote it if it looks like something else",
    "too_short": "needs at least one entry",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
}
_PATTERNS = {
    ATTRIBUTE_PATTERN: "must not contain control characters",
    NAME_PATTERN: "must be 1 to 64 of a-z, 0-9 and _, the first a letter",
    HOST_PATTERN: "must be a host's name, such as `api.example.com` or `*.example.com`",
    SECONDS_PATTERN: "must be a number of seconds from `1 second` to `30 seconds`",
    VAULT_NAME_PATTERN: "must be the name of a secret that begins with `kith/`",
    ENVIRONMENT_PATTERN: "must be 1 to 128 letters, digits and _, the first no digit",
}


def parse_definition(text: str, source: str = "builder.yaml") -> Definition:
    """Return the definition that a text states; `source` names the text in messages.

    Raises `DefinitionError` with all problems at once.
    """
    document = read_document(text)
    problems = list(document.problems)
    builder = None
    if document.value is not None:
        try:
            builder = BuilderModel.model_validate(document.value)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=True)
            problems.extend(_problem(one, document) for one in details)
        problems.extend(_collisions(document))
    if builder is None or problems:
        raise DefinitionError(_first_per_path(problems), source)
    return _definition(builder)


def _problem(error: ErrorDetails, document: Document) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    # pydantic names the key of a mapping, and the form of a value that has several, by a step of its own.
    location = tuple(step for step in error["loc"] if step not in _OWN_STEPS)
    if kind == "extra_forbidden":
        allowed = _allowed_keys(location[:-1])
        close = suggestion(str(location[-1]), allowed)
        return document.problem(location, f"is not a key here{close}; allowed: {listed(allowed)}")
    if kind == "value_error":
        return document.problem(location, str(context["error"]))
    if kind == "literal_error":
        allowed = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        given = error["input"]
        close = suggestion(given, allowed) if isinstance(given, str) else ""
        return document.problem(location, f"must be one of {listed(allowed)}{close}")
    if kind == "string_pattern_mismatch":
        return document.problem(location, _PATTERNS[context["pattern"]])
    message = _MESSAGES[kind].format(**context) if kind in _MESSAGES else error["msg"]
    return document.problem(location, message)


def _allowed_keys(location: Location) -> list[str]:
    """Return the keys allowed in the mapping at a location."""
    pattern = tuple("*" if depth == 1 else str(step) for depth, step in enumerate(location))
    return [field.alias or name for name, field in MODELS[pattern].model_fields.items()]


def _collisions(document: Document) -> Iterator[Problem]:
    """Find attributes that present a name which an earlier one presents already."""
    owners: dict[str, str] = {}
    for name, output in _outputs(document.value):
        owner = owners.setdefault(output, name)
        if owner != name:
            message = f"presents `{output}`, which `{owner}` presents already; rename one of them"
            yield document.problem(("attributes", name), message)


def _outputs(value: Any) -> Iterator[tuple[str, str]]:
    """Yield (attribute, name it presents) as far as the text is sound enough to tell."""
    attributes = value.get("attributes") if isinstance(value, dict) else None
    for name, attribute in attributes.items() if isinstance(attributes, dict) else ():
        aggregation = attribute.get("aggregation") if isinstance(attribute, dict) else None
        known = AGGREGATIONS.get(aggregation) if isinstance(aggregation, str) else None
        for suffix in known.suffixes if known else ("",):
            yield name, name + suffix


def _first_per_path(problems: list[Problem]) -> Iterator[Problem]:
    """Keep the first problem of each place: what follows from it says nothing new."""
    seen: set[tuple[int, str]] = set()
    for problem in problems:
        place = (problem.line, problem.path)
        if place not in seen:
            seen.add(place)
            yield problem


def _definition(builder: BuilderModel) -> Definition:
    declared = list(builder.identifiers.items())
    # Explicit priorities come first, smallest first; sorting keeps the order of declaration among equals.
    declared.sort(key=lambda item: (item[1].priority is None, item[1].priority or 0))
    return Definition(
        name=builder.name,
        identifiers=tuple(_identifier_type(name, model) for name, model in declared),
        attributes=tuple(_attribute(name, model) for name, model in builder.attributes.items()),
        retention=Retention(builder.retention.known, builder.retention.other),
        block=_builder_block(builder.block),
        anonymous=_conditions(builder.anonymous.when) if builder.anonymous else (),
        anonymous_profiles=builder.anonymous_profiles,
        env=tuple((name, _text_or_secret(value)) for name, value in builder.env.items()),
        fetch=_fetch(builder.fetch),
        warehouses=tuple((name, _text_or_secret(one.url)) for name, one in builder.warehouses.items()),
        profile_function=_options(builder.profile_function.model_dump(exclude_unset=True)),
    )


def _identifier_type(name: str, model: IdentifierModel) -> IdentifierType:
    return IdentifierType(
        name=name,
        paths=_distinct(model.from_),
        normalize=model.normalize,
        known=model.known,
        limit=model.limit,
        block=_block(model.block),
    )


def _attribute(name: str, model: AttributeModel) -> Attribute:
    return Attribute(
        name=name,
        aggregation=model.aggregation,
        type=model.type,
        paths=_distinct(model.from_),
        when=_conditions(model.when or {}),
        keep=model.keep or "earliest",
    )


def _distinct(paths: list[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(paths))


def _conditions(when: dict[Path, list[Plain]]) -> tuple[Condition, ...]:
    return tuple(
        Condition(
            path, tuple(DecimalNumber(value) if isinstance(value, Decimal) else value for value in values)
        )
        for path, values in when.items()
    )


def _block(model: BlockModel) -> Block:
    return Block(tuple(model.exact), tuple(model.regex))


def _builder_block(model: BuilderBlockModel) -> Block:
    own = _block(model)
    if not model.defaults:
        return own
    return Block(DEFAULT_BLOCK.exact + own.exact, DEFAULT_BLOCK.regex + own.regex)


def _text_or_secret(value: str | SecretModel) -> str | Secret:
    return value if isinstance(value, str) else Secret(value.secret, value.key)


def _fetch(model: FetchModel) -> tuple[tuple[str, str], ...]:
    """Return what is said of fetching, and nothing of what is not: defaults may change."""
    given: dict[str, Any] = model.model_dump(exclude_unset=True)
    hosts = given.pop("allow", [])
    return (*_options(given), *(("allow", host) for host in hosts))


def _options(options: dict[str, Plain]) -> tuple[tuple[str, str], ...]:
    return tuple((name, scalar_text(value)) for name, value in options.items())
