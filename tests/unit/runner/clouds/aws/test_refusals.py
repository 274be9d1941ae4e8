import socket

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config
from botocore.parsers import ResponseParserError

from runner.clouds.aws.refusals import aws_errors, error_from_code, error_from_terraform
from runner.errors import (
    REFUSALS,
    AccessDeniedError,
    AccountError,
    AlreadyThereError,
    BadRequestError,
    CloudError,
    CloudUnavailableError,
    NoCapacityError,
    NoPlaceError,
    NotFoundError,
    RateLimitedError,
    ReclaimedError,
    UnreadableAnswerError,
)

CODES: list[tuple[str, int, type[CloudError]]] = [
    ("InsufficientInstanceCapacity", 500, NoCapacityError),
    ("Server.InsufficientInstanceCapacity", 500, NoCapacityError),
    ("InvalidGroup.Duplicate", 400, AlreadyThereError),
    ("InvalidKeyPair.Duplicate", 400, AlreadyThereError),
    ("InvalidPermission.Duplicate", 400, AlreadyThereError),
    ("InvalidPermission.NotFound", 400, AlreadyThereError),
    ("InsufficientHostCapacity", 400, NoCapacityError),
    ("SpotMaxPriceTooLow", 400, NoCapacityError),
    ("Unsupported", 400, NoCapacityError),
    ("VcpuLimitExceeded", 400, AccountError),
    ("MaxSpotInstanceCountExceeded", 400, AccountError),
    ("InstanceLimitExceeded", 400, AccountError),
    ("AddressLimitExceeded", 400, AccountError),
    ("RulesPerSecurityGroupLimitExceeded", 400, AccountError),
    ("AuthFailure", 401, AccountError),
    ("ExpiredToken", 403, AccountError),
    ("ExpiredTokenException", 400, AccountError),
    ("InvalidClientTokenId", 403, AccountError),
    ("SignatureDoesNotMatch", 403, AccountError),
    ("RequestExpired", 400, AccountError),
    ("OptInRequired", 401, AccountError),
    ("PendingVerification", 400, AccountError),
    ("UnauthorizedOperation", 403, AccessDeniedError),
    ("AccessDenied", 403, AccessDeniedError),
    ("RequestLimitExceeded", 503, RateLimitedError),
    ("Throttling", 400, RateLimitedError),
    ("SlowDown", 503, RateLimitedError),
    ("Whatever", 429, RateLimitedError),
    ("InvalidInstanceID.NotFound", 400, NotFoundError),
    ("InvalidKeyPair.NotFound", 400, NotFoundError),
    ("InvalidAllocationID.NotFound", 400, NotFoundError),
    ("NoSuchEntity", 404, NotFoundError),
    ("DependencyViolation", 400, CloudUnavailableError),
    ("VolumeInUse", 400, CloudUnavailableError),
    ("InternalError", 500, CloudUnavailableError),
    ("Unavailable", 503, CloudUnavailableError),
    ("", 502, CloudUnavailableError),
    ("InvalidParameterValue", 400, BadRequestError),
    ("InvalidInstanceID.Malformed", 400, BadRequestError),
]


@pytest.mark.parametrize(("code", "status", "kind"), CODES)
def test_each_code_is_the_error_of_its_cause(code: str, status: int, kind: type[CloudError]) -> None:
    error = error_from_code(code, "words of AWS", "end instance i-1 in us-east-1", status)
    assert type(error) is kind
    assert error.message == f"aws: cannot end instance i-1 in us-east-1: {code or 'HTTP 502'}"
    assert (error.code, error.status, error.details) == (code or None, status, "words of AWS")
    assert error.resolution
    assert "\n" not in error.resolution


def test_capacity_goes_before_the_status_that_aws_sends_with_it() -> None:
    assert isinstance(error_from_code("InsufficientInstanceCapacity", "", "x", 500), NoCapacityError)
    assert isinstance(error_from_code("SomethingElse", "", "x", 500), CloudUnavailableError)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (botocore.exceptions.NoCredentialsError(), AccountError),
        (botocore.exceptions.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), AccountError),
        (botocore.exceptions.CredentialRetrievalError(provider="sso", error_msg="expired"), AccountError),
        (botocore.exceptions.ProfileNotFound(profile="work"), AccountError),
        (botocore.exceptions.UnauthorizedSSOTokenError(), AccountError),
        (botocore.exceptions.EndpointConnectionError(endpoint_url="https://ec2.test"), CloudUnavailableError),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url="https://ec2.test"), CloudUnavailableError),
        (botocore.exceptions.ReadTimeoutError(endpoint_url="https://ec2.test"), CloudUnavailableError),
        (botocore.exceptions.ConnectionClosedError(endpoint_url="https://ec2.test"), CloudUnavailableError),
        (botocore.exceptions.ParamValidationError(report="no"), BadRequestError),
        (botocore.exceptions.InvalidRegionError(region_name="moon"), BadRequestError),
        (botocore.exceptions.PaginationError(message="the same token twice"), UnreadableAnswerError),
        (ResponseParserError("not XML"), UnreadableAnswerError),
    ],
)
def test_what_boto3_raises_by_itself_is_the_error_of_its_cause(raised: Exception, kind: type[CloudError]) -> None:
    with pytest.raises(CloudError) as caught, aws_errors("list instances in us-east-1"):
        raise raised
    assert type(caught.value) is kind
    assert caught.value.message.startswith("aws: cannot list instances in us-east-1")
    assert caught.value.__cause__ is raised


def test_a_mistake_of_ours_is_not_taken_for_the_clouds() -> None:
    with pytest.raises(KeyError), aws_errors("list instances"):
        raise KeyError("x")


def test_signed_headers_and_encoded_messages_are_not_shown() -> None:
    signed = (
        "The request signature we calculated does not match the signature you provided.\n\n"
        "The Canonical String for this request should have been\n'POST\nx-amz-security-token:SECRET'"
    )
    assert "SECRET" not in (error_from_code("SignatureDoesNotMatch", signed, "x").details or "")
    encoded = "You are not authorized to perform this operation. Encoded authorization failure message: AAAABBBB"
    assert error_from_code("UnauthorizedOperation", encoded, "x").details == (
        "You are not authorized to perform this operation."
    )
    assert len(error_from_code("InvalidParameterValue", "x" * 5000, "x").details or "") <= 500


RUN_INSTANCES = (
    "creating EC2 Instance: operation error EC2: RunInstances, https response error StatusCode: {status}, "
    "RequestID: 0e1f, api error {code}: {words}"
)


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        (
            RUN_INSTANCES.format(
                status=500, code="InsufficientInstanceCapacity", words="We currently do not have sufficient g5.xlarge"
            ),
            NoCapacityError,
            "InsufficientInstanceCapacity",
        ),
        (
            RUN_INSTANCES.format(status=400, code="SpotMaxPriceTooLow", words="Your Spot request price is too low"),
            NoCapacityError,
            "SpotMaxPriceTooLow",
        ),
        (
            RUN_INSTANCES.format(status=400, code="Unsupported", words="not supported in your requested zone"),
            NoCapacityError,
            "Unsupported",
        ),
        (
            RUN_INSTANCES.format(status=400, code="VcpuLimitExceeded", words="You have requested more vCPU capacity"),
            AccountError,
            "VcpuLimitExceeded",
        ),
        (
            RUN_INSTANCES.format(status=403, code="UnauthorizedOperation", words="You are not authorized"),
            AccessDeniedError,
            "UnauthorizedOperation",
        ),
        (
            RUN_INSTANCES.format(status=503, code="RequestLimitExceeded", words="Request limit exceeded."),
            RateLimitedError,
            "RequestLimitExceeded",
        ),
        (RUN_INSTANCES.format(status=500, code="Odd", words="oops"), CloudUnavailableError, "Odd"),
        (RUN_INSTANCES.format(status=400, code="InvalidParameterValue", words="no"), BadRequestError, None),
        (
            (
                "waiting for EC2 Instance (i-0a) create: unexpected state 'terminated', wanted target 'running'. "
                "last error: Server.InsufficientInstanceCapacity: Insufficient capacity to satisfy instance request"
            ),
            NoCapacityError,
            "InsufficientInstanceCapacity",
        ),
        (
            (
                "waiting for EC2 Instance (i-0a) create: unexpected state 'terminated', wanted target 'running'. "
                "last error: Client.VolumeLimitExceeded: Volume limit exceeded"
            ),
            AccountError,
            "VolumeLimitExceeded",
        ),
        ("Spot request sir-1 failed: capacity-not-available", NoCapacityError, None),
        ("No valid credential sources found", AccountError, None),
        ("failed to refresh cached credentials, no EC2 IMDS role found", AccountError, None),
        (
            (
                "operation error STS: GetCallerIdentity, https response error StatusCode: 403, RequestID: 1, "
                "api error InvalidClientTokenId: The security token included in the request is invalid."
            ),
            AccountError,
            "InvalidClientTokenId",
        ),
        (
            (
                "operation error EC2: RunInstances, exceeded maximum number of attempts, 25, https response error "
                "StatusCode: 0, RequestID: , request send failed, Post: dial tcp: connect: connection refused"
            ),
            CloudUnavailableError,
            None,
        ),
    ],
)
def test_awss_codes_are_found_in_terraforms_text(text: str, kind: type[CloudError], code: str | None) -> None:
    error = error_from_terraform(f"Error: {text}\n\n  with aws_instance.this,\n  on instance.tf line 3\n")
    assert type(error) is kind
    if code:
        assert error.code == code
    assert error.message.startswith("aws: cannot make what Terraform asked for")


@pytest.mark.parametrize(
    "words", ["ValidationException: The execution role you provide must allow", "api error AccessDeniedException: no"]
)
def test_a_schedule_that_is_refused_says_nothing_of_the_machine(words: str) -> None:
    error = error_from_terraform(
        "creating EventBridge Scheduler Schedule (douse-x): operation error Scheduler: CreateSchedule, https response "
        f"error StatusCode: 400, RequestID: 1, {words}"
    )

    assert type(error) is CloudError
    assert not isinstance(error, REFUSALS)
    assert "compute.aws.schedule_role_arn" in error.resolution


@pytest.mark.parametrize(
    "reason",
    ["Server.SpotInstanceTermination: Spot instance termination", "Server.SpotInstanceShutdown: no", "%!s(<nil>)"],
)
@pytest.mark.parametrize("state", ["shutting-down", "terminated"])
def test_a_machine_that_was_gone_before_it_ran_was_reclaimed(state: str, reason: str) -> None:
    error = error_from_terraform(
        "Error: waiting for EC2 Instance (i-0a) create: "
        f"unexpected state '{state}', wanted target 'running'. last error: {reason}\n\n  with aws_instance.this,\n"
    )

    assert type(error) is ReclaimedError
    assert reason in (error.details or "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no matching EC2 VPC found", "aws: the account has no VPC to rent in there"),
        ("no matching EC2 Subnet found", "aws: the account has no Subnet to rent in there"),
        (
            "multiple EC2 VPCs matched; use additional constraints to reduce matches to a single EC2 VPC",
            "aws: several VPCs match",
        ),
    ],
)
def test_a_network_that_is_not_there_is_no_defect(text: str, message: str) -> None:
    error = error_from_terraform(f"{text}: \n  with data.aws_vpc.this,\n  on network.tf line 27\n")

    assert type(error) is NoPlaceError
    assert error.message == message
    assert "compute.aws.subnet_id" in error.resolution


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Error: Invalid value for variable: candidates must name at least one machine; it is empty.",
        "Resource postcondition failed: the image is not for x86_64.",
        "Error acquiring the state lock",
    ],
)
def test_text_without_a_code_of_awss_is_not_awss_fault(text: str) -> None:
    assert error_from_terraform(text) is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("RequestExpired", "Request has expired."),
        ("SignatureDoesNotMatch", "Signature expired: 20261121T100000Z is now earlier than 20261121T115500Z"),
        (
            "InvalidSignatureException",
            "Signature not yet current: 20261121T140000Z is still later",
        ),
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
    ],
)
def test_a_wrong_clock_is_named_as_one(code: str, words: str) -> None:
    err = error_from_code(code, words, "list machines")

    assert isinstance(err, AccountError)
    assert err.message == f"aws: cannot list machines: this computer's clock is wrong ({code})"
    assert "set this computer's clock right" in err.resolution
    assert "clock" not in error_from_code("SignatureDoesNotMatch", "The signature does not match.", "x").message


UNTRUSTED = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"


def test_a_certificate_that_nobody_here_vouches_for_is_said_as_such() -> None:
    raised = botocore.exceptions.SSLError(endpoint_url="https://ec2.test", error=UNTRUSTED)

    with pytest.raises(CloudUnavailableError, match="is not trusted here") as caught, aws_errors("list instances"):
        raise raised
    assert "AWS_CA_BUNDLE" in caught.value.resolution
    assert caught.value.details == str(raised)


@pytest.mark.parametrize("words", ["certificate has expired", "certificate is not yet valid"])
def test_a_certificate_of_another_time_is_the_clocks_fault(words: str) -> None:
    error = f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {words} (_ssl.c:1006)"

    with pytest.raises(CloudUnavailableError, match="by this computer's clock") as caught, aws_errors("list instances"):
        raise botocore.exceptions.SSLError(endpoint_url="https://ec2.test", error=error)
    assert "set this computer's clock right" in caught.value.resolution


@pytest.mark.parametrize(
    ("variable", "value", "message", "resolution"),
    [
        ("HTTPS_PROXY", "socks5h://127.0.0.1:9", "the proxy that HTTPS_PROXY names cannot be used", "no SOCKS proxy"),
        ("AWS_CA_BUNDLE", "/nowhere/ca.pem", "AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE names", "unset AWS_CA_BUNDLE"),
        ("AWS_CA_BUNDLE", __file__, "AWS_CA_BUNDLE or REQUESTS_CA_BUNDLE names", "unset AWS_CA_BUNDLE"),
    ],
)
def test_a_proxy_and_certificates_of_no_use_to_boto3_are_said_in_their_own_words(
    variable: str, value: str, message: str, resolution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, value)
    session = boto3.Session("id", "secret", region_name="us-east-1")
    config = Config(retries={"total_max_attempts": 1})
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(CloudUnavailableError, match=message) as caught, aws_errors("open the account"):
            session.client("sts", endpoint_url=address, config=config).get_caller_identity()
    assert resolution in caught.value.resolution
