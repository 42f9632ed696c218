"""What the Python scripts share: steps with names, and a tab of a browser."""

import html
import json
import os
import re
import sys
import traceback
from urllib.parse import urljoin, urlsplit

import requests

SETTING = json.loads(os.environ["SETTING"])
FAILED = []
LAST = []


def note(response, *_args, **_kwargs):
    """Remembers an answer, for the case that the step fails."""
    fields = {name: response.headers[name] for name in ("WWW-Authenticate", "DPoP-Nonce", "Location") if name in response.headers}
    LAST.append(f"{response.request.method} {response.url}\n{response.status_code} {fields}\n{response.text}")
    del LAST[:-3]


def noting(session):
    """A session of `requests` that notes what was answered."""
    session.hooks["response"].append(note)
    return session


def step(name):
    """Runs what follows at once; prints `ok NAME`, or `not ok NAME` with what the server answered last."""

    def run(body):
        LAST.clear()
        try:
            body()
            print(f"ok {name}", flush=True)
        except Exception:  # noqa: BLE001
            FAILED.append(name)
            text = traceback.format_exc() + "-- answers --\n" + "\n".join(LAST)
            print(f"not ok {name}\n" + re.sub("^", "  ", text, flags=re.M), flush=True)

    return run


def end():
    sys.exit(1 if FAILED else 0)


def attribute(page, name):
    """The first attribute of this name in the first form of a page."""
    form = page[page.index("<form"):]
    return html.unescape(re.search(f'{name}="([^"]*)"', form).group(1))


class Tab:
    """A tab of a browser without scripts: cookies, forms, redirects."""

    def __init__(self):
        self.session = noting(requests.Session())
        self.issuer = SETTING["issuer"]

    def open(self, url):
        return self.session.get(url, allow_redirects=False, headers={"Sec-Fetch-Site": "cross-site"})

    def submit(self, page, fields):
        url = urljoin(page.url, attribute(page.text, "action"))
        headers = {"Origin": self.issuer, "Sec-Fetch-Site": "same-origin"}
        data = {"flow": attribute(page.text, "value"), **fields}
        return self.session.post(url, data=data, headers=headers, allow_redirects=False)

    def allow(self, url, user):
        """Logs in and allows, as far as that is asked for, and gives the URL of the client that the browser is sent to; or
        the last page, where it is sent nowhere."""
        page = self.open(url)
        for _ in range(8):
            if page.status_code == 303:
                to = urljoin(page.url, page.headers["Location"])
                if urlsplit(to)[:2] != urlsplit(self.issuer)[:2]:
                    return to
                page = self.open(to)
            elif 'name="password"' in page.text:
                page = self.submit(page, {"username": user[0], "password": user[1]})
            elif 'name="user_code"' in page.text:
                code = re.search('name="user_code"[^>]*value="([^"]*)"', page.text).group(1)
                page = self.submit(page, {"user_code": code})
            elif 'name="decision"' in page.text:
                page = self.submit(page, {"decision": "allow"})
            else:
                return page
        raise AssertionError("the pages have no end")


def called(token, path="/pets", method="GET", **more):
    """Status of a call at the gateway: with a token, or with whatever `requests` takes as `auth`."""
    if isinstance(token, str):
        more["headers"] = {"Authorization": f"Bearer {token}"}
    else:
        more["auth"] = token
    answer = requests.request(method, SETTING["api"] + path, hooks={"response": note}, **more)
    return answer.status_code
