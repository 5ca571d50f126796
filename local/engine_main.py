"""Starts the local engine without its own Kinesis poller; runs inside `.venv-engine`, as a script.

The engine's event source mappings for Kinesis ignore most of what a mapping says, so
`local.event_sources` runs them instead. Switching the engine's poller off where it lives, rather
than disabling the mappings, leaves `Enabled` to the user, also across deployments, and there is
no moment in which both of them consume.
"""

import importlib
import json
from typing import Any


def main() -> None:
    """Run the engine until SIGTERM; its settings come from the environment (local/engine.py)."""
    functions: Any = importlib.import_module("ministack.services.lambda_svc")
    for name in ("_poll_kinesis", "_create_esm", "_esms"):
        if not hasattr(functions, name):
            raise SystemExit(f"this version of the engine has no {name}: local/engine_main.py must follow it")
    functions._poll_kinesis = lambda: False  # noqa: SLF001 - the engine has no setting for it
    functions._create_esm = _keep_start(functions)  # noqa: SLF001 - likewise
    importlib.import_module("ministack.app").main()


def _keep_start(functions: Any) -> Any:
    """Let the engine remember StartingPositionTimestamp, which it drops."""
    create = functions._create_esm  # noqa: SLF001 - see main

    def create_and_keep(data: dict[str, Any]) -> Any:
        response = create(data)
        status, _, body = response
        if status < 300 and "StartingPositionTimestamp" in data:  # noqa: PLR2004 - HTTP success
            mapping = functions._esms[json.loads(body)["UUID"]]  # noqa: SLF001 - see main
            mapping["StartingPositionTimestamp"] = data["StartingPositionTimestamp"]
        return response

    return create_and_keep


if __name__ == "__main__":
    main()
