"""The fixture `postgres`, for the tests of several rooms: `pytest_plugins` names this module."""

from collections.abc import Iterator

import pytest

from tests.postgres_lab import PostgresLab, open_postgres_lab


@pytest.fixture(scope="session")
def standing_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresLab]:
    """One Postgres for all tests; use `postgres`."""
    with open_postgres_lab(tmp_path_factory.mktemp("postgres")) as lab:
        yield lab


@pytest.fixture
def postgres(standing_postgres: PostgresLab) -> PostgresLab:
    """A Postgres that runs."""
    standing_postgres.start()
    return standing_postgres
