// Package hardware reaches buses, lines and ports. The manifest asks for them by name (`i2c = ["environment"]`), and
// the daemon's configuration says which device file a name stands for.
//
// There are no handles: every call names what it is about, and is checked by itself. [I2C] and [SPI] have the methods
// that TinyGo's drivers want of a bus.
package hardware

import (
	"errors"
	"math"
	"time"
)

var (
	// ErrDenied: the right is missing, or this daemon has no such hardware; the error names the plugin, the bus and the
	// file to edit.
	ErrDenied = errors.New("this hardware is not granted")
	// ErrNoDevice: nobody answered at this address (I2C: no acknowledge).
	ErrNoDevice = errors.New("nobody answers at this address")
	// ErrTimedOut: the time is over.
	ErrTimedOut = errors.New("the time is over")
	// ErrTooMuch: more bytes or operations than one call may have; the error says how many.
	ErrTooMuch = errors.New("this is too much for one call")
)

// I2COperation is [Read] or [Write].
type I2COperation interface{ i2c() }

// SPIOperation is [Read], [Write], [Transfer] or [Delay].
type SPIOperation interface{ spi() }

// Read reads so many bytes: on I2C 1 to 8192, on SPI 1 to 4096, while zeros are sent.
type Read uint16

// Write writes 1 to 8192 bytes on I2C, 1 to 4096 on SPI, where what comes in meanwhile is forgotten.
type Write []byte

// Transfer sends 1 to 4096 bytes, and takes as many in.
type Transfer []byte

// Delay is a pause, of at most 4 seconds.
type Delay time.Duration

func (Read) i2c()     {}
func (Write) i2c()    {}
func (Read) spi()     {}
func (Write) spi()    {}
func (Transfer) spi() {}
func (Delay) spi()    {}

// I2C is a bus, by the name that the operator gave it.
type I2C string

// Transaction carries out up to 42 operations on one device without giving up the bus. `address` is 7 bits. The answer
// has one entry for every [Read], in order.
func (bus I2C) Transaction(address uint16, operations ...I2COperation) ([][]byte, error) {
	return i2cTransaction(string(bus), address, operations)
}

// Tx writes `write` and then fills `read`, in one transaction. Either may be empty.
func (bus I2C) Tx(address uint16, write, read []byte) error {
	var operations []I2COperation
	if len(write) > 0 {
		operations = append(operations, Write(write))
	}
	if len(read) > 0 {
		if len(read) > math.MaxUint16 {
			return ErrTooMuch
		}
		operations = append(operations, Read(len(read)))
	}
	answers, err := bus.Transaction(address, operations...)
	return filled(read, answers, err)
}

// SPI is a device, by the name that the operator gave it. Mode, clock and word size are the operator's to set.
type SPI string

// Transaction carries out up to 32 operations while the device stays selected. The answer has one entry for every
// [Read] and [Transfer], in order.
func (device SPI) Transaction(operations ...SPIOperation) ([][]byte, error) {
	return spiTransaction(string(device), operations)
}

// Tx sends `write` while it fills `read`. Either may be empty; otherwise they have the same length.
func (device SPI) Tx(write, read []byte) error {
	var operation SPIOperation
	switch {
	case len(read) == 0:
		operation = Write(write)
	case len(write) == 0 && len(read) <= math.MaxUint16:
		operation = Read(len(read))
	case len(write) == len(read):
		operation = Transfer(write)
	default:
		return errors.New("what is sent and what is received must have the same length")
	}
	answers, err := device.Transaction(operation)
	return filled(read, answers, err)
}

// Transfer sends one byte, and takes one in.
func (device SPI) Transfer(out byte) (byte, error) {
	in := make([]byte, 1)
	err := device.Tx([]byte{out}, in)
	return in[0], err
}

func filled(read []byte, answers [][]byte, err error) error {
	if err != nil || len(read) == 0 {
		return err
	}
	if len(answers) != 1 || len(answers[0]) != len(read) {
		return errors.New("the daemon answered with another number of bytes than were asked for")
	}
	copy(read, answers[0])
	return nil
}

// Edge is a change of a line.
type Edge uint8

const (
	Rising Edge = iota
	Falling
	Either
)

// Line is a line of general purpose, by the name that the operator gave it. Direction, pull and polarity are the
// operator's to set; true is active.
type Line string

// Read is whether the line is active.
func (line Line) Read() (bool, error) { return lineRead(string(line)) }

// Write makes the line active, or not.
func (line Line) Write(active bool) error { return lineWrite(string(line), active) }

// Wait waits for an edge, a minute at most: true when there was one since the last call.
func (line Line) Wait(edge Edge, atMost time.Duration) (bool, error) {
	return lineWait(string(line), edge, milliseconds(atMost))
}

// Port is a serial port, by the name that the operator gave it. Speed, parity and flow control are the operator's to
// set.
type Port string

// Receive is up to so many bytes (4096 at most): what came in since the last call, or what comes within a time of a
// minute at most. Nothing within that time is no bytes and no error.
func (port Port) Receive(length uint32, atMost time.Duration) ([]byte, error) {
	return portRead(string(port), length, milliseconds(atMost))
}

// Write writes all of it, 1 to 4096 bytes. A Port is an io.Writer.
func (port Port) Write(data []byte) (int, error) {
	if err := portWrite(string(port), data); err != nil {
		return 0, err
	}
	return len(data), nil
}

func milliseconds(time time.Duration) uint32 {
	return uint32(max(0, min(time.Milliseconds(), math.MaxUint32)))
}
