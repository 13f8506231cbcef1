"""A Hub of model repositories on this machine: as much of its HTTP interface as pushing and pulling a model needs."""

import base64
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Keeps the files of every repository in `server.repos`."""

    def log_message(self, *args):
        pass

    def reply(self, content, **headers):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        body, repos = self.rfile.read(int(self.headers["Content-Length"])), self.server.repos
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            repos[name] = {}
            self.reply({"url": f"{self.server.url}/{name}", "id": name})
        elif self.path == "/api/validate-yaml":
            self.reply({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/main", self.path):
            files = [file["path"] for file in json.loads(body)["files"]]
            plain = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self.reply({"files": [{"path": path, **plain} for path in files]})
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    repos[found[1]][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{self.server.url}/{found[1]}/commit/{COMMIT}"
            self.reply({"success": True, "commitUrl": url, "commitOid": COMMIT, "hookOutput": ""})
        else:
            self.send_error(404)

    def do_GET(self):
        path, repos = self.path.split("?")[0], self.server.repos
        if found := re.fullmatch(r"/api/models/(\w+/\w+)(?:/revision/\w+)?", path):
            siblings = [{"rfilename": name} for name in repos[found[1]]]
            self.reply({"id": found[1], "modelId": found[1], "sha": COMMIT, "siblings": siblings})
        elif found := re.fullmatch(r"/api/models/(\w+/\w+)/tree/\w+", path):
            files = repos[found[1]].items()
            self.reply([{"type": "file", "path": n, "size": len(x), "oid": n} for n, x in files])
        elif (found := re.fullmatch(r"/(\w+/\w+)/resolve/\w+/(.+)", path)) and found[2] in repos[found[1]]:
            self.reply(repos[found[1]][found[2]], ETag=f'"{hash(found[2])}"', X_Repo_Commit=COMMIT)
        else:
            self.send_error(404)

    do_HEAD = do_GET


@contextmanager
def local_hub():
    """A running Hub; yields the server, with its `url` and `repos`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.repos, server.url = {}, f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
