"""A gRPC server with the health service of grpcio-health-checking. Lines on its input: SERVICE STATUS."""
import os
import sys
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
key, certificate = os.environ.get("KEY"), os.environ.get("CERTIFICATE")
if key:
    credentials = grpc.ssl_server_credentials([(key.encode(), certificate.encode())])
    port = server.add_secure_port("127.0.0.1:0", credentials)
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
for line in sys.stdin:
    service, status = line.split()
    servicer.set("" if service == "-" else service, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    print("set", flush=True)
server.stop(0)
