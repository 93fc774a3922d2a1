"""The form of every program's ``--help``."""

from __future__ import annotations

import argparse


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps a description's lines and tells each option's default, where there is one to tell."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        told = text is not None and "default" in text
        # By identity: a default of 0 is one to tell.
        nothing = any(action.default is value for value in (None, False, argparse.SUPPRESS))
        if told or nothing or not action.option_strings:
            return text
        return f"{text} (default: %(default)s)"
