"""Observability: alarms on what must not happen unseen, and one page that shows the rest."""

from collections.abc import Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.function import Function, camel
from infra.functions import Functions
from infra.rebuild import Rebuild
from infra.settings import Settings
from infra.stream import Stream
from shared import contract

PERIOD: Final = Duration.minutes(5)

COUNTED: Final = {
    "Quarantined": (
        contract.METRIC_EVENTS_QUARANTINED,
        "Events wait in quarantine: see `kith quarantine list`, mend the cause, then replay them.",
    ),
    "EventsFailed": (
        contract.METRIC_EVENTS_FAILED,
        "Events could not be written and are tried again: the log of ingestion says why.",
    ),
    "BatchesFailed": (
        contract.METRIC_BATCHES_FAILED,
        "Lambda gave up on batches; the drain takes them through ingestion again.",
    ),
    "ProfilesBroken": (
        contract.METRIC_PROFILES_BROKEN,
        "Profiles outgrew a limit and were removed: an identifier is probably shared by many people.",
    ),
    "FunctionsQuarantined": (
        contract.METRIC_FUNCTIONS_QUARANTINED,
        "Profile functions failed for the last time: see `kith functions errors`. Last results are kept.",
    ),
    "InvariantViolated": (
        contract.METRIC_INVARIANT_VIOLATIONS,
        "What must never happen did: the log says what. Do not publish before it is understood.",
    ),
}
"""What runtime counts and nobody should overlook, each with what to do about it."""


class Observability(Construct):
    """Alarms, sent by e-mail where a stage names an address, and a dashboard."""

    def __init__(
        self,
        scope: Construct,
        settings: Settings,
        *,
        stream: Stream,
        ingest: Function,
        archive: Function,
        others: Sequence[Function],
        rebuild: Rebuild,
        functions: Functions,
    ) -> None:
        super().__init__(scope, "Observability")
        self._stage = settings.stage
        watched = [ingest, archive, *others, functions.dispatch, functions.run, functions.sandbox]
        alarms = [
            self._alarm_on_lag(
                "IngestionLags",
                "Profiles are over ten minutes behind the stream: records wait, or ingestion keeps failing.",
                ingest,
                Duration.minutes(10),
            ),
            self._alarm_on_lag(
                "ArchiveLags",
                "The archive is over an hour behind the stream, which keeps records for seven days: read the"
                " log of the function archive.",
                archive,
                Duration.hours(1),
            ),
            self._alarm_on_refused_records(stream),
            *self._alarms_on_rebuild(rebuild),
            *self._alarms_on_functions(functions),
            *(self._alarm_on_errors(function) for function in watched),
            *(self._alarm_on_throttles(function) for function in watched),
            *(self._alarm_on_count(name, *counted) for name, counted in COUNTED.items()),
        ]
        if settings.alarm_email:
            topic = _mailed_topic(self, settings.alarm_email)
            for alarm in alarms:
                alarm.add_alarm_action(actions.SnsAction(topic))
        self.dashboard = self._dashboard(alarms, stream, [ingest, archive], watched)
        self._add_functions(functions)
        self._add_rebuild(rebuild)

    def _alarm_on_lag(
        self, name: str, description: str, consumer: Function, lag_max: Duration
    ) -> cloudwatch.Alarm:
        return self._alarm(name, description, _lag(consumer), threshold=lag_max.to_milliseconds(), periods=3)

    def _alarm_on_refused_records(self, stream: Stream) -> cloudwatch.Alarm:
        return self._alarm(
            "RecordsRefused",
            "The stream refuses records of producers: raise `shards`, or spread the partition keys.",
            stream.stream.metric("WriteProvisionedThroughputExceeded", statistic="sum", period=PERIOD),
            periods=3,
        )

    def _alarms_on_rebuild(self, rebuild: Rebuild) -> list[cloudwatch.Alarm]:
        """Watch its executions; the errors of its functions are tried again, and are no alarm before that."""
        machine = rebuild.machine.resource
        return [
            self._alarm(
                "RebuildFailed",
                "A version could not be built, or not be cleaned up: `kith versions` says why."
                " The active version serves on.",
                machine.metric_failed(period=PERIOD),
            ),
            self._alarm(
                "RebuildTimedOut",
                "A rebuild took longer than the state machine waits: see its execution, and redrive it.",
                machine.metric_timed_out(period=PERIOD),
            ),
        ]

    def _alarms_on_functions(self, functions: Functions) -> list[cloudwatch.Alarm]:
        return [
            self._alarm_on_lag(
                "FunctionsLag",
                "Profile functions run over ten minutes late: the log of functions_dispatch says why.",
                functions.dispatch,
                Duration.minutes(10),
            ),
            self._alarm(
                "FunctionsDead",
                "The functions of some profiles could not even be tried: the log of functions_run says why."
                " Then start a redrive of the dead letters to their source.",
                functions.dead.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="max"),
            ),
        ]

    def _alarm_on_errors(self, function: Function) -> cloudwatch.Alarm:
        return self._alarm(
            f"{camel(function.name)}Errors",
            f"The function {function.name} fails: its log says why.",
            function.resource.metric_errors(period=PERIOD),
        )

    def _alarm_on_throttles(self, function: Function) -> cloudwatch.Alarm:
        return self._alarm(
            f"{camel(function.name)}Throttles",
            f"The function {function.name} is refused: raise its concurrency, or the account's.",
            function.resource.metric_throttles(period=PERIOD),
            periods=3,
        )

    def _alarm_on_count(self, name: str, metric: str, description: str) -> cloudwatch.Alarm:
        return self._alarm(name, description, self._counted(metric))

    def _alarm(
        self,
        name: str,
        description: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: float = 0,
        periods: int = 1,
    ) -> cloudwatch.Alarm:
        """Alarm once the metric exceeds the threshold for some periods; no data is no alarm."""
        return cloudwatch.Alarm(
            self,
            name,
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )

    def _counted(self, metric: str, statistic: str = "sum") -> cloudwatch.Metric:
        """Name a metric of ours, over all builders of the stage."""
        return cloudwatch.Metric(
            namespace=contract.METRICS_NAMESPACE,
            metric_name=metric,
            dimensions_map={
                contract.DIMENSION_SERVICE: contract.SERVICE,
                contract.DIMENSION_STAGE: self._stage,
            },
            statistic=statistic,
            period=PERIOD,
        )

    def _folded_by_builder(self) -> cloudwatch.MathExpression:
        """Query events folded for each builder, also those published later."""
        dimensions = (contract.DIMENSION_BUILDER, contract.DIMENSION_SERVICE, contract.DIMENSION_STAGE)
        schema = ", ".join((contract.METRICS_NAMESPACE, *dimensions))
        return cloudwatch.MathExpression(
            expression=(
                f"SELECT SUM({contract.METRIC_EVENTS_FOLDED}) FROM SCHEMA({schema})"  # noqa: S608  # our names
                f" WHERE {contract.DIMENSION_STAGE} = '{self._stage}' GROUP BY {contract.DIMENSION_BUILDER}"
            ),
            label="",
            period=PERIOD,
        )

    def _dashboard(
        self,
        alarms: Sequence[cloudwatch.Alarm],
        stream: Stream,
        consumers: Sequence[Function],
        functions: Sequence[Function],
    ) -> cloudwatch.Dashboard:
        dashboard = cloudwatch.Dashboard(self, "Dashboard")
        dashboard.add_widgets(cloudwatch.AlarmStatusWidget(title="Alarms", alarms=list(alarms), width=24))
        dashboard.add_widgets(
            self._graph(
                "Events",
                contract.METRIC_EVENTS_IN,
                contract.METRIC_EVENTS_FOLDED,
                contract.METRIC_EVENTS_DROPPED,
                contract.METRIC_EVENTS_DUPLICATE,
                contract.METRIC_EVENTS_QUARANTINED,
                contract.METRIC_EVENTS_FAILED,
            ),
            self._graph(
                "Profiles",
                contract.METRIC_PROFILES_CREATED,
                contract.METRIC_PROFILES_MERGED,
                contract.METRIC_PROFILES_BROKEN,
            ),
            self._graph(
                "Writes",
                contract.METRIC_REQUEST_UNITS,
                contract.METRIC_CONFLICTS,
                contract.METRIC_DELTAS_PARKED,
                contract.METRIC_FOLLOW_UPS_UNFINISHED,
            ),
        )
        dashboard.add_widgets(
            _graph(
                "Lag (ms)",
                self._counted(contract.METRIC_BATCH_AGE, "max"),
                self._counted(contract.METRIC_ARCHIVE_AGE, "max"),
                *(_lag(consumer) for consumer in consumers),
            ),
            _graph("Events folded, by builder", self._folded_by_builder()),
            _graph(
                "Stream",
                stream.stream.metric_incoming_records(period=PERIOD),
                self._counted(contract.METRIC_RECORDS_ARCHIVED),
                stream.stream.metric("WriteProvisionedThroughputExceeded", statistic="sum", period=PERIOD),
            ),
        )
        dashboard.add_widgets(
            _graph("Invocations", *(each.resource.metric_invocations(period=PERIOD) for each in functions)),
            _graph("Errors", *(each.resource.metric_errors(period=PERIOD) for each in functions)),
            _graph("Duration (ms)", *(each.resource.metric_duration(period=PERIOD) for each in functions)),
        )
        return dashboard

    def _add_functions(self, functions: Functions) -> None:
        queue = functions.queue
        self.dashboard.add_widgets(
            self._graph(
                "Profile functions",
                contract.METRIC_FUNCTIONS_RUN,
                contract.METRIC_FUNCTIONS_FAILED,
                contract.METRIC_FUNCTIONS_DROPPED,
                contract.METRIC_FUNCTIONS_QUARANTINED,
            ),
            _graph(
                "Profiles that wait for their function",
                queue.metric_approximate_number_of_messages_visible(period=PERIOD),
                queue.metric_approximate_number_of_messages_not_visible(period=PERIOD),
                queue.metric("ApproximateNumberOfMessagesDelayed", statistic="avg", period=PERIOD),
                functions.dead.metric_approximate_number_of_messages_visible(period=PERIOD),
            ),
            _graph(
                "From change to result (ms)",
                self._counted(contract.METRIC_FUNCTION_AGE, "max"),
                self._counted(contract.METRIC_FUNCTION_AGE, "avg"),
                _lag(functions.dispatch),
            ),
        )

    def _add_rebuild(self, rebuild: Rebuild) -> None:
        machine, functions = rebuild.machine.resource, rebuild.functions.values()
        self.dashboard.add_widgets(
            self._graph(
                "Rebuild",
                contract.METRIC_REBUILD_EVENTS,
                contract.METRIC_REBUILD_PROFILES,
            ),
            _graph(
                "Rebuilds",
                machine.metric_started(period=PERIOD),
                machine.metric_succeeded(period=PERIOD),
                machine.metric_failed(period=PERIOD),
                machine.metric_aborted(period=PERIOD),
            ),
            _graph(
                "Errors in rebuild, before they are tried again",
                *(each.resource.metric_errors(period=PERIOD) for each in functions),
            ),
        )

    def _graph(self, title: str, *metrics: str) -> cloudwatch.GraphWidget:
        return _graph(title, *(self._counted(metric) for metric in metrics))


def _graph(title: str, *metrics: cloudwatch.IMetric) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=list(metrics), width=8)


def _lag(consumer: Function) -> cloudwatch.Metric:
    """Name the age of the oldest record that a consumer of the stream has not dealt with."""
    return consumer.resource.metric("IteratorAge", statistic="max", period=PERIOD)


def _mailed_topic(scope: Construct, address: str) -> sns.Topic:
    """Make an encrypted topic that mails what alarms say; the address must confirm once."""
    key = kms.Key(scope, "AlarmKey", description="Encrypts alarms on their way", enable_key_rotation=True)
    alarms = iam.ServicePrincipal("cloudwatch.amazonaws.com")
    key.grant(alarms, "kms:Decrypt", "kms:GenerateDataKey")
    topic = sns.Topic(scope, "AlarmTopic", master_key=key, enforce_ssl=True)
    topic.add_subscription(subscriptions.EmailSubscription(address))
    return topic
