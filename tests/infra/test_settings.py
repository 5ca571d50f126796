import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import Settings, SettingsError, read_settings
from shared import contract


def test_without_context_the_development_stage_has_the_documented_defaults():
    settings = read_settings({})
    assert settings == Settings()
    assert (settings.stage, settings.stream_mode, settings.shards) == ("dev", "on_demand", None)
    assert (settings.batch_size, settings.window_s, settings.parallelization) == (1000, 5, 1)
    assert (settings.retries, settings.record_age_h, settings.archive_retention) == (5, 11, "forever")


def test_the_command_line_wins_over_the_stage_and_the_stage_over_defaults():
    stages = {"prod": {"batch_size": 500, "window_s": 1}, "dev": {"retries": 9}}
    settings = read_settings({"stage": "prod", "stages": stages, "window_s": "2"})
    assert (settings.batch_size, settings.window_s, settings.retries) == (500, 2, 5)


def test_shards_make_the_stream_provisioned():
    assert read_settings({"shards": "4"}).stream_mode == "provisioned"


def test_a_provisioned_stream_has_one_shard_unless_told():
    assert read_settings({"stream_mode": "provisioned"}).shards == 1


def test_context_of_cdk_itself_is_none_of_our_settings():
    assert (
        read_settings({"aws:cdk:bundling-stacks": [], "@aws-cdk/x:y": True, "cli-telemetry": False})
        == Settings()
    )


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ({"stage": "Prod"}, "stage = Prod: String should match pattern"),
        ({"stream_mode": "cheap"}, "stream_mode = cheap: Input should be 'on_demand' or 'provisioned'"),
        ({"stream_mode": "on_demand", "shards": 2}, "shards: an on_demand stream has none to set"),
        ({"shards": "0"}, "shards = 0: Input should be greater than or equal to 1"),
        ({"shrads": "4"}, "shrads: no such setting; there are stage, "),
        ({"batch_size": "10001"}, "batch_size = 10001: Input should be less than or equal to 10000"),
        ({"record_age_h": "12"}, f"less than or equal to {contract.RECORD_AGE_H_MAX}"),
        ({"record_age_h": "-1"}, "record_age_h = -1: Input should be greater than or equal to 1"),
        ({"memory_mb": "lots"}, "memory_mb = lots: Input should be a valid integer"),
        ({"archive_retention": "a while"}, "archive_retention = a while: Input should be 'forever'"),
        ({"log_retention_days": "10"}, "log_retention_days = 10: Input should be 1, 3, 7, 14"),
        ({"alarm_email": "nobody"}, "alarm_email = nobody: String should match pattern"),
        ({"target": "moon"}, "target = moon: Input should be 'aws' or 'local'"),
        ({"stages": "prod"}, "stages: must be a mapping, of stages to their settings"),
        ({"stages": {"dev": 5}}, "stages.dev: must be a mapping of settings"),
        ({"stages": {"dev": {"stage": "prod"}}}, "stages.dev: a stage cannot be another one"),
        ({"batch_size": True}, "batch_size: a setting is a number or a text, never true or false"),
        ({"log_retention_days": "9" * 5000}, "Input should be 1, 3, 7, 14"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(context, says):
    with pytest.raises(SettingsError) as error:
        read_settings(context)
    assert says in str(error.value)


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(SettingsError) as error:
        read_settings({"retries": "many", "stages": {"dev": {"window_s": 301}}})
    assert "retries = many" in str(error.value)
    assert "window_s = 301" in str(error.value)


NAMES = st.sampled_from(["stages", "dev", *Settings.model_fields]) | st.text(max_size=3)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES |= st.sampled_from(["dev", "prod", "provisioned", "forever", "local", "4", "9" * 5000, "a@b", 365])


@given(
    st.dictionaries(
        NAMES,
        st.recursive(
            VALUES, lambda some: st.lists(some, max_size=2) | st.dictionaries(NAMES, some, max_size=4)
        ),
        max_size=4,
    )
)
def test_any_context_is_settings_or_told_in_words(context):
    found = _read(context)
    if isinstance(found, Settings):
        assert Settings.model_validate(found.model_dump(exclude_none=True)) == found
    else:
        assert found.strip()


def _read(context):
    """Return the settings, or what is told of them."""
    try:
        return read_settings(context)
    except SettingsError as error:
        return str(error)


def test_record_age_stays_below_half_the_dedup_window():
    assert 2 * contract.RECORD_AGE_H_MAX < contract.DEDUP_WINDOW_H
    assert 2 * Settings().record_age_h < contract.DEDUP_WINDOW_H
