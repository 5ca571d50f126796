"""Executions of the state machine in memory."""

from shared.app.executions import RUNNING, Execution


class FakeExecutions:
    def __init__(self) -> None:
        self.running: dict[tuple[str, int], Execution] = {}
        self.graces: dict[tuple[str, int], int | None] = {}
        self.cleaning: list[tuple[str, int]] = []

    def start(self, builder: str, version: int, grace_s: int | None) -> bool:
        if (builder, version) in self.running:
            return False
        self.running[builder, version] = Execution(status=RUNNING, state="Plan")
        self.graces[builder, version] = grace_s
        return True

    def stop(self, builder: str, version: int, cause: str) -> None:
        assert cause
        if (builder, version) in self.running:
            self.running[builder, version] = Execution(status="ABORTED", state="Plan")

    def clean_up(self, builder: str, version: int) -> None:
        if (builder, version) not in self.cleaning:
            self.cleaning.append((builder, version))

    def of(self, builder: str, version: int) -> Execution | None:
        return self.running.get((builder, version))
