package hardware

import (
	"errors"
	"math"

	"edgeplug/internal/convert"
	"edgeplug/internal/reason"
	witGPIO "edgeplug/internal/wit/imports/edgeplug_plugin_gpio"
	wit "edgeplug/internal/wit/imports/edgeplug_plugin_hardware_types"
	witI2C "edgeplug/internal/wit/imports/edgeplug_plugin_i2c"
	witSerial "edgeplug/internal/wit/imports/edgeplug_plugin_serial"
	witSPI "edgeplug/internal/wit/imports/edgeplug_plugin_spi"
	"edgeplug/internal/wit_types"
)

func i2cTransaction(bus string, address uint16, operations []I2COperation) ([][]byte, error) {
	converted := make([]witI2C.Operation, 0, len(operations))
	for _, operation := range operations {
		switch operation := operation.(type) {
		case Read:
			converted = append(converted, witI2C.MakeOperationRead(uint16(operation)))
		case Write:
			converted = append(converted, witI2C.MakeOperationWrite(operation))
		}
	}
	return value(witI2C.Transaction(convert.Text(bus), address, converted))
}

func spiTransaction(device string, operations []SPIOperation) ([][]byte, error) {
	converted := make([]witSPI.Operation, 0, len(operations))
	for _, operation := range operations {
		switch operation := operation.(type) {
		case Read:
			converted = append(converted, witSPI.MakeOperationRead(uint16(operation)))
		case Write:
			converted = append(converted, witSPI.MakeOperationWrite(operation))
		case Transfer:
			converted = append(converted, witSPI.MakeOperationTransfer(operation))
		case Delay:
			nanoseconds := uint32(max(0, min(int64(operation), math.MaxUint32)))
			converted = append(converted, witSPI.MakeOperationDelayNs(nanoseconds))
		}
	}
	return value(witSPI.Transaction(convert.Text(device), converted))
}

func lineRead(line string) (bool, error) { return value(witGPIO.Read(convert.Text(line))) }

func lineWrite(line string, active bool) error {
	_, err := value(witGPIO.Write(convert.Text(line), active))
	return err
}

func lineWait(line string, edge Edge, atMostMS uint32) (bool, error) {
	return value(witGPIO.Wait(convert.Text(line), witGPIO.Edge(min(edge, Either)), atMostMS))
}

func portRead(port string, length, atMostMS uint32) ([]byte, error) {
	return value(witSerial.Read(convert.Text(port), length, atMostMS))
}

func portWrite(port string, data []byte) error {
	_, err := value(witSerial.Write(convert.Text(port), data))
	return err
}

func value[T any](result wit_types.Result[T, wit.Error]) (value T, err error) {
	if !result.IsErr() {
		return result.Ok(), nil
	}
	switch err := result.Err(); err.Tag() {
	case wit.Error_Denied:
		return value, reason.Of(ErrDenied, err.Denied())
	case wit.Error_NoDevice:
		return value, ErrNoDevice
	case wit.Error_TimedOut:
		return value, ErrTimedOut
	case wit.Error_TooMuch:
		return value, reason.Of(ErrTooMuch, err.TooMuch())
	default:
		return value, errors.New(err.Other())
	}
}
