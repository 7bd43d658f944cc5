from __future__ import annotations

from collections.abc import Callable

import pytest

from quant_pipeline_tests.paper_gateway.clients.environments import CLIENTS, Client
from quant_pipeline_tests.paper_gateway.clients.scenario import Transcript, play


@pytest.fixture(scope="session")
def transcript_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Client], Transcript]:
    """What a client saw; each plays its scenario once."""
    played: dict[str, Transcript] = {}

    def transcript(client: Client) -> Transcript:
        if client.name not in played:
            played[client.name] = play(client, tmp_path_factory.mktemp("gateway"))
        return played[client.name]

    return transcript


@pytest.fixture(scope="session", params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest) -> Client:
    return request.param


@pytest.fixture(scope="session")
def saw(client: Client, transcript_of: Callable[[Client], Transcript]) -> Transcript:
    """What one of the clients saw, by the name of the step."""
    return transcript_of(client)
