//go:build !wasm

package hardware

import "edgeplug/internal/played"

func i2cTransaction(bus string, address uint16, operations []I2COperation) ([][]byte, error) {
	return played.Current().I2C(bus, address, operations)
}

func spiTransaction(device string, operations []SPIOperation) ([][]byte, error) {
	return played.Current().SPI(device, operations)
}

func lineRead(line string) (bool, error) { return played.Current().ReadLine(line) }

func lineWrite(line string, active bool) error { return played.Current().WriteLine(line, active) }

// Nothing happens on a played line while the plugin waits.
func lineWait(line string, _ Edge, _ uint32) (bool, error) {
	_, err := played.Current().ReadLine(line)
	return false, err
}

func portRead(port string, length, _ uint32) ([]byte, error) {
	return played.Current().ReadPort(port, length)
}

func portWrite(port string, data []byte) error { return played.Current().WritePort(port, data) }
