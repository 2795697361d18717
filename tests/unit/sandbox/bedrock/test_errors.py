import json

from gateway.sandbox.bedrock.errors import STATUS, SimulatedError


def test_every_error_has_awss_status_type_and_message():
    for kind, status in STATUS.items():
        response = SimulatedError(kind).response()
        assert response.status == status
        assert response.headers["x-amzn-ErrorType"].split(":")[0] == kind
        assert json.loads(response.body)["message"]


def test_an_error_that_aws_does_not_know_is_a_validation_error():
    assert SimulatedError("MadeUpException").response().status == 400
