"""What can go wrong with streams over Kafka; no exception of its libraries leaves this package.

StoreFailed
  StreamsFailed     cannot go on; the message says what would help
    PublishFailed   not everything was acknowledged: go on with a new publisher
"""

from domain.storing import StoreFailed


class StreamsFailed(StoreFailed):
    """Kafka cannot be used as it should; the message says what would help."""


class PublishFailed(StreamsFailed):
    """Not every record was acknowledged; some may be there all the same. Go on with a new publisher."""
