"""Requests of every kind, for as long as who has started it: traffic.py HTTP_PORT HTTPS_PORT"""

import http.client
import os
import socket
import ssl
import sys
import threading
import time

PARENT = os.getppid()


def main():
    http_port, https_port = map(int, sys.argv[1:])
    clients = [
        lambda: plain(http_port, "app.local", "/?size=2000&latency=2ms"),
        lambda: plain(http_port, "app.local", "/?latency=5ms", "POST", b"x" * 100),
        lambda: plain(http_port, "app.local", "/?latency=60ms"),
        *[lambda: plain(http_port, "flaky.local", "/?latency=20ms")] * 3,
        lambda: plain(http_port, "nobody.local", "/"),
        lambda: raw(http_port, b"GET / HTTP/1.1\r\n\r\n"),
        lambda: raw(http_port, b"not HTTP\r\n\r\n"),
        lambda: secure(https_port),
    ]
    threads = [threading.Thread(target=repeat, args=(client,), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def repeat(client):
    """One after the other. That one fails is for the metrics to tell."""
    while os.getppid() == PARENT:
        try:
            client()
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.02)


def plain(port, host, path, method="GET", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    ask(connection, host, path, method, body)


def ask(connection, host, path, method="GET", body=None):
    for _ in range(20):
        connection.request(method, path, body, {"Host": host})
        connection.getresponse().read()
    connection.close()


def raw(port, text):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as stream:
        stream.sendall(text)
        stream.recv(1000)


def secure(port):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    stream = socket.create_connection(("127.0.0.1", port), timeout=5)
    connection.sock = context.wrap_socket(stream, server_hostname="secure.local")
    ask(connection, "secure.local", "/")


main()
