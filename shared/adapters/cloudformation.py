"""Answers to CloudFormation, which waits for them at a signed address, an hour if none comes."""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

import urllib3

REASON_BYTES_MAX: Final = 3000
"""An answer may hold 4,096 bytes in all."""
DATA_BYTES_MAX: Final = 2500
"""Of an answer that gives no reason."""
_RETRIES: Final = urllib3.Retry(total=5, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504))


def answer(
    request: Mapping[str, Any],
    status: Literal["SUCCESS", "FAILED"],
    physical_id: str,
    reason: str = "",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Tell CloudFormation how a custom resource's request ended: long reasons are cut, much data left out."""
    body = {
        "Status": status,
        "Reason": _cut(reason),
        "PhysicalResourceId": physical_id,
        "StackId": request["StackId"],
        "RequestId": request["RequestId"],
        "LogicalResourceId": request["LogicalResourceId"],
        "Data": _fitting(data or {}),
    }
    with urllib3.PoolManager(retries=_RETRIES, timeout=10) as pool:
        # The signature covers an empty content type.
        response = pool.request(
            "PUT", request["ResponseURL"], body=json.dumps(body).encode(), headers={"content-type": ""}
        )
    if response.status >= 300:  # noqa: PLR2004 - HTTP: 2xx is success
        raise ConnectionError(f"CloudFormation's address answered {response.status}")


def _cut(reason: str) -> str:
    """Cut to what fits; JSON may write a character in six bytes, so the ASCII form is measured."""
    while len(json.dumps(reason)) > REASON_BYTES_MAX:
        reason = reason[: len(reason) * 9 // 10] + " ..."
    return reason


def _fitting(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data if CloudFormation takes as much; else only how much there would be."""
    fits = len(json.dumps(dict(data))) <= DATA_BYTES_MAX
    return dict(data) if fits else {"left_out": len(data)}
