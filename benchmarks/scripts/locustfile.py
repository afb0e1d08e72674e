"""One request of the benchmark in locust's fast client."""

import hashlib
import hmac
import json
import os
import uuid

from locust import FastHttpUser, constant_throughput, events, task

SIGNED = os.environ["SIGNED"] == "1"
KEY = os.environ.get("KEY", "").encode()
FILLER = "x" * 380
STILL = json.dumps({"id": "0" * 36, "text": FILLER})
JSON = {"Content-Type": "application/json"}


class Sender(FastHttpUser):
    host = os.environ["URL"].rstrip("/")
    if "RATE" in os.environ:
        wait_time = constant_throughput(float(os.environ["RATE"]) / int(os.environ["VUS"]))

    @task
    def send(self):
        if not SIGNED:
            self.client.post("/", data=STILL, headers=JSON)
            return
        body = json.dumps({"id": str(uuid.uuid4()), "text": FILLER}).encode()
        signature = hmac.new(KEY, body, hashlib.sha256).hexdigest()
        headers = {"X-Signature": f"sha256={signature}", **JSON}
        self.client.post("/", data=body, headers=headers)


@events.quitting.add_listener
def report(environment, **_):
    total = environment.stats.total
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
    print(json.dumps({k: total.get_response_time_percentile(q) for k, q in shares.items()}))
