"""An NTP server for tests, some seconds ahead of this machine's clock."""

import socket
import struct
import threading
import time


class Server(threading.Thread):
    """edit() may change an answer. asked counts requests; polite: none told anything of its
    sender but a cookie."""

    def __init__(self, address, ahead, edit=lambda packet: packet):
        super().__init__(daemon=True)
        self.ahead, self.edit, self.asked, self.polite = ahead, edit, 0, True
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 123))
        self.start()

    def stamp(self):
        now = time.time() + 2208988800 + self.ahead
        return struct.pack(">II", int(now) & 0xFFFFFFFF, int(now % 1 * 2**32))

    def run(self):
        while True:
            data, peer = self.sock.recvfrom(100)
            self.asked += 1
            if len(data) != 48 or data[0] != 0x23 or data[1:40] != bytes(39):
                self.polite = False
                continue
            answer = bytes([0x24, 2, 6, 0xEC]) + struct.pack(">II", 0x100, 0x100) + b"\x0a\0\0\1"
            answer += self.stamp() + data[40:48] + self.stamp() + self.stamp()
            self.sock.sendto(self.edit(answer), peer)
