"""A broker with its admin API, for the tests of it: requests by http.client, answers checked against the OpenAPI document."""
import http.client
import json
import re
import ssl
from urllib.parse import quote

from harness import Broker, Failure, check, equal

PASSWORD = "correct horse"


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body) if self.body else None

    @property
    def rows(self):
        return self.json["data"]

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Api:
    """With a token, an API key (a pair) or as nobody. Every answer of a documented operation is checked against the document."""

    def __init__(self, port, token=None, key=None, document=None, tls=None):
        self.port, self.token, self.key, self.document, self.tls = port, token, key, document, tls
        self.connection = None

    def __call__(self, method, path, body=None, headers=None, raw=None, prefix="/api/v1"):
        wanted = dict(headers or {})
        if self.token:
            wanted["Authorization"] = f"Bearer {self.token}"
        if self.key:
            import base64
            wanted["Authorization"] = "Basic " + base64.b64encode(":".join(self.key).encode()).decode()
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            wanted.setdefault("Content-Type", "application/json")
        for attempt in range(2):
            if self.connection is None:
                self.connection = (http.client.HTTPSConnection("127.0.0.1", self.port, timeout=60, context=self.tls) if self.tls
                                   else http.client.HTTPConnection("127.0.0.1", self.port, timeout=60))
            try:
                self.connection.request(method, prefix + path, data, wanted)
                answer = Answer(self.connection.getresponse())
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.close()
                if attempt:
                    raise
        if answer.headers.get("connection") == "close":
            self.close()
        if self.document and prefix:
            self.document.check(method, prefix + path, answer)
        return answer

    def good(self, method, path, body=None, status=200):
        answer = self(method, path, body)
        check(answer.status == status, f"{method} {path}: {answer}")
        return answer.json

    def get(self, path):
        return self.good("GET", path)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Document:
    """The OpenAPI document as far as it is used here: are status, type and form of an answer as documented?"""

    def __init__(self, text):
        self.whole = json.loads(text)
        self.seen = set()
        self.operations = []
        for path, item in self.whole["paths"].items():
            pattern = re.compile("^" + re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)) + "$")
            for method, operation in item.items():
                self.operations.append((method.upper(), path, pattern, operation))
        self.operations.sort(key=lambda one: "{" in one[1])

    def find(self, method, target):
        path = target.split("?")[0]
        for wanted, _, pattern, operation in self.operations:
            if pattern.match(path) and wanted == ("GET" if method == "HEAD" else method):
                return operation
        return None

    def check(self, method, target, answer):
        operation = self.find(method, target)
        if not operation:
            return
        self.seen.add(operation["operationId"])
        documented = operation["responses"].get(str(answer.status))
        check(documented is not None, f"{method} {target} answered {answer}, which is not documented")
        if "$ref" in documented:
            documented = self.resolve(documented)
        if method == "HEAD":
            return
        content = documented.get("content")
        if not content:
            equal(answer.body, b"", f"body of {method} {target}")
            return
        kind = answer.headers["content-type"].split(";")[0]
        check(kind in content, f"{method} {target} answered {kind}")
        if kind == "application/json":
            self.validate(content[kind]["schema"], answer.json, f"{method} {target}")

    def resolve(self, reference):
        value = self.whole
        for name in reference["$ref"][2:].split("/"):
            value = value[name]
        return value

    def validate(self, schema, value, where):
        if "anyOf" in schema:  # an object, or null
            if value is None and {"type": "null"} in schema["anyOf"]:
                return
            return self.validate(schema["anyOf"][0], value, where)
        if "$ref" in schema:
            schema = self.resolve(schema)
        kinds = schema.get("type", [])
        kinds = kinds if isinstance(kinds, list) else [kinds]
        fits = {"object": isinstance(value, dict), "array": isinstance(value, list), "string": isinstance(value, str),
                "integer": isinstance(value, int) and not isinstance(value, bool),
                "number": isinstance(value, (int, float)) and not isinstance(value, bool), "boolean": isinstance(value, bool), "null": value is None}
        if kinds and not any(fits[kind] for kind in kinds):
            raise Failure(f"{where}: {value!r} is no {kinds}")
        if value is None:
            return
        if "enum" in schema:
            check(value in schema["enum"], f"{where}: {value!r} is none of {schema['enum']}")
        if isinstance(value, dict):
            known = schema.get("properties", {})
            for name in schema.get("required", []):
                check(name in value, f"{where}: there is no {name} in {value!r}")
            for name, member in value.items():
                if name in known:
                    self.validate(known[name], member, f"{where}.{name}")
                else:
                    more = schema.get("additionalProperties", True)
                    check(more is not False, f"{where}: {name} is not documented")
                    if isinstance(more, dict):
                        self.validate(more, member, f"{where}.{name}")
        if isinstance(value, list) and "items" in schema:
            for item in value:
                self.validate(schema["items"], item, f"{where}[]")


class AdminBroker(Broker):
    """api: as administrator."""

    def __init__(self, *sets, **options):
        super().__init__("admin.enable=true", "admin.bind=127.0.0.1:0", f"admin.default_password={PASSWORD}", *sets, **options)

    def wait_ready(self):
        super().wait_ready()
        self.wait_log(r"admin API: |no admin API: ")
        found = re.search(r"admin API: url=(\S+) port=(\d+)", self.log())
        if not found:
            return
        self.admin_port = int(found.group(2))
        self.tls = None
        if found.group(1).startswith("https"):
            self.tls = ssl._create_unverified_context()
        self.nobody = Api(self.admin_port, tls=self.tls)
        answer = self.nobody("POST", "/login", {"username": "admin", "password": PASSWORD})
        if answer.status != 200:
            return
        token = answer.json["token"]
        text = Api(self.admin_port, token=token, tls=self.tls)("GET", "/api/openapi.json", prefix="").body
        self.document = Document(text)
        self.nobody.document = self.document
        self.api = Api(self.admin_port, token=token, document=self.document, tls=self.tls)

    def login(self, user, password=PASSWORD):
        answer = self.nobody("POST", "/login", {"username": user, "password": password})
        check(answer.status == 200, f"login of {user}: {answer}")
        return Api(self.admin_port, token=answer.json["token"], document=self.document, tls=self.tls)

    def user(self, role):
        """A user of that role, logged in."""
        self.api.good("POST", "/users", {"username": role, "password": PASSWORD, "role": role}, 201)
        return self.login(role)


def path_of(*levels):
    return "/" + "/".join(quote(level, safe="") for level in levels)
