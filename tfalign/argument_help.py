"""How every program reads its options: the form of ``--help``, and mistyped words.

``tfalign_command`` runs this file by itself, so it imports nothing of the package.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Returns the end of a sentence that names the known word most like ``word``, or nothing."""
    # The dashes that all options share make none of them more alike.
    words = {name.lstrip("-"): name for name in known}
    alike = difflib.get_close_matches(word.lstrip("-"), list(words), n=1)
    return f"; did you mean {words[alike[0]]}?" if alike else ""


def wrong_option(words: Sequence[str], options: Iterable[str]) -> str | None:
    """Returns what to say of the first word that looks like an option and is none, or None."""
    known = set(options)
    # As argparse tells an option from a value: "-", "-0.5" and "-a b" are values.
    for word in words[: words.index("--") if "--" in words else None]:
        name = word.partition("=")[0]
        value = name in ("", "-") or " " in word or re.fullmatch(r"-\d*\.?\d+", word)
        if name.startswith("-") and not value and name not in known:
            meant = did_you_mean(name, known)
            return f"There is no such option{meant or '.'} Received: {name}"
    return None


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps a description's lines and tells each option's default, where there is one to tell.

    The usage shows what must be given; of thirty further options a reader finds none in it.
    """

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any) -> str:
        del groups
        needed = [action for action in actions if action.required or not action.option_strings]
        return super()._format_usage(usage, needed, [], prefix).rstrip("\n") + " [options]\n\n"

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = action.help
        told = text is not None and "default" in text
        # By identity: a default of 0 is one to tell. An empty list is no default in words.
        nothing = any(action.default is value for value in (None, False, argparse.SUPPRESS))
        if told or nothing or action.default == [] or not action.option_strings:
            return text
        return f"{text} (default: %(default)s)"


class ArgumentParser(argparse.ArgumentParser):
    """A parser that takes options by their whole names alone and knows what a wrong one meant.

    argparse would take ``--step`` for ``--steps`` as long as no other option begins alike, so that
    a new option could change what an old command does.

    Args:
        **arguments: Of ``argparse.ArgumentParser``.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"formatter_class": HelpFormatter, "allow_abbrev": False, **arguments})

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parses the words; a wrong option is told before a missing one, which it may have been."""
        words = list(sys.argv[1:] if args is None else args)
        if told := wrong_option(words, self._option_string_actions):
            self.error(told)
        parsed: argparse.Namespace = super().parse_args(words, namespace)
        return parsed

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            meant = did_you_mean(str(value), map(str, action.choices or ()))
            raise argparse.ArgumentError(action, f"{error.message}{meant}") from None
