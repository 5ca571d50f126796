"""What `cdk` runs: synthesizes one stage. Settings are described in docs/settings.md."""

import sys

from infra.app import make_app
from infra.settings import SettingsError

try:
    make_app().synth()
except SettingsError as error:
    sys.exit(f"The settings are wrong:\n{error}")
