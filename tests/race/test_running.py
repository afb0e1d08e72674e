"""Rounds against servers that behave as a test tells them: what is a race, and what is none."""

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from perfchaos.race.rounds import Said
from perfchaos.race.running import Racing
from perfchaos.recording.layout import Failure
from perfchaos.target import SetUpRequest, SetUpStatement
from perfchaos.workload.plan import RequestTemplate
from tests.race.conftest import Run, plan_for, race_for
from tests.workload.conftest import OK, Behaviour, Server, read_request, replying, resetting

Serve = Callable[[Behaviour], Server]

WON = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyou"
LOST = b"HTTP/1.1 409 Conflict\r\nContent-Length: 6\r\n\r\nothers"


class OneWins:
    """Waits until `count` requests are in, then tells the first of them that it has won."""

    def __init__(self, count: int, *, won: bytes = WON, lost: bytes = LOST) -> None:
        self.requests: list[bytes] = []
        self._replies = (won, lost)
        self._all_in = threading.Barrier(count, timeout=10)
        self._lock = threading.Lock()

    def __call__(self, connection: socket.socket) -> None:
        while True:
            request = read_request(connection)
            with self._lock:
                place = len(self.requests)
                self.requests.append(request)
            self._all_in.wait()
            connection.sendall(self._replies[0 if place % self._all_in.parties == 0 else 1])


def said(rounds: Sequence[object]) -> list[str]:
    return sorted(contender.said for one in rounds for contender in one.contenders)  # type: ignore[attr-defined]


def test_contenders_are_at_the_server_together(serve: Serve, run: Run) -> None:
    server = serve(one_wins := OneWins(5))
    rounds = run(plan_for(race_for(server.url()), contenders=5, rounds=4))
    assert all(one.effective for one in rounds)
    assert said(rounds) == sorted(([Said.WON] + [Said.LOST] * 4) * 4)
    # Each on a connection of its own, kept from round to round.
    assert server.connection_count == 5
    assert {contender.name for contender in rounds[0].contenders} == {"1", "2", "3", "4", "5"}
    assert one_wins.requests[0].startswith(b"POST /things/")


def test_the_seed_decides_the_order_of_release(serve: Serve, run: Run) -> None:
    server = serve(OneWins(4))

    def orders(seed: int) -> list[list[str]]:
        plan = plan_for(race_for(server.url()), contenders=4, rounds=5, seed=seed)
        return [[contender.name for contender in one.contenders] for one in run(plan)]

    assert orders(1) == orders(1) != orders(2)


def test_a_duplicate_is_a_second_request_of_somebody(serve: Serve, run: Run) -> None:
    server = serve(OneWins(5))
    (one,) = run(plan_for(race_for(server.url()), contenders=5, duplicates=2))
    assert len(one.contenders) == 5
    assert {contender.name for contender in one.contenders} == {"1", "2", "3"}


def test_the_evidence_tells_who_sent_what_when_and_heard_what(serve: Serve, run: Run) -> None:
    server = serve(OneWins(3))
    (one,) = run(plan_for(race_for(server.url())))
    winner = next(contender for contender in one.contenders if contender.said is Said.WON)
    assert winner.request == f'POST /things/{one.key} {{"by": {winner.name}}}'
    assert (winner.code, winner.reply) == (200, "you")
    released_ns = one.released_ns or 0
    assert winner.sent_ns is not None
    assert one.began_ns < released_ns < winner.sent_ns < winner.done_ns <= one.ended_ns


def test_a_target_that_answers_half_a_request_cannot_be_raced(serve: Serve, run: Run) -> None:
    def hasty(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(LOST)
        read_request(connection)

    server = serve(hasty)
    # Time enough for half a request to be answered, on the slowest of machines.
    (one,) = run(plan_for(race_for(server.url()), hold_s=0.5))
    assert one.problem == "the target answered before the requests were complete"
    assert (one.effective, one.contenders) == (False, ())


def test_a_silent_target_leaves_it_open_who_won(serve: Serve, run: Run) -> None:
    def silent(connection: socket.socket) -> None:
        read_request(connection)
        connection.recv(1)

    server = serve(silent)
    race = race_for(server.url())
    impatient = RequestTemplate(url=race.compete.url, acknowledged=(200, 409), timeout_s=0.1)
    (one,) = run(plan_for(race_for(server.url(), compete=impatient)))
    assert said([one]) == [Said.NOTHING] * 3
    assert {contender.code for contender in one.contenders} == {Failure.TIMEOUT}
    assert one.effective


@pytest.mark.parametrize(
    ("behaviour", "meaning", "code"),
    [
        (resetting, Said.NOTHING, Failure.RESET),
        (replying(b"HTTP/1.1 500 E\r\nContent-Length: 0\r\n\r\n"), Said.NOTHING, 500),
        (replying(b"HTTP/1.1 503 E\r\nContent-Length: 0\r\n\r\n"), Said.REFUSED, 503),
        (replying(b"HTTP/1.1 404 E\r\nContent-Length: 0\r\n\r\n"), Said.REFUSED, 404),
        (replying(b"SSH-2.0 what?\r\n\r\n"), Said.NOTHING, Failure.GARBAGE),
        (replying(b"HTTP/1.1 200 OK\r\n\r\n", then_close=True), Said.WON, 200),
        (
            replying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", then_close=True),
            Said.NOTHING,
            Failure.CLOSED,
        ),
    ],
)
def test_every_answer_has_its_meaning(
    serve: Serve, run: Run, behaviour: Behaviour, meaning: Said, code: int
) -> None:
    (one,) = run(plan_for(race_for(serve(behaviour).url())))
    assert {(contender.said, contender.code) for contender in one.contenders} == {(meaning, code)}


def test_a_server_that_hangs_up_after_each_reply_is_connected_to_again(
    serve: Serve, run: Run
) -> None:
    server = serve(replying(OK, then_close=True))
    rounds = run(plan_for(race_for(server.url()), rounds=3))
    assert [one.problem for one in rounds] == [None] * 3
    assert said(rounds) == [Said.WON] * 9
    assert server.connection_count >= 9


def test_winners_are_told_by_their_bodies_where_all_have_one_status(serve: Serve, run: Run) -> None:
    lost = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nothers"
    server = serve(OneWins(3, lost=lost))
    (one,) = run(plan_for(race_for(server.url(), lost=(200,), won_when="^you$")))
    assert said([one]) == [Said.LOST, Said.LOST, Said.WON]


def test_a_target_that_is_not_there_is_no_race(unused_port: int, run: Run) -> None:
    (one,) = run(plan_for(race_for(f"http://127.0.0.1:{unused_port}/")))
    assert one.problem == "a contender could not connect: connection refused"
    assert not one.effective


# The set-up.


def set_up(server: Server, **capture: str) -> SetUpRequest:
    return SetUpRequest(
        request=RequestTemplate(url=server.url("/set-up"), body='{"for": {contenders}}'),
        capture=tuple(capture.items()),
    )


def json_reply(content: object, status: int = 201) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def test_what_the_set_up_gives_is_raced_for(serve: Serve, run: Run) -> None:
    preparing = serve(replying(json_reply({"order": {"id": "a/b"}, "vendors": [7, 8, 'n"9']})))
    server = serve(one_wins := OneWins(3))
    compete = RequestTemplate(
        url=server.url("/{order}/accept"),
        headers=(("X-Vendor", "{vendor}"),),
        body='{"vendor": "{vendor}"}',
        acknowledged=(200, 409),
    )
    race = race_for(
        server.url(),
        set_up=(set_up(preparing, order="order.id", vendor="vendors"),),
        compete=compete,
        round_field="order",
        contender_field="vendor",
    )
    (one,) = run(plan_for(race))
    assert (one.key, one.problem) == ("a/b", None)
    assert {contender.name for contender in one.contenders} == {"7", "8", 'n"9'}
    # Whatever was captured stays one value: quoted in the path, escaped in the body.
    assert {
        json.loads(request.partition(b"\r\n\r\n")[2])["vendor"] for request in one_wins.requests
    } == {"7", "8", 'n"9'}
    assert all(request.startswith(b"POST /a%2Fb/accept ") for request in one_wins.requests)


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (json_reply({}, status=503), "was answered with HTTP 503"),
        (json_reply({"order": None}), "neither texts nor whole numbers at 'order'"),
        (json_reply({"order": []}), "neither texts nor whole numbers at 'order'"),
        (json_reply({"order": {"id": 1}}), "neither texts nor whole numbers at 'order'"),
        (json_reply([1, 2]), "nothing at 'order'"),
        (json_reply({"ordre": 1}), "nothing at 'order'"),
        (json_reply({"order": ["1", "2", "3"]}), "no single 'order' to tell this round by"),
        (b"HTTP/1.1 201 X\r\nContent-Length: 4\r\n\r\noops", "not JSON"),
    ],
)
def test_a_set_up_that_does_not_do_its_part_is_no_race(
    serve: Serve, run: Run, reply: bytes, problem: str
) -> None:
    server = serve(replying(reply))
    race = race_for(server.url(), set_up=(set_up(server, order="order"),), round_field="order")
    (one,) = run(plan_for(race))
    assert problem in (one.problem or "")
    assert (one.effective, one.released_ns) == (False, None)


def test_too_few_contenders_from_the_set_up_are_no_race(serve: Serve, run: Run) -> None:
    server = serve(replying(json_reply({"vendors": [1, 2]})))
    race = race_for(
        server.url(), set_up=(set_up(server, vendor="vendors"),), contender_field="vendor"
    )
    (one,) = run(plan_for(race))
    assert one.problem == "the set-up gave 2 of 'vendor', too few for the contenders"


def test_the_same_thing_is_not_raced_for_twice(serve: Serve, run: Run) -> None:
    server = serve(replying(json_reply({"order": 5}, status=200)))
    race = race_for(server.url(), set_up=(set_up(server, order="order"),), round_field="order")
    first, second = run(plan_for(race, rounds=2))
    assert (first.problem, first.key) == (None, "5")
    assert second.problem == "the set-up gave 5 again, which was raced for before"


def test_a_database_that_is_away_is_told_in_one_line(serve: Serve, run: Run) -> None:
    race = race_for(serve(replying(OK)).url(), set_up=(SetUpStatement(sql="SELECT 1"),))
    (one,) = run(plan_for(race))
    assert "refused" in (one.problem or "")
    assert "\n" not in (one.problem or "")


# TLS.


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    path, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    return path, key


def test_the_last_bytes_are_released_through_tls(
    serve: Serve, run: Run, certificate: tuple[Path, Path]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    one_wins = OneWins(4)

    def through_tls(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as session:
            one_wins(session)

    server = serve(through_tls)
    url = f"https://localhost:{server.port}/"
    plan = plan_for(race_for(url), contenders=4, rounds=3, tls_ca_file=str(certificate[0]))
    rounds = run(plan)
    assert [one.problem for one in rounds] == [None] * 3
    assert all(one.effective for one in rounds)
    assert said(rounds) == sorted(([Said.WON] + [Said.LOST] * 3) * 3)
    assert server.connection_count == 4


def test_a_certificate_that_proves_nothing_is_no_race(
    serve: Serve, run: Run, certificate: tuple[Path, Path]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    server = serve(lambda connection: context.wrap_socket(connection, server_side=True).close())
    (one,) = run(plan_for(race_for(f"https://localhost:{server.port}/")))
    assert one.problem == "a contender could not connect: tls"


def test_a_control_is_of_two_contenders_one_after_the_other(serve: Serve) -> None:
    server = serve(replying(WON))
    with contextlib.closing(Racing(plan_for(race_for(server.url()), contenders=5))) as racing:
        control = racing.control()
    assert control.control
    first, second = control.contenders
    assert first.name != second.name
    assert second.sent_ns is not None
    assert first.done_ns <= second.sent_ns
    assert (first.said, second.said) == (Said.WON, Said.WON)
