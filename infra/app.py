"""The app: one stage's stack, under the rules every stage must keep."""

from collections.abc import Mapping
from typing import Any

from aws_cdk import App

from infra import nag
from infra.settings import read_settings
from infra.stack import KithStack


def make_app(context: Mapping[str, Any] | None = None, outdir: str | None = None) -> App:
    """Make the app of the stage the context names; raises SettingsError if a setting is wrong.

    The command line gives its context, and where to write, by itself.
    """
    app = App(context=context, outdir=outdir)
    KithStack(app, read_settings(app.node.get_all_context()))
    nag.check(app)
    return app
