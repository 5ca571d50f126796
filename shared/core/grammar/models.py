"""The grammar of `builder.yaml` as types: they validate it, and its JSON Schema is generated from them.

The text under each key is its description in that schema; editors show it while one types.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from shared.core.aggregations.registry import AGGREGATIONS
from shared.core.definition import (
    DEBOUNCE_DEFAULT,
    TIMEOUT_DEFAULT,
    WINDOW_DEFAULT,
    Keep,
    Normalizer,
    ValueType,
)
from shared.core.grammar.fields import (
    HOST_PATTERN,
    SECONDS_PATTERN,
    VAULT_NAME_PATTERN,
    AttributeName,
    BlockedValue,
    BlockRegexes,
    Debounce,
    EnvironmentName,
    Months,
    Name,
    Paths,
    RunTime,
    When,
    Window,
)
from shared.core.grammar.problems import listed, suggestion

COUNT: Final = "count"
UNIQUE_LIST: Final = "unique_list"
VALUE_TYPES: Final = ("string", "number", "boolean", "datetime", "ip")
IDENTIFIERS_MAX: Final = 22
"""Identifiers that one event may carry, beside the two of `custom_id`: a structural change of one event must
fit one transaction of 100 actions, and an identifier takes up to four of them."""


def allowed_types(aggregation: str) -> list[str]:
    """Return the value types that an aggregation takes."""
    return [one for one in VALUE_TYPES if one in AGGREGATIONS[aggregation].types]


def allowed_aggregations(value_type: str) -> list[str]:
    """Return the aggregations that take a value type."""
    return [name for name in AGGREGATIONS if name != COUNT and value_type in allowed_types(name)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class BlockModel(_Model):
    """Values that never identify anybody; a plain list is short for `exact`."""

    exact: list[BlockedValue] = []
    """Whole values, compared after trimming, ignoring case."""
    regex: BlockRegexes = []
    """Regular expressions of RE2, matched against the whole trimmed value, ignoring case."""


class BuilderBlockModel(BlockModel):
    """Values that never identify anybody, of whatever type; a plain list is short for `exact`."""

    defaults: bool = True
    """Whether Kith's own list is blocked as well: blank, 0, -1, null, undefined, anonymous, nil UUIDs, ..."""


def _exact(value: Any) -> Any:
    return {"exact": value} if isinstance(value, list) else value


def _switch(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


class IdentifierModel(_Model):
    """A type of identifier: what two profiles share when they are one person."""

    from_: Paths = Field(alias="from")
    """A dotted path of the event, or a list of them; every value found counts."""
    normalize: Normalizer = "none"
    """How equal values are made to look equal: `email`, `phone` (E.164), `lower`, or `none`."""
    known: bool = False
    """Whether it marks a known person, who is kept for the longer retention."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most so many of this type in one profile; one too many does not merge profiles."""
    priority: int | None = None
    """Smaller is higher. Types without one follow, in the order of declaration."""
    block: Annotated[
        BlockModel, BeforeValidator(_exact, json_schema_input_type=BlockModel | list[BlockedValue])
    ] = BlockModel()
    """Values of this type that identify nobody, beside the builder's own."""


class AttributeModel(_Model):
    """An attribute: which values of events it takes, and what becomes of them."""

    type: ValueType | None = None
    """The type of its values; only `count` goes without."""
    from_: Paths = Field(default=[], alias="from")
    """A dotted path of the event, or a list of them: the first one present. Only `count` goes without."""
    aggregation: str = Field(json_schema_extra={"enum": list(AGGREGATIONS)})
    """What becomes of the values."""
    when: When | None = None
    """Dotted path -> value, or list of values: only events for which all of these hold count."""
    keep: Keep | None = None
    """Which 1,000 values a `unique_list` keeps and how it is ordered; `earliest` unless given."""

    @field_validator("aggregation")
    @classmethod
    def _aggregation_suits(cls, aggregation: str, info: ValidationInfo) -> str:
        if aggregation not in AGGREGATIONS:
            close = suggestion(aggregation, AGGREGATIONS)
            raise ValueError(f"must be one of {listed(AGGREGATIONS)}{close}")
        if aggregation == COUNT:
            return aggregation
        problems = []
        value_type = info.data.get("type", "invalid")
        if value_type is None:
            problems.append(f"needs a type: {listed(allowed_types(aggregation))}")
        elif value_type in VALUE_TYPES and value_type not in allowed_types(aggregation):
            problems.append(
                f"does not take type {value_type}, only {listed(allowed_types(aggregation))}; "
                f"{value_type} allows {listed(allowed_aggregations(value_type))}"
            )
        if info.data.get("from_") == []:
            problems.append("needs `from`, the path of its values")
        if problems:
            raise ValueError(f"`{aggregation}` {' and '.join(problems)}")
        return aggregation

    @field_validator("keep")
    @classmethod
    def _keep_suits(cls, keep: Keep | None, info: ValidationInfo) -> Keep | None:
        if keep is not None and info.data.get("aggregation", UNIQUE_LIST) != UNIQUE_LIST:
            raise ValueError("is only for unique_list")
        return keep


class RetentionModel(_Model):
    """How long a profile is kept after its last update, in calendar months."""

    known: Months = 13
    """A profile with an identifier that is `known: true`."""
    other: Months = 1
    """Any other profile."""


class AnonymousModel(_Model):
    """Which events are anonymous and build no profile, beside those with `context.anonymous: true`."""

    when: When
    """Dotted path -> value, or list of values: all must hold."""


class SecretModel(_Model):
    """A secret of Secrets Manager: it is read when the code runs, and masked in all that it writes."""

    secret: Annotated[str, Field(pattern=VAULT_NAME_PATTERN)]
    """Its name, which begins with `kith/`."""
    key: str | None = None
    """Which value of the JSON object that it holds; without one, all of its text."""


def _form(value: Any) -> Literal["[secret]", "[text]"]:
    return "[secret]" if isinstance(value, dict) else "[text]"


TextOrSecret = Annotated[
    Annotated[str, Tag("[text]")] | Annotated[SecretModel, Tag("[secret]")], Discriminator(_form)
]


class FetchModel(_Model):
    """How the builder's Python code may fetch from the network; `true` or `false` is short for `enabled`."""

    enabled: bool = True
    """Whether it may at all."""
    allow: list[Annotated[str, Field(pattern=HOST_PATTERN)]] = []
    """The only hosts that it may fetch from, `*.example.com` for any below that; without: all public ones."""
    timeout: Annotated[str, Field(pattern=SECONDS_PATTERN)] = "2 seconds"
    """How long one fetch may take, redirects included."""
    max_bytes: Annotated[int, Field(ge=1, le=2**24)] = 2**20
    """How large an answer may be."""
    redirects: bool = False
    """Whether redirects are followed; each is checked as the first address is."""
    private: bool = False
    """Whether addresses within private networks may be reached; those of the function itself never are."""
    in_rebuild: bool = False
    """Whether a profile function may fetch while profiles are rebuilt."""


class WarehouseModel(_Model):
    """A database that the builder's Python code may query."""

    url: TextOrSecret
    """Its URL as SQLAlchemy writes it, such as `duckdb:///file.db`; one with a password is a secret."""

    @field_validator("url")
    @classmethod
    def _password_is_secret(cls, url: str | SecretModel) -> str | SecretModel:
        if isinstance(url, str) and "@" in url and re.search(r"//[^/@]*:[^/]*@", url):
            raise ValueError("holds a password: keep the whole URL as a secret, `{secret: kith/...}`")
        return url


class ProfileFunctionModel(_Model):
    """How the function in `profile.py` runs."""

    window: Window = WINDOW_DEFAULT
    """How many days of events it gets, up to the profile's last one; `365 days` unless given."""
    debounce: Debounce = DEBOUNCE_DEFAULT
    """How long it waits for further changes of a profile before it runs; `30 seconds` unless given."""
    timeout: RunTime = TIMEOUT_DEFAULT
    """How long it may take for one profile; `10 seconds` unless given."""


class BuilderModel(_Model):
    """A builder: how events become profiles."""

    name: Name
    """The builder's name, which is part of the keys of its profiles."""
    identifiers: Annotated[
        dict[Name, IdentifierModel],
        Field(min_length=1, json_schema_extra={"maxProperties": IDENTIFIERS_MAX}),
    ]
    """What makes two events one person's, from highest to lowest priority."""
    attributes: dict[AttributeName, AttributeModel] = {}
    """What a profile says about a person."""
    retention: RetentionModel = RetentionModel()
    """How long profiles are kept; 13 months for known persons and 1 month for others unless given."""
    block: Annotated[
        BuilderBlockModel,
        BeforeValidator(_exact, json_schema_input_type=BuilderBlockModel | list[BlockedValue]),
    ] = BuilderBlockModel()
    """Identifier values that identify nobody, for all types."""
    anonymous: AnonymousModel | None = None
    """Which events build no profile."""
    anonymous_profiles: bool = True
    """Whether events without a `known` identifier build profiles."""
    env: dict[EnvironmentName, TextOrSecret] = {}
    """Environment variables of the builder's Python code: texts and secrets."""
    fetch: Annotated[FetchModel, BeforeValidator(_switch, json_schema_input_type=bool | FetchModel)] = (
        FetchModel()
    )
    """Whether and how the builder's Python code may fetch from the network."""
    warehouses: dict[Name, WarehouseModel] = {}
    """Databases that the builder's Python code may query."""
    profile_function: ProfileFunctionModel = ProfileFunctionModel()
    """How the function in `profile.py` runs."""

    @field_validator("identifiers")
    @classmethod
    def _identifiers_fit(cls, identifiers: dict[str, IdentifierModel]) -> dict[str, IdentifierModel]:
        count = sum(len(set(one.from_)) for one in identifiers.values())
        if count > IDENTIFIERS_MAX:
            raise ValueError(
                f"have {count} paths in all, each an identifier that one event may carry; "
                f"at most {IDENTIFIERS_MAX}"
            )
        return identifiers


MODELS: Final[dict[tuple[str, ...], type[BaseModel]]] = {
    (): BuilderModel,
    ("identifiers", "*"): IdentifierModel,
    ("identifiers", "*", "block"): BlockModel,
    ("attributes", "*"): AttributeModel,
    ("retention",): RetentionModel,
    ("block",): BuilderBlockModel,
    ("anonymous",): AnonymousModel,
    ("profile_function",): ProfileFunctionModel,
    ("env", "*"): SecretModel,
    ("fetch",): FetchModel,
    ("warehouses", "*"): WarehouseModel,
    ("warehouses", "*", "url"): SecretModel,
}
"""Which keys are allowed where."""
