"""`azure-iot-device`, its asynchronous client, with as many sends under way as the others have in flight.

The port, which the SDK fixes at 8883, is the test broker's. The body is the one that the old IoTConnect SDK makes.
"""

import asyncio
import json
from datetime import datetime, timezone

import paho.mqtt.client
from azure.iot.device import Message
from azure.iot.device.aio import IoTHubDeviceClient

from meter import Window, main, readings


def body(tick):
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    entry = {"id": "gateway-1", "dt": now, "d": [readings(tick)], "tg": ""}
    return json.dumps(
        {
            "cpId": "97FF86E8728645E9B89F7B07977E4B15",
            "t": now,
            "mt": 0,
            "d": [entry],
            "dtg": "891ed197-9621-44ea-819c-e7b2d40afafe",
            "sdk": {"l": "M_PYTHON", "v": "2.1", "e": "poc"},
        },
        separators=(",", ":"),
    )


async def send(client, window, counts):
    while not counts["over"]:
        counts["tick"] += 1
        await client.send_message(Message(body(counts["tick"]), content_encoding="utf-8", content_type="application/json"))
        counts["acknowledged"] += 1
        counts["over"] = counts["over"] or window.over()


async def measure(arguments):
    connect = paho.mqtt.client.Client.connect
    paho.mqtt.client.Client.connect = lambda self, host, port, keepalive: connect(self, host, arguments.port, keepalive)
    with open(arguments.ca_file, encoding="ascii") as ca:
        client = IoTHubDeviceClient.create_from_connection_string(
            "HostName=localhost;DeviceId=azure;SharedAccessKey=YWJjZGVmZ2hpamtsbW5vcA==",
            server_verification_cert=ca.read(),
        )
    await client.connect()
    counts = {"acknowledged": 0, "tick": 0, "over": False}
    window = Window(arguments, lambda: counts["acknowledged"])
    await asyncio.gather(*(send(client, window, counts) for _ in range(arguments.in_flight)))
    await client.shutdown()
    return window.answer


main(["azure-iot-device"], lambda arguments: asyncio.run(measure(arguments)))
