# An authorization service that is asked over HTTP: 200 lets a call pass. What it answers, the field `x-wish` says.
# Ends when its input does. Says its port first, then a line of JSON for each question.
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def decide(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fields = {name.lower(): value for name, value in self.headers.items()}
        asked = {"method": self.command, "path": self.path, "headers": fields, "body": body.decode()}
        print(json.dumps(asked), flush=True)
        wish = fields.get("x-wish", "")
        status, text = {"deny": (403, b"not you"), "error": (500, b"")}.get(wish, (200, b""))
        self.send_response(status)
        self.send_header("x-tenant", "acme")
        self.send_header("x-other", "1")
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_DELETE = decide

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
