"""The errors a person is meant to read.

One sentence each: what is wrong and what to do about it. The command line prints them without a traceback and Dagster
shows them as the reason of a failed step. Anything that is not derived from ``QuantPipelineError`` is a bug of ours;
``--debug`` shows its traceback. No logic belongs here.
"""


class QuantPipelineError(Exception):
    """Base of every error whose message is written for the person who reads it.

    ``exit_status`` is what the command line ends with: 1 for a slot or a service that failed, 2 for wrong usage.
    """

    exit_status = 1


class UsageError(QuantPipelineError):
    """What was asked for cannot be: an unknown slot, contradictory settings, a file that is missing or malformed."""

    exit_status = 2


class SettingsError(UsageError):
    """The settings are malformed or contradict each other."""


class MarketDataFileError(UsageError):
    """A bars file is missing, lacks columns or holds impossible bars."""


class SlotError(UsageError):
    """The key names no market slot, or the slot has not begun."""


class NotRecordedError(QuantPipelineError):
    """A slot that is over was never observed, so its observations cannot be had any more."""


class BrokerError(QuantPipelineError):
    """The broker refused a connection, stopped answering or answered with an error. Unknown is not empty."""


class TradingBlockedError(QuantPipelineError):
    """Nothing may be sent now; the message names the guard that says so."""


class MetricsError(QuantPipelineError):
    """The metrics could not be built; those of before stand as they were."""


class HistoryError(QuantPipelineError):
    """The history or the order journal cannot be opened, or does not hold what it must."""


class PrunedError(HistoryError):
    """A frame was given up by the rule of how long frames are kept; only its lineage is still there."""
