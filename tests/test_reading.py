import pytest

from stimpute._reading import readable


class OddError(Exception):
    """An error that only one library has."""


@pytest.mark.parametrize("error", [OddError("a\nb"), ValueError("a"), EOFError()])
def test_errors_of_readers_name_the_file(error):
    message = r"x\.h5ad cannot be read: (a|EOFError)\. Fetch it again\.$"
    with pytest.raises(ValueError, match=message), readable("x.h5ad", "Fetch it again."):
        raise error


@pytest.mark.parametrize("error", [FileNotFoundError("a"), PermissionError("a"), KeyboardInterrupt()])
def test_other_errors_are_left_alone(error):
    with pytest.raises(type(error)) as found, readable("x.h5ad", "Fetch it again."):
        raise error
    assert found.value is error
