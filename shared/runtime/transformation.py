"""Composition of transformations: what runs the chain of a version, if it has one."""

from shared.app.frozen import TRANSFORM_FILE, Frozen
from shared.app.reading import Transformer
from shared.runtime import aws


def lambda_transformer(frozen: Frozen, version: int, function: str) -> Transformer | None:
    """Return what has a version's events transformed by the function of this ARN; None without a chain."""
    source = frozen.files.get(TRANSFORM_FILE)
    if source is None:
        return None
    # Imported here, so that builders without a chain do not pay for it in their cold starts.
    from shared.adapters.lambda_transformer import LambdaTransformer  # noqa: PLC0415
    from shared.core.sandbox import Program  # noqa: PLC0415

    definition = frozen.definition
    program = Program(definition.name, version, source, dict(definition.env))
    return LambdaTransformer(aws.caller(), function, program)
