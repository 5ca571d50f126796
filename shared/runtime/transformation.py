"""Composition of what has user code of a version run by functions of their own."""

from shared import contract
from shared.app.frozen import Frozen
from shared.app.functions.ports import ProfileFunction
from shared.app.programs import chain_program, function_program
from shared.app.reading import Transformer
from shared.runtime import aws


def lambda_transformer(frozen: Frozen, version: int, function: str) -> Transformer | None:
    """Return what has a version's events transformed by the function of this ARN; None without a chain."""
    program = chain_program(frozen, version)
    if program is None:
        return None
    # Imported here, so that builders without a chain do not pay for it in their cold starts.
    from shared.adapters.lambda_transformer import LambdaTransformer  # noqa: PLC0415

    return LambdaTransformer(aws.caller(), function, program)


def lambda_profile_function(
    frozen: Frozen, version: int, function: str, bucket: str, *, in_rebuild: bool = False
) -> ProfileFunction | None:
    """Return what has a version's profile function run by the function of this ARN; None without one.

    What is too large for a call goes through the bucket.
    """
    program = function_program(frozen, version, in_rebuild=in_rebuild)
    if program is None:
        return None
    from shared.adapters.lambda_functions import LambdaProfileFunction  # noqa: PLC0415
    from shared.adapters.presigned import PresignedObjects  # noqa: PLC0415

    large = PresignedObjects(aws.presigner(), bucket, contract.PREFIX_FUNCTION_INPUTS)
    return LambdaProfileFunction(aws.caller(), function, program, large.put)
