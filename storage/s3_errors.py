"""What an S3 server and boto3 say when something is wrong, in our words: what happened, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from speechmill.errors import DiskFull, MissingObject, ServiceRefused, SpeechmillError, Unavailable

MISSING = frozenset({"NoSuchKey", "404", "NotFound"})
FULL = frozenset({"QuotaExceeded", "XMinioStorageFull", "InsufficientCapacity", "507"})
LATER = frozenset(
    {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "TooManyRequests"}
)

KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to those of the bucket's owner"
REFUSED: dict[str, tuple[str, str]] = {
    "NoSuchBucket": ("there is no bucket {bucket}", "make it, or correct the name in the s3:// address"),
    "AccessDenied": ("reading or writing {bucket} is not allowed", "give these credentials the right to it"),
    "403": ("reading or writing {bucket} is not allowed", "check the credentials and their rights to it"),
    "InvalidAccessKeyId": ("the S3 server does not know this access key", KEYS),
    "SignatureDoesNotMatch": ("the secret key does not belong to the access key", KEYS),
    "ExpiredToken": ("the credentials have expired", "get new ones and run the same command again"),
    "InvalidToken": ("the session token is not valid", "get a new one, or unset AWS_SESSION_TOKEN"),
    "RequestTimeTooSkewed": ("the clocks of this machine and the S3 server differ", "set the clock of this machine"),
    "PermanentRedirect": ("the bucket {bucket} is in another region", "set AWS_DEFAULT_REGION to the bucket's region"),
    "AuthorizationHeaderMalformed": (
        "the bucket {bucket} is in another region",
        "set AWS_DEFAULT_REGION to the bucket's region",
    ),
    "NotImplemented": (
        "the S3 server does not know something that was asked of it",
        "try SPEECHMILL_S3_CHECKSUMS=required, which older servers need",
    ),
    "XAmzContentSHA256Mismatch": (
        "the S3 server does not understand checksums in trailers",
        "try SPEECHMILL_S3_CHECKSUMS=required, which older servers need",
    ),
}
"""Codes that no second try mends."""
AGAIN = "run the same command again; finished work is kept"


@contextmanager
def named(bucket: str, endpoint: str, key: str = "") -> Iterator[None]:
    """Have what boto3 and its parts raise as ``MissingObject``, ``ServiceRefused``, ``DiskFull`` or ``Unavailable``."""
    import botocore.exceptions as boto
    from boto3.exceptions import Boto3Error
    from s3transfer.exceptions import S3DownloadFailedError
    from urllib3.exceptions import HTTPError

    where = endpoint or "the S3 service"
    try:
        yield
    except boto.ClientError as error:
        raise _of_answer(error, bucket, where, key) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise ServiceRefused("there are no credentials for S3", hint=KEYS) from error
    except (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError, boto.SSLError) as error:
        raise Unavailable(
            f"{where} cannot be reached: {error}", hint="start it, or correct SPEECHMILL_S3_ENDPOINT_URL"
        ) from error
    except (boto.BotoCoreError, HTTPError, ConnectionError, TimeoutError, S3DownloadFailedError) as error:
        raise Unavailable(f"the connection to {where} broke: {type(error).__name__}", hint=AGAIN) from error
    except Boto3Error as error:  # the transfer manager's, around what it met
        met = error.__cause__ or error.__context__
        if isinstance(met, boto.ClientError):
            raise _of_answer(met, bucket, where, key) from error
        raise Unavailable(f"the transfer to {where} failed: {error}", hint=AGAIN) from error


def missing(key: str) -> MissingObject:
    return MissingObject(f"the object {key} is not there", hint="run the same command again to make it again")


def no_bucket(bucket: str) -> ServiceRefused:
    message, hint = REFUSED["NoSuchBucket"]
    return ServiceRefused(message.format(bucket=bucket), hint=hint)


def _of_answer(error: object, bucket: str, where: str, key: str) -> SpeechmillError:
    """What a server's answer other than success means."""
    answer = getattr(error, "response", {})
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(answer.get("Error", {}).get("Code") or status)
    if code in MISSING:
        return missing(key)
    if code in FULL or status == 507:
        return DiskFull(f"{where} has no room left", hint="free some space there, or raise the bucket's quota")
    if code in REFUSED:
        message, hint = REFUSED[code]
        return ServiceRefused(message.format(bucket=bucket), hint=hint)
    if code in LATER or status >= 500 or status in (408, 409, 429):
        return Unavailable(f"{where} answers {code} ({status})", hint=AGAIN)
    said = answer.get("Error", {}).get("Message") or "no reason given"
    return ServiceRefused(f"{where} refuses with {code}: {said}", hint="see `speechmill doctor`")
