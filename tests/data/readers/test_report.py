"""Problems, their exceptions, and the list of what was skipped."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from tfalign.data.readers import Problem, ReadingReport

BOX = Problem("empty-box", "list.txt:7", "a box must have an area. Received: 0", "a.jpg")
GONE = Problem("missing-image", "list.txt:8", "no such picture. Received: 'b.jpg'", "b.jpg")


def test_raise_raises_the_fitting_exception():
    with pytest.raises(ValueError, match=r"list\.txt:7: a box must have an area"):
        ReadingReport().reject(BOX)
    with pytest.raises(FileNotFoundError, match=r"list\.txt:8: no such picture"):
        ReadingReport().reject(GONE)


def test_what_could_have_been_left_out_says_how(tmp_path):
    """A face may be; a file that is none of the set's may not."""
    with pytest.raises(FileNotFoundError, match="list.txt:8.*--skip-bad.*tfalign inspect"):
        ReadingReport().reject(GONE)
    with pytest.raises(FileNotFoundError) as whole:
        raise GONE.error()
    assert "--skip-bad" not in str(whole.value)


def test_skip_counts_and_lists_each_problem_once():
    report = ReadingReport("skip")
    for problem in (BOX, GONE, BOX):
        report.reject(problem)
    assert report.skipped == (BOX, GONE)
    assert report.counts == {"empty-box": 1, "missing-image": 1}
    assert "list.txt:7" in report.table()
    assert report.table().endswith("2 skipped, 0 noted")


def test_notes_never_raise():
    report = ReadingReport("raise")
    report.note(GONE)
    assert report.noted == (GONE,)
    assert report.skipped == ()


def test_filling_from_threads_loses_nothing():
    report = ReadingReport("skip")
    problems = [Problem("outside-image", f"f:{i}", "…") for i in range(500)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(report.reject, problems))
    assert set(report.skipped) == set(problems)


@pytest.mark.parametrize("problem", [BOX, GONE])
def test_exceptions_survive_pickling(problem):
    error = pickle.loads(pickle.dumps(problem.error()))
    assert error.problem == problem
    assert str(error) == str(problem)


def test_policy_is_checked():
    with pytest.raises(ValueError, match="Received: on_error='ignore'"):
        ReadingReport("ignore")
