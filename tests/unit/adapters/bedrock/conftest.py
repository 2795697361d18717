import pytest

from tests.fakes.certificates import make_certificate


@pytest.fixture
def certificate(tmp_path):
    """A certificate of nobody's authority and its key, as files."""
    return make_certificate(tmp_path)
