"""What can go wrong with streams over Kafka; no exception of its libraries leaves this package.

StoreFailed
  StreamsFailed             cannot go on; the message says what would help
    PublishFailed           not everything was acknowledged: go on with a new publisher
    StreamsMisconfigured    a person has to set something up otherwise; it is a `Misconfigured` too
"""

from typing import ClassVar

from domain.storing import Misconfigured, StoreFailed


class StreamsFailed(StoreFailed):
    """Kafka cannot be used as it should; the message says what would help."""

    part: ClassVar[str] = "kafka"


class PublishFailed(StreamsFailed):
    """Not every record was acknowledged; some may be there all the same. Go on with a new publisher."""


class StreamsMisconfigured(StreamsFailed, Misconfigured):
    """Kafka, or how we are to use it, is not set up as it has to be; waiting does not change that."""
