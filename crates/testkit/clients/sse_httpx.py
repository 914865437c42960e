"""Python's httpx-sse receives, is cut in mid-flow and resumes.

Not named httpx_sse.py: Python would import the script in place of the package.

    node with-server.mjs python3 sse_httpx.py
"""

import json
import os
import secrets
import signal
import time
import uuid

import httpx
from httpx_sse import connect_sse

BASE = os.environ["GODWIT_URL"]
TIMEOUT_S = 30
DEADLINE_S = 120  # heartbeats keep a stream alive that brings nothing more


class Account:
    """One account's calls, with a token of its own."""

    def __init__(self, http: httpx.Client, name: str) -> None:
        self.http = http
        self.name = f"{name}-{secrets.token_hex(4)}"
        answer = http.get("/dev/token", params={"account": self.name, "device": "phone"})
        answer.raise_for_status()
        self.headers = {"Authorization": f"Bearer {answer.json()['token']}"}

    def post(self, path: str, body: dict) -> dict:
        """Posts and expects 201."""
        answer = self.http.post(path, json=body, headers=self.headers)
        assert answer.status_code == 201, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def send(self, conversation: str, first: int, last: int) -> None:
        """Sends the texts `message first` to `message last`, one after the other."""
        for n in range(first, last + 1):
            body = {"client_id": str(uuid.uuid4()), "body": {"type": "text", "text": f"message {n}"}}
            self.post(f"/v1/conversations/{conversation}/messages", body)

    def await_events(self, since: str, count: int) -> None:
        """Waits until the inbox has `count` events after `since`: an answer to a message does not wait for that."""
        while True:
            answer = self.http.get("/v1/sync", params={"since": since}, headers=self.headers)
            answer.raise_for_status()
            if len(answer.json()["events"]) >= count:
                return
            time.sleep(0.05)

    def stream(self, last_event_id: str = ""):
        """Opens the account's stream, as a context."""
        resume = {"Last-Event-ID": last_event_id} if last_event_id else {}
        return connect_sse(self.http, "GET", "/v1/events", headers=self.headers | resume)


def texts(first: int, last: int) -> list[str]:
    """What `send` sent."""
    return [f"message {n}" for n in range(first, last + 1)]


def dispatched(stream):
    """The stream's events without what carries no data, which httpx-sse yields too."""
    return (event for event in stream.iter_sse() if event.data)


def take(events, count: int) -> tuple[list[str], list[str]]:
    """The texts and ids of the next `count` messages; fails on a gap or a bye."""
    taken, ids = [], []
    while len(taken) < count:
        event = next(events)
        assert event.event not in ("gap", "bye"), event
        if event.event == "message":
            taken.append(json.loads(event.data)["body"]["text"])
            ids.append(event.id)
    return taken, ids


def main() -> None:
    """One stream cut after 6 of 10 messages, one resumed there."""
    with httpx.Client(base_url=BASE, timeout=TIMEOUT_S) as http:
        alice, bob = Account(http, "alice"), Account(http, "bob")
        conversation = alice.post("/v1/conversations", {"kind": "direct", "members": [bob.name]})["id"]

        with bob.stream() as stream:
            events = dispatched(stream)
            ready = next(events)
            assert ready.event == "ready" and ready.id, f"the first event is a ready with an id: {ready}"
            assert 0 < ready.retry, "the first block carries retry"
            alice.send(conversation, 1, 10)
            live, live_ids = take(events, 6)
        assert live == texts(1, 6), live
        print(f"ok   httpx-sse receives: {len(live)} messages, live, in order")

        alice.send(conversation, 11, 20)
        bob.await_events(live_ids[-1], 14)
        with bob.stream(last_event_id=live_ids[-1]) as stream:
            events = dispatched(stream)
            replayed, replayed_ids = take(events, 14)
            after = next(events)
            assert after.event == "caught_up" and after.id == replayed_ids[-1], f"caught_up follows: {after}"
            alice.send(conversation, 21, 23)
            joined, joined_ids = take(events, 3)
        assert replayed == texts(7, 20), replayed
        assert joined == texts(21, 23), joined
        ids = live_ids + replayed_ids + joined_ids
        assert len(set(ids)) == 23, "every event has an id of its own"
        print(f"ok   httpx-sse resumes: {len(replayed)} replayed, then caught_up, then {len(joined)} live, once each")


signal.alarm(DEADLINE_S)
main()
