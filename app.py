"""The CDK app: one stack per stage. Settings: docs/settings.md."""

import os
import sys

# Node 20 does all that CDK needs; without this, each run prints a page about its age.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

from aws_cdk import App

from infra import nag
from infra.settings import SettingsError, read_settings
from infra.stack import KithStack

app = App()
try:
    settings = read_settings(app.node.get_all_context())
except SettingsError as error:
    sys.exit(f"The settings are wrong:\n{error}")
KithStack(app, settings)
nag.check(app)
app.synth()
