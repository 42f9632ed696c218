# Envoy's external authorization service, with Envoy's own messages: lets a call pass or not by what its path and fields say.
# Ends when its input does. Says its port first, then a line of JSON for each question.
import json
import os
import sys
from concurrent import futures

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.auth.v3 import external_auth_pb2, external_auth_pb2_grpc
from envoy.type.v3 import http_status_pb2
from google.protobuf import json_format, wrappers_pb2


def field(name, value, append=None, action=0):
    option = base_pb2.HeaderValueOption(header=base_pb2.HeaderValue(key=name, value=value), append_action=action)
    if append is not None:
        option.append.CopyFrom(wrappers_pb2.BoolValue(value=append))
    return option


class Service(external_auth_pb2_grpc.AuthorizationServicer):
    def Check(self, request, context):
        print(json.dumps(json_format.MessageToDict(request)), flush=True)
        http = request.attributes.request.http
        wish = http.headers.get("x-wish", "")
        answer = external_auth_pb2.CheckResponse()
        if wish == "deny":
            answer.status.code = 7
        elif wish == "deny-with":
            answer.status.code = 16
            answer.denied_response.status.code = http_status_pb2.Unauthorized
            answer.denied_response.headers.append(field("www-authenticate", "Own realm=x"))
            answer.denied_response.body = "not you"
        elif wish == "error":
            context.abort(grpc.StatusCode.UNAVAILABLE, "no database")
        elif wish == "late":
            import time
            time.sleep(float(http.headers.get("x-seconds", "5")))
            answer.status.code = 0
        elif wish == "host":
            answer.status.code = 0
            answer.ok_response.headers.append(field("host", "evil.example"))
        elif wish == "neither":
            pass
        else:
            answer.status.code = 0
            ok = answer.ok_response
            ok.headers.append(field("x-tenant", "acme"))
            ok.headers.append(field("x-list", "b", append=True))
            ok.headers_to_remove.append("x-secret")
            ok.response_headers_to_add.append(field("x-decided", "yes"))
            ok.query_parameters_to_set.add(key="tenant", value="a b")
            ok.query_parameters_to_remove.append("debug")
        return answer


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
external_auth_pb2_grpc.add_AuthorizationServicer_to_server(Service(), server)
if "CERTIFICATE" in os.environ:
    pair = (os.environ["KEY"].encode(), os.environ["CERTIFICATE"].encode())
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(None)
