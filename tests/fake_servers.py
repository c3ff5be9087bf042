"""What stands in for the `main.py` of ComfyUI where tests are about starting and ending it."""

SLEEPING_SERVER = "import time\nprint('starting', flush=True)\ntime.sleep(600)\n"
FAILING_SERVER = "print('first line')\nraise SystemExit('no such device')\n"

ANSWERING_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/history"):
            return  # and the connection closes without an answer
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")
address = ("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1]))
http.server.HTTPServer(address, Handler).serve_forever()
"""
