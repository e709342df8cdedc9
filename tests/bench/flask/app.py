import time

from flask import Flask

app = Flask(__name__)


@app.route("/")
def hello():
    return "Hello, World!"


@app.route("/slow")
def slow():
    time.sleep(0.1)
    return "slow"


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000)
