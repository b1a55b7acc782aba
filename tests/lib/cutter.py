"""A proxy that cuts a connection in the middle of what it sends."""

import contextlib
import socket
import threading


class Cutter(threading.Thread):
    """A proxy. It counts what is sent, and once, after `after` bytes, calls before_cut() and cuts the connection. `to` may be changed: a
    server that started again has another port."""

    def __init__(self, port, after, before_cut=None):
        super().__init__(daemon=True)
        self.to, self.after, self.before_cut, self.sent, self.cuts = port, after, before_cut, 0, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.to))
        except OSError:
            client.close()
            return
        back = threading.Thread(target=self.back, args=(server, client), daemon=True)
        back.start()
        cut = False
        with client, server, contextlib.suppress(OSError):          # either may be dead
            while not cut and (data := client.recv(65536)):
                server.sendall(data)
                with self.lock:
                    self.sent += len(data)
                    cut = not self.cuts and self.sent >= self.after
                    self.cuts += cut
            if cut:
                if self.before_cut:
                    self.before_cut()
                client.shutdown(socket.SHUT_RDWR)
            server.shutdown(socket.SHUT_WR)
            back.join(60)

    @staticmethod
    def back(server, client, seen=None):
        try:
            while data := server.recv(65536):
                if seen is not None:
                    seen += data
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:                                             # what died is dead to the other side too
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
