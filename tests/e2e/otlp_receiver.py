"""An OTLP/HTTP receiver for run-metrics: decodes what comes with OpenTelemetry's own definitions (PyPI: opentelemetry-proto) and answers as it is told.

    otlp_receiver.py [CERTIFICATE KEY [CLIENT-CA]]     prints the port it listens on

POST /v1/metrics (or any path but these):  the push; kept
POST /plan     [{"status": 503, "headers": {…}, "delay": seconds, "rejected": n, "message": "…", "hang": true}, …]: the next answers; then 200 again
GET  /taken    all pushes so far, as JSON, and forgets them
"""
import gzip
import http.server
import json
import ssl
import sys
import threading
import time

from google.protobuf import any_pb2  # noqa: F401  (protobuf is there)
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service

lock = threading.Lock()
plan, taken = [], []


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def value_of(any_value):
    return getattr(any_value, any_value.WhichOneof("value"))


def attributes(pairs):
    keys = [pair.key for pair in pairs]
    assert len(keys) == len(set(keys)), f"a key is there twice: {keys}"
    return {pair.key: value_of(pair.value) for pair in pairs}


def exemplars(point):
    return [{"attributes": attributes(one.filtered_attributes), "value": one.as_double, "time": one.time_unix_nano} for one in point.exemplars]


def metric_of(metric):
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    shown = {"kind": kind, "unit": metric.unit, "says": metric.description, "points": []}
    if kind != "gauge":
        shown["temporality"] = data.aggregation_temporality
    if kind == "sum":
        shown["monotonic"] = data.is_monotonic
    for point in data.data_points:
        one = {"attributes": attributes(point.attributes), "time": point.time_unix_nano, "start": point.start_time_unix_nano}
        if kind == "histogram":
            one.update(count=point.count, sum=point.sum, counts=list(point.bucket_counts), bounds=list(point.explicit_bounds), exemplars=exemplars(point))
        else:
            one.update(value=getattr(point, point.WhichOneof("value")))
        shown["points"].append(one)
    return shown


def unknown_fields(message):
    """True when something is in it that the definitions don't know: a field number of ours is wrong."""
    from google.protobuf.unknown_fields import UnknownFieldSet
    if len(UnknownFieldSet(message)):
        return True
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            many = value if hasattr(value, "__len__") and not hasattr(value, "ListFields") else [value]
            if any(unknown_fields(one) for one in many):
                return True
    return False


def decode(body):
    request = service.ExportMetricsServiceRequest()
    request.ParseFromString(body)
    assert not unknown_fields(request), "fields the definitions don't know"
    assert len(request.resource_metrics) == 1 and len(request.resource_metrics[0].scope_metrics) == 1
    scope = request.resource_metrics[0].scope_metrics[0]
    names = [metric.name for metric in scope.metrics]
    assert len(names) == len(set(names)), "a metric is there twice"
    return {"resource": attributes(request.resource_metrics[0].resource.attributes), "scope": [scope.scope.name, scope.scope.version],
            "metrics": {metric.name: metric_of(metric) for metric in scope.metrics}, "canonical": request.SerializeToString() == body or "other order"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", headers=None, kind="application/x-protobuf"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        with lock:
            body = json.dumps(taken).encode()
            taken.clear()
        self.reply(200, body, kind="application/json")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/plan":
            with lock:
                plan[:] = json.loads(body)
            return self.reply(200)
        with lock:
            step = plan.pop(0) if plan else {}
        record = {"path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()}, "bytes": len(body), "at": time.time(),
                  "status": step.get("status", 200), "port": self.client_address[1]}
        try:
            plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            record.update(decode(plain), plain=len(plain))
        except Exception as error:  # the test shows it
            record["wrong"] = repr(error)
        with lock:
            taken.append(record)
        time.sleep(step.get("delay", 0))
        answer = service.ExportMetricsServiceResponse()
        if "rejected" in step or ("message" in step and record["status"] == 200):
            answer.partial_success.rejected_data_points = step.get("rejected", 0)
            answer.partial_success.error_message = step.get("message", "")
        out = answer.SerializeToString()
        if record["status"] != 200 and "message" in step:  # google.rpc.Status
            text = step["message"].encode()
            out = b"\x08\x03\x12" + varint(len(text)) + text
        return self.reply(record["status"], bytes.fromhex(step["body"]) if "body" in step else out, step.get("headers"))


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a broker that gave up


server = Server(("127.0.0.1", 0), Handler)
if len(sys.argv) > 2:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    if len(sys.argv) > 3:
        context.load_verify_locations(sys.argv[3])
        context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
