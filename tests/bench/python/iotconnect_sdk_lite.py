"""`iotconnect-sdk-lite` as a program uses it: `send_telemetry_records` in a loop, quiet.

Discovery and identity (HTTPS to the portal) are answered here, and the port, which the SDK fixes at 8883, is the test
broker's. Encoding, queueing and TLS are the SDK's own.
"""

from avnet.iotconnect.sdk.lite import Client, ClientSettings, DeviceConfig
from avnet.iotconnect.sdk.sdklib.dra import DeviceIdentityData, DeviceRestApi
from avnet.iotconnect.sdk.sdklib.mqtt import TelemetryRecord
from avnet.iotconnect.sdk.sdklib.protocol.identity import ProtocolIdentityPJson, ProtocolMetaJson, ProtocolTopicsJson

from meter import Meter, Window, main, readings


def identity(_api):
    topics = ProtocolTopicsJson(rpt="devices/lite/messages/events/", c2d="devices/lite/messages/devicebound/#")
    names = ProtocolIdentityPJson(n="mqtt", h="localhost", p=8883, id="lite", un="localhost/lite", topics=topics)
    return DeviceIdentityData(names, ProtocolMetaJson(v=2.1))


def run(arguments):
    DeviceRestApi.get_identity_data = identity
    config = DeviceConfig(
        platform="az",
        env="poc",
        cpid="CP",
        duid="lite",
        device_cert_path=arguments.cert_file,
        device_pkey_path=arguments.key_file,
        server_ca_cert_path=arguments.ca_file,
    )
    client = Client(config, settings=ClientSettings(verbose=False))
    meter = Meter(arguments.in_flight)
    client.mqtt.max_inflight_messages_set(arguments.in_flight)
    client.mqtt.on_publish = lambda *_: meter.done()
    connect = client.mqtt.connect
    client.mqtt.connect = lambda host, port: connect(host=host, port=arguments.port)
    client.connect()
    window = Window(arguments, lambda: meter.acknowledged)
    tick = 0
    while not window.over():
        meter.room.acquire()
        tick += 1
        client.send_telemetry_records([TelemetryRecord(values=readings(tick), timestamp=Client.timestamp_now())])
    client.disconnect()
    return window.answer


main(["iotconnect-sdk-lite", "iotconnect-lib"], run)
