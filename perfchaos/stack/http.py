"""One GET, for readiness: no proxies of the environment, no redirects, no waiting."""

import http.client

from perfchaos.stack.ports import HOST


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of GET `path`; raises OSError if there is no HTTP answer within a second."""
    connection = http.client.HTTPConnection(HOST, port, timeout=1)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP answer ({type(error).__name__})") from error
    finally:
        connection.close()
