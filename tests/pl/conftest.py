import matplotlib
import matplotlib.pyplot as plt
import pytest


@pytest.fixture(autouse=True)
def no_windows_left():
    matplotlib.use("agg")
    yield
    plt.close("all")
