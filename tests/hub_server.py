"""A Hub on the loopback, in memory: enough of its interface for unmodified clients, a request log, faults to order.

It keeps real commits: every one is a whole listing of files, and history is never rewritten. Large files go through
the LFS endpoints, as they do on the Hub without Xet.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

USER = "mu-bench"
TOKEN = "hf_the_right_one"
READ_TOKEN = "hf_may_only_read"
LARGE = (".parquet", ".safetensors", ".png", ".bin")
PREFIXES = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}
ATTRIBUTES = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in LARGE).encode()


@dataclass(frozen=True)
class Blob:
    data: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def git(self) -> str:
        """Git's id of the file, or of the pointer that stands for a large one."""
        data = f"oid sha256:{self.sha256}\n".encode() if self.large else self.data
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git

    def lfs(self, name: str) -> dict[str, Any]:
        return {"lfs": {name: self.sha256, "size": len(self.data), "pointerSize": 134}} if self.large else {}


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    files: dict[str, Blob]


@dataclass
class Repository:
    kind: str
    name: str
    private: bool
    commits: list[Commit] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, title: str, files: dict[str, Blob], branch: str = "main") -> Commit:
        listing = {path: blob.git for path, blob in files.items()}
        told = json.dumps([self.kind, self.name, title, len(self.commits), listing], sort_keys=True)
        self.commits.append(Commit(hashlib.sha1(told.encode()).hexdigest(), title, files))
        self.refs[branch] = self.commits[-1].oid
        return self.commits[-1]

    def at(self, revision: str) -> Commit:
        oid = self.refs.get(revision) or self.tags.get(revision) or revision
        for commit in self.commits:
            if commit.oid == oid:
                return commit
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    @property
    def head(self) -> Commit:
        return self.at("main")


class Refusal(Exception):
    def __init__(self, status: int, words: str, code: str | None = None, commit: str | None = None) -> None:
        super().__init__(words)
        headers = {"X-Error-Code": code, "X-Error-Message": words if code else None, "X-Repo-Commit": commit}
        self.response = JSONResponse({"error": words}, status, {k: v for k, v in headers.items() if v})


@dataclass
class Fault:
    """What goes wrong with the next requests whose ``METHOD /path`` matches.

    Attributes:
        match: Regular expression.
        how: ``"drop"`` (the connection breaks as soon as the first bytes of the body are there), ``"lose"`` (it breaks
            after all was done, before the answer), ``"silence"`` (no answer), or a status to answer.
        times: How often.
    """

    match: str
    how: str | int
    times: int = 1


@dataclass
class Hub:
    """The server's state, for tests to look at."""

    endpoint: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    authorised: set[str] = field(default_factory=set)

    def dataset(self, name: str) -> Repository:
        return self.repositories["datasets", name]

    def model(self, name: str) -> Repository:
        return self.repositories["models", name]

    def requests(self, pattern: str = "", since: int = 0) -> list[str]:
        """Return ``METHOD /path`` of all requests that match."""
        lines = [f"{method} {path}" for method, path, _ in self.log[since:]]
        return [line for line in lines if re.search(pattern, line)]

    def fault(self, line: str) -> Fault | None:
        for one in self.faults:
            if one.times > 0 and re.search(one.match, line):
                one.times -= 1
                return one
        return None

    def forget(self) -> None:
        """Become as empty as at the start."""
        for state in (self.repositories, self.objects, self.log, self.faults, self.authorised):
            state.clear()

    def create(self, kind: str, name: str, private: bool = False) -> Repository:
        made = self.repositories[kind, name] = Repository(kind, name, private)
        made.commit("initial commit", {".gitattributes": Blob(ATTRIBUTES, large=False)})
        return made


class Handlers:
    """What the server answers, one method an endpoint."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def role(self, request: Request) -> str | None:
        sent = request.headers.get("authorization")
        if sent not in (None, f"Bearer {TOKEN}", f"Bearer {READ_TOKEN}"):
            raise Refusal(401, "Invalid username or password.")
        return None if sent is None else "write" if sent == f"Bearer {TOKEN}" else "read"

    def opened(self, request: Request, kind: str | None = None, writes: bool = False) -> Repository:
        found = self.role(request)
        name = f"{request.path_params['space']}/{request.path_params['name']}"
        repository = self.hub.repositories.get((kind or request.path_params["kind"], name))
        if repository is None or (repository.private and found is None):
            raise Refusal(404 if found else 401, "Repository not found", "RepoNotFound")
        if writes and found != "write":
            raise Refusal(403 if found else 401, "You don't have the rights to write to this repository")
        return repository

    def revision(self, request: Request) -> str:
        return request.path_params.get("rev", "main")

    async def whoami(self, request: Request) -> Response:
        found = self.role(request)
        if found is None:
            raise Refusal(401, "Invalid username or password.")
        token = {"accessToken": {"role": found, "displayName": "test"}}
        return JSONResponse({"type": "user", "name": USER, "fullname": USER, "orgs": [], "auth": token})

    async def validate(self, request: Request) -> Response:
        content = (await request.json())["content"]
        errors = [] if content.startswith("---\n") else [{"message": "no metadata"}]
        return JSONResponse({"errors": errors, "warnings": []}, 400 if errors else 200)

    async def create(self, request: Request) -> Response:
        if (found := self.role(request)) != "write":
            raise Refusal(403 if found else 401, "You don't have the rights to create a repository")
        asked = await request.json()
        kind, name = f"{asked.get('type', 'model')}s", f"{asked.get('organization') or USER}/{asked['name']}"
        if name.split("/", 1)[0] != USER:
            raise Refusal(403, f"You don't have the rights to create a {kind[:-1]} under the namespace")
        url = f"{self.hub.endpoint}/{PREFIXES[kind]}{name}"
        if (kind, name) in self.hub.repositories:
            return JSONResponse({"url": url, "error": "You already created this repo"}, 409)
        self.hub.create(kind, name, asked.get("visibility") == "private" or bool(asked.get("private")))
        return JSONResponse({"url": url})

    async def delete(self, request: Request) -> Response:
        self.role(request)
        asked = await request.json()
        self.hub.repositories.pop(
            (f"{asked.get('type', 'model')}s", f"{asked.get('organization') or USER}/{asked['name']}")
        )
        return JSONResponse({})

    def described(self, repository: Repository, commit: Commit, blobs: bool = False) -> dict[str, Any]:
        more = {
            path: {"size": len(blob.data), "blobId": blob.git, **blob.lfs("sha256")} if blobs else {}
            for path, blob in commit.files.items()
        }
        facts = {"author": USER, "private": repository.private, "gated": False, "disabled": False, "downloads": 0}
        dates = {"lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z"}
        siblings = [{"rfilename": path, **more[path]} for path in sorted(commit.files)]
        names = {"_id": "1", "id": repository.name, "modelId": repository.name, "sha": commit.oid}
        return {**names, **facts, **dates, "likes": 0, "tags": [], "siblings": siblings}

    async def listed(self, request: Request) -> Response:
        kind, author = request.path_params["kind"], request.query_params.get("author")
        found = [
            one
            for (k, name), one in self.hub.repositories.items()
            if k == kind and author in (None, name.split("/")[0])
        ]
        return JSONResponse([self.described(one, one.head) for one in found])

    async def info(self, request: Request) -> Response:
        repository = self.opened(request)
        return JSONResponse(
            self.described(repository, repository.at(self.revision(request)), "blobs" in request.query_params)
        )

    def entry(self, path: str, blob: Blob) -> dict[str, Any]:
        return {"type": "file", "oid": blob.git, "size": len(blob.data), "path": path, **blob.lfs("oid")}

    async def tree(self, request: Request) -> Response:
        commit = self.opened(request).at(self.revision(request))
        top = request.path_params.get("path", "").strip("/")
        inside = {p: b for p, b in commit.files.items() if not top or p.startswith(f"{top}/")}
        if top and not inside:
            raise Refusal(404, f"{top} does not exist on {self.revision(request)}", "EntryNotFound", commit.oid)
        start = len(top) + 1 if top else 0
        folders = {p[: p.index("/", start)] for p in inside if "/" in p[start:]}
        every = request.query_params.get("recursive", "").lower() in ("1", "true")
        if every:
            folders = {"/".join(p.split("/")[:n]) for p in inside for n in range(1, p.count("/") + 1)}
        files = [self.entry(p, b) for p, b in sorted(inside.items()) if every or "/" not in p[start:]]
        oids = {path: hashlib.sha1(path.encode()).hexdigest() for path in folders}
        return JSONResponse(
            [{"type": "directory", "oid": oids[p], "size": 0, "path": p} for p in sorted(folders) if len(p) > len(top)]
            + files
        )

    async def paths_info(self, request: Request) -> Response:
        commit = self.opened(request).at(self.revision(request))
        body = (await request.body()).decode()
        json_body = "json" in request.headers.get("content-type", "")
        wanted = json.loads(body)["paths"] if json_body else parse_qs(body).get("paths", [])
        found = [self.entry(path, commit.files[path]) for path in wanted if path in commit.files]
        folders = [path for path in wanted if any(name.startswith(f"{path}/") for name in commit.files)]
        oid = hashlib.sha1(b"folder").hexdigest()
        return JSONResponse(found + [{"type": "directory", "oid": oid, "size": 0, "path": path} for path in folders])

    async def refs(self, request: Request) -> Response:
        repository = self.opened(request)
        lists = {"branches": ("heads", repository.refs), "tags": ("tags", repository.tags)}
        table = {
            key: [{"name": name, "ref": f"refs/{word}/{name}", "targetCommit": oid} for name, oid in table.items()]
            for key, (word, table) in lists.items()
        }
        return JSONResponse({**table, "converts": []})

    async def commits(self, request: Request) -> Response:
        repository = self.opened(request)
        until = repository.commits.index(repository.at(self.revision(request)))
        return JSONResponse(
            [
                {"id": one.oid, "title": one.title, "message": "", "authors": [], "date": "2026-01-01T00:00:00.000Z"}
                for one in repository.commits[until::-1]
            ]
        )

    async def branch(self, request: Request) -> Response:
        repository, asked = self.opened(request, writes=True), await request.json()
        if self.revision(request) in repository.refs:
            raise Refusal(409, "Reference already exists")
        repository.refs[self.revision(request)] = repository.at(asked.get("startingPoint") or "main").oid
        return JSONResponse({})

    async def tag(self, request: Request) -> Response:
        repository, asked = self.opened(request, writes=True), await request.json()
        if asked["tag"] in repository.tags:
            raise Refusal(409, "Tag already exists")
        repository.tags[asked["tag"]] = repository.at(self.revision(request)).oid
        return JSONResponse({})

    async def preupload(self, request: Request) -> Response:
        files = self.opened(request, writes=True).at(self.revision(request)).files
        asked = (await request.json())["files"]
        return JSONResponse(
            {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                        "shouldIgnore": False,
                        "oid": files[file["path"]].etag if file["path"] in files else None,
                    }
                    for file in asked
                ]
            }
        )

    async def batch(self, request: Request) -> Response:
        kind = request.path_params.get("kind", "models")
        repository = self.opened(request, kind, writes=True)
        objects = []
        for asked in (await request.json())["objects"]:
            told = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.objects:
                self.hub.authorised.add(asked["oid"])
                verify = f"{self.hub.endpoint}/{PREFIXES[kind]}{repository.name}.git/info/lfs/verify"
                put = f"{self.hub.endpoint}/lfs/{asked['oid']}?X-Signature=sign{asked['oid'][:8]}"
                told["actions"] = {"upload": {"href": put}, "verify": {"href": verify}}
            objects.append(told)
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def put(self, request: Request) -> Response:
        oid, data = request.path_params["oid"], await request.body()
        if oid not in self.hub.authorised or hashlib.sha256(data).hexdigest() != oid:
            raise Refusal(400, "XAmzContentSHA256Mismatch")
        self.hub.objects[oid] = data
        return Response()

    async def verify(self, request: Request) -> Response:
        asked = await request.json()
        whole = len(self.hub.objects.get(asked["oid"], b"")) == asked["size"]
        return JSONResponse({} if whole else {"error": "not there"}, 200 if whole else 404)

    async def commit(self, request: Request) -> Response:
        repository, name = self.opened(request, writes=True), self.revision(request)
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
        header, files = lines[0]["value"], dict(repository.at(name).files)
        if header.get("parentCommit") not in (None, repository.at(name).oid):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        for line in lines[1:]:
            self.apply(files, line["key"], line["value"])
        made = repository.commit(header["summary"], files, name)
        url = f"{self.hub.endpoint}/{PREFIXES[repository.kind]}{repository.name}/commit/{made.oid}"
        return JSONResponse({"commitUrl": url, "commitOid": made.oid})

    def apply(self, files: dict[str, Blob], key: str, value: dict[str, Any]) -> None:
        path = value["path"]
        if key == "file":
            files[path] = Blob(base64.b64decode(value["content"]), large=False)
        elif key == "lfsFile":
            if value["oid"] not in self.hub.objects:
                raise Refusal(400, f"LFS pointer of {path} has no object")
            files[path] = Blob(self.hub.objects[value["oid"]], large=True)
        elif key == "deletedFile":
            if files.pop(path, None) is None:
                raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        else:
            for name in [name for name in files if name.startswith(f"{path.rstrip('/')}/")]:
                del files[name]

    async def resolve(self, request: Request) -> Response:
        found = self.opened(request, request.path_params.get("kind", "models")).at(self.revision(request))
        path = request.path_params["path"]
        if path not in found.files:
            raise Refusal(404, f"Entry not found: {path}", "EntryNotFound", found.oid)
        blob = found.files[path]
        headers = {"X-Repo-Commit": found.oid, "ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes"}
        if blob.large:
            headers |= {"X-Linked-Etag": f'"{blob.etag}"', "X-Linked-Size": str(len(blob.data))}
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", ""))
        if not asked:
            return Response(blob.data, headers=headers, media_type="application/octet-stream")
        size = len(blob.data)
        first = int(asked[1]) if asked[1] else size - int(asked[2])
        last = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
        if first >= size:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Response(blob.data[first : last + 1], 206, headers, "application/octet-stream")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response


def app(hub: Hub) -> ASGIApp:
    """Return the server."""
    h = Handlers(hub)
    at = "/api/{kind}/{space}/{name}"
    routes = [
        Route("/api/whoami-v2", h.whoami),
        Route("/api/validate-yaml", h.validate, methods=["POST"]),
        Route("/api/repos/create", h.create, methods=["POST"]),
        Route("/api/repos/delete", h.delete, methods=["DELETE"]),
        Route("/api/{kind}", h.listed),
        Route(f"{at}/refs", h.refs),
        Route(f"{at}/revision/{{rev}}", h.info),
        Route(f"{at}/tree/{{rev}}/{{path:path}}", h.tree),
        Route(f"{at}/tree/{{rev}}", h.tree),
        Route(f"{at}/paths-info/{{rev}}", h.paths_info, methods=["POST"]),
        Route(f"{at}/commits/{{rev}}", h.commits),
        Route(f"{at}/branch/{{rev}}", h.branch, methods=["POST"]),
        Route(f"{at}/tag/{{rev}}", h.tag, methods=["POST"]),
        Route(f"{at}/preupload/{{rev}}", h.preupload, methods=["POST"]),
        Route(f"{at}/commit/{{rev}}", h.commit, methods=["POST"]),
        Route(at, h.info),
        Route("/lfs/{oid}", h.put, methods=["PUT"]),
        *[
            route
            for place in ("/{kind}/{space}/{name}", "/{space}/{name}")
            for route in (
                Route(f"{place}.git/info/lfs/objects/batch", h.batch, methods=["POST"]),
                Route(f"{place}.git/info/lfs/verify", h.verify, methods=["POST"]),
                Route(f"{place}/resolve/{{rev}}/{{path:path}}", h.resolve),
            )
        ],
    ]
    return Faulty(hub, Starlette(routes=routes, exception_handlers={Refusal: _refused}))


@dataclass(frozen=True)
class Faulty:
    """The server with a log, in which goes wrong what was ordered to."""

    hub: Hub
    inner: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/api/agent-harnesses":  # asked for once a day, whatever a client is about to do
            await Response(status_code=404)(scope, receive, send)
            return
        place = len(self.hub.log)
        self.hub.log.append((scope["method"], scope["path"], 0))
        fault = self.hub.fault(f"{scope['method']} {scope['path']}")
        how = fault.how if fault else ""

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.hub.log[place] = (*self.hub.log[place][:2], message["status"])
            if how != "lose":
                await send(message)

        if how in ("", "lose"):
            await self.inner(scope, receive, noted)
            if how == "lose":
                _break(receive)
        else:
            await _go_wrong(how, scope, receive, noted)


async def _go_wrong(how: str | int, scope: Scope, receive: Receive, send: Send) -> None:
    if how == "drop":
        await receive()
        _break(receive)
    elif how == "silence":
        while (await receive())["type"] != "http.disconnect":
            pass
    else:
        while (await receive()).get("more_body"):
            pass
        await JSONResponse({"error": "Something went wrong"}, int(how))(scope, receive, send)


def _break(receive: Receive) -> None:
    """Break the connection: uvicorn hands out its end of it only this way."""
    receive.__self__.transport.abort()  # type: ignore[attr-defined]


@contextmanager
def serving() -> Iterator[Hub]:
    """Serve a new, empty Hub on a free port of the loopback for as long as the block lasts."""
    hub = Hub()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hub.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = uvicorn.Config(app(hub), log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield hub
        finally:
            server.should_exit = True
            thread.join(timeout=10)
